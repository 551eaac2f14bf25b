//! What speaks for and against the figures of a run, in plain words.

use crate::columns::Row;
use crate::compare::rate;
use crate::disturbance::Cause;
use crate::record::{EnergySourceInfo, Provenance, Surroundings};
use crate::render::text::{number, plain};
use crate::report::{Report, count};
use crate::stats::{max, median, min};
use crate::summary::{Ending, Status};
use minijinja::context;
use minijinja::value::Value;

/// Rounds from which on a ratio has an exact interval of 95 %.
const ROUNDS_FOR_AN_INTERVAL: usize = 6;
/// A drift between the halves of a run that is worth a warning, in percent.
const DRIFT_PERCENT: f64 = 5.0;
/// A spread over rounds that is worth a warning, in percent of the median.
const SPREAD_PERCENT: f64 = 5.0;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing speaks against the figures.
    Good,
    /// A reader should know it.
    Care,
    /// The figures are not to be quoted.
    Bad,
    /// The record does not say.
    Unknown,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) state: State,
    /// The word for the state.
    pub(super) word: &'static str,
    pub(super) text: String,
    /// The same in a few words, for the top of the page.
    short: String,
}

impl Check {
    fn new(name: &'static str, state: State, short: impl Into<String>, text: String) -> Check {
        let word = match state {
            State::Good => "good",
            State::Care => "care",
            State::Bad => "bad",
            State::Unknown => "not known",
        };
        Check {
            name,
            state,
            word,
            text,
            short: short.into(),
        }
    }
}

impl From<Check> for Value {
    fn from(check: Check) -> Value {
        let class = match check.state {
            State::Good => "good",
            State::Care => "care",
            State::Bad => "bad",
            State::Unknown => "unknown",
        };
        context! { name => check.name, class => class, word => check.word, text => check.text }
    }
}

/// The answer to "can I trust it?".
pub(super) struct Trust {
    pub(super) word: &'static str,
    pub(super) reasons: Vec<String>,
    pub(super) class: &'static str,
}

/// Sums the checks up.
pub(super) fn trust(report: &Report) -> Trust {
    let checks = checks(report);
    let of_state = |state: State| {
        let those = checks.iter().filter(move |check| check.state == state);
        those
            .map(|check| check.short.clone())
            .collect::<Vec<String>>()
    };
    let (bad, care) = (of_state(State::Bad), of_state(State::Care));
    let (word, class) = if !bad.is_empty() {
        ("Not to be quoted", "bad")
    } else if !care.is_empty() {
        ("With care", "care")
    } else {
        ("Yes, within the intervals", "good")
    };
    let mut reasons = bad;
    reasons.extend(care);
    if reasons.is_empty() {
        reasons.push("nothing that was looked at speaks against it".to_owned());
    }
    Trust {
        word,
        reasons,
        class,
    }
}

/// Every check, in the order of the page.
pub(super) fn checks(report: &Report) -> Vec<Check> {
    let mut checks = vec![whole(report), answers(report), rounds(report)];
    checks.extend(control(report));
    checks.extend([spread(report), drift(report), warm_up(report)]);
    checks.extend(surroundings(report));
    checks.push(energy(report));
    checks
}

fn measured(report: &Report) -> impl Iterator<Item = &Row> {
    report.rows.iter().filter(|row| row.summary.measured())
}

fn whole(report: &Report) -> Check {
    let name = "the run as a whole";
    let mut said = Vec::new();
    let mut state = State::Good;
    let mut short = Vec::new();
    if report.run.suite.quick {
        state = State::Bad;
        short.push("a quick run");
        said.push("a quick run: shortened windows and few rounds, for a first look");
    }
    match report.ending {
        Ending::Complete | Ending::Stopped(_) => said.push("it came to its end"),
        Ending::Interrupted => {
            short.push("it was interrupted");
            said.push("it was interrupted before its plan was done");
        }
        Ending::Missing => {
            short.push("it was killed, or still goes on");
            said.push("it has no stored end: it was killed, or still goes on");
        }
    }
    if !report.resumed.is_empty() {
        short.push("it was resumed");
        said.push("it was resumed by a later process: machine and load may have changed between");
    }
    if state == State::Good && !short.is_empty() {
        state = State::Care;
    }
    Check::new(name, state, short.join(", "), said.join("; "))
}

fn answers(report: &Report) -> Check {
    let failed = report
        .rows
        .iter()
        .filter(|row| matches!(row.summary.status, Status::Failed { .. }));
    let failed = failed.count();
    let rule = "a process shows before it is measured that its logits are those of the portable kernel, and rounds must agree \
                about the tokens";
    if failed == 0 {
        return Check::new(
            "right answers",
            State::Good,
            "",
            format!("{rule}; no row failed"),
        );
    }
    let rows = count(failed, "row");
    Check::new(
        "right answers",
        State::Care,
        format!("{rows} failed"),
        format!("{rule}; {rows} failed and gave no figure (see below)"),
    )
}

fn rounds(report: &Report) -> Check {
    let name = "rounds";
    let finished: Vec<usize> = measured(report)
        .map(|row| row.summary.finished_rounds)
        .collect();
    match (
        finished.iter().copied().min(),
        finished.iter().copied().max(),
    ) {
        (None, _) | (_, None) => Check::new(
            name,
            State::Bad,
            "nothing was measured",
            "nothing was measured".to_owned(),
        ),
        (Some(fewest), Some(most)) => {
            let rounds = if fewest == most {
                count(most, "round")
            } else {
                format!("{fewest} to {most} rounds")
            };
            let processes = format!("{rounds}, each in processes of its own");
            if fewest <= 1 {
                let text = format!("{processes}: a single round has no spread and no interval");
                Check::new(name, State::Bad, "one round has no spread", text)
            } else if fewest < ROUNDS_FOR_AN_INTERVAL {
                let text = format!(
                    "{processes}: fewer than the {ROUNDS_FOR_AN_INTERVAL} that an exact interval of 95 % takes, so ratios stand \
                     with their smallest and largest round"
                );
                Check::new(name, State::Care, format!("only {rounds}"), text)
            } else {
                let text =
                    format!("{processes}: ratios stand with exact intervals of 95 % or more");
                Check::new(name, State::Good, "", text)
            }
        }
    }
}

fn control(report: &Report) -> Vec<Check> {
    let name = "A/A control";
    if report.controls.is_empty() {
        let text = "none: the record has no job that was measured twice to show the noise";
        return vec![Check::new(name, State::Unknown, "", text.to_owned())];
    }
    let of = |control: &crate::control::Control| {
        let (state, short) = if control.job.injected_percent.is_some() {
            (State::Bad, "a test: the control was slowed down on purpose")
        } else if control.flagged() {
            (
                State::Bad,
                "the same build differs from itself (A/A control)",
            )
        } else if control.judged.is_err() {
            (State::Care, "the A/A control gave no figures")
        } else {
            (State::Good, "")
        };
        Check::new(name, state, short, plain(&control.line()))
    };
    report.controls.iter().map(of).collect()
}

fn spread(report: &Report) -> Check {
    let name = "noise";
    let figures = measured(report).filter_map(|row| {
        let figure = row.summary.figure(rate(&row.summary.job)).ok()?;
        Some(figure.mad? / figure.median * 100.0)
    });
    let spreads: Vec<f64> = figures.collect();
    let (Some(middle), Some(most)) = (median(&spreads), max(&spreads)) else {
        let text = "no speed has a spread".to_owned();
        return Check::new(name, State::Unknown, "", text);
    };
    let text = format!(
        "the rounds of a row lie {} % around their median speed at decode, or at multiplying (the median over rows; {} % in the worst row)",
        number(middle, 1),
        number(most, 1)
    );
    if most > SPREAD_PERCENT {
        let short = format!("rounds differ by up to {} %", number(most, 1));
        return Check::new(name, State::Care, short, text);
    }
    Check::new(name, State::Good, "", text)
}

/// How much faster the second half of the rounds was than the first, in percent; nothing for a single round.
fn change(row: &Row) -> Option<f64> {
    let rounds = row.summary.rounds.iter();
    let speeds: Vec<f64> = rounds
        .filter_map(|round| {
            rate(&row.summary.job)(round)
                .as_ref()?
                .as_ref()
                .ok()
                .copied()
        })
        .collect();
    let half = speeds.len() / 2;
    let before = median(speeds.get(..half)?)?;
    let after = median(speeds.get(speeds.len() - half..)?)?;
    Some((after / before - 1.0) * 100.0)
}

fn drift(report: &Report) -> Check {
    let name = "drift";
    let changes: Vec<f64> = measured(report).filter_map(change).collect();
    let (Some(middle), Some(low), Some(high)) = (median(&changes), min(&changes), max(&changes))
    else {
        let text = "a single round shows none".to_owned();
        return Check::new(name, State::Unknown, "", text);
    };
    let text = format!(
        "decode, or multiplying, was {} % {} in the second half of the rounds than in the first (median over rows; from {} to {} %). Rows that \
         are held against each other took turns, so a drift falls on all of them",
        number(middle.abs(), 1),
        if middle >= 0.0 { "faster" } else { "slower" },
        number(low, 1),
        number(high, 1)
    );
    if middle.abs() > DRIFT_PERCENT {
        let short = format!("the machine drifted by {} %", number(middle, 1));
        return Check::new(name, State::Care, short, text);
    }
    Check::new(name, State::Good, "", text)
}

fn warm_up(report: &Report) -> Check {
    let name = "warm-up";
    let rounds = measured(report).flat_map(|row| &row.summary.rounds);
    let warm_ups: Vec<bool> = rounds
        .filter_map(|r| Some(r.warm_up.as_ref()?.flat))
        .collect();
    if warm_ups.is_empty() {
        let text = "the record has none".to_owned();
        return Check::new(name, State::Unknown, "", text);
    }
    let unsettled = warm_ups.iter().filter(|flat| !**flat).count();
    let all = warm_ups.len();
    if unsettled > 0 {
        let text =
            format!("{unsettled} of {all} processes began while speed or power still rose or fell");
        return Check::new(name, State::Care, "not every process had settled", text);
    }
    let text =
        format!("speed and power had settled in all {all} processes before they were measured");
    Check::new(name, State::Good, "", text)
}

/// The surroundings of every window that a figure rests on, where it has them.
fn around(report: &Report) -> Vec<Surroundings> {
    let rounds = measured(report).flat_map(|row| &row.summary.rounds);
    let windows = rounds.flat_map(|round| {
        [
            &round.prefill_around,
            &round.decode_around,
            &round.multiply_around,
        ]
    });
    windows.filter_map(|around| around.surroundings).collect()
}

/// What else ran, and what slowed the machine down.
fn surroundings(report: &Report) -> Vec<Check> {
    let all = around(report);
    let windows = count(all.len(), "window");
    type Asked = (
        &'static str,
        &'static str,
        Cause,
        fn(&Surroundings) -> Option<f64>,
    );
    let asked: [Asked; 4] = [
        ("other load", "other processes ran", Cause::Others, |s| {
            s.others_cores()
        }),
        ("steal", "the hypervisor took time", Cause::Stolen, |s| {
            s.stolen_cores()
        }),
        ("throttling", "the CPU throttled", Cause::Throttled, |s| {
            s.throttles.map(|n| n as f64)
        }),
        (
            "waits for a disk",
            "it waited for a disk",
            Cause::Disk,
            |s| s.major_faults.map(|n| n as f64),
        ),
    ];
    let check = |(name, short, cause, of): Asked| {
        let told: Vec<f64> = all.iter().filter_map(of).collect();
        let Some(most) = max(&told) else {
            let text = if all.is_empty() {
                "nobody looked: the record is of an earlier format".to_owned()
            } else {
                "this machine does not tell".to_owned()
            };
            return Check::new(name, State::Unknown, "", text);
        };
        let touched = all
            .iter()
            .filter(|around| cause.touches(around).is_some())
            .count();
        let amount = match cause {
            Cause::Others | Cause::Stolen => format!("at most {} of a core", number(most, 2)),
            Cause::Throttled => format!("at most {} times in a window", number(most, 0)),
            Cause::Disk => format!("at most {} page faults in a window", number(most, 0)),
        };
        if touched == 0 {
            let text = format!("{amount}, in none of {windows} enough to matter");
            return Check::new(name, State::Good, "", text);
        }
        let share = format!("in {touched} of {windows}");
        let text = format!("{amount}, enough to matter {share}: their figures are marked");
        Check::new(name, State::Care, format!("{short} {share}"), text)
    };
    asked.into_iter().map(check).collect()
}

fn energy(report: &Report) -> Check {
    let name = "energy";
    if report.simulated() {
        let text = "SIMULATED: the counters are not this machine's. No energy figure of this run is a result";
        return Check::new(name, State::Bad, "energy is simulated", text.to_owned());
    }
    match &report.run.energy {
        EnergySourceInfo::Unavailable { reason, .. } => {
            let text = format!("not measured: {}", plain(reason));
            Check::new(name, State::Unknown, "", text)
        }
        EnergySourceInfo::Open {
            source, provenance, ..
        } => {
            let what = match provenance {
                Provenance::MeasuredCounter => "energy counters of this machine",
                Provenance::MeasuredVirtualised => {
                    "counters seen through a hypervisor, which apportions them"
                }
                Provenance::MeasuredSampled => "power that was sampled and integrated",
                Provenance::MeasuredExternal => "an external meter",
                Provenance::MeasuredBattery => "the gauge of a battery",
                Provenance::Simulated => "simulated counters",
            };
            let all = measured(report).count();
            let with = measured(report)
                .filter(|row| row.summary.energy_basis.is_some())
                .count();
            let text = format!(
                "{what} ({}); {with} of {all} rows have figures",
                plain(source)
            );
            let state = match provenance {
                Provenance::MeasuredVirtualised => State::Care,
                _ if with < all => State::Care,
                _ => State::Good,
            };
            let short = if with < all {
                format!("no energy in {} of {all} rows", all - with)
            } else {
                "energy is apportioned by a hypervisor".to_owned()
            };
            Check::new(name, state, short, text)
        }
    }
}

/// What nobody knows of this run.
pub(super) fn unknown(report: &Report) -> Vec<String> {
    let host = &report.run.host;
    let mut unknown = vec![
        "what neighbours on the same memory do: bandwidth taken by others shows only in the bandwidth measured in each process"
            .to_owned(),
        "other machines of the same kind: one machine was measured".to_owned(),
    ];
    let all = around(report);
    if all.iter().all(|s| s.temperature_millicelsius.is_none()) {
        unknown.push("the temperature of the CPU".to_owned());
    }
    if report.windows.iter().all(|window| window.mhz.is_none()) {
        unknown.push("the clock during the windows".to_owned());
    }
    if host.governor.is_none() {
        unknown.push("the frequency governor".to_owned());
    }
    if host.virtualisation.is_some() {
        unknown.push("the machine below the virtual one, and who shares it".to_owned());
    }
    let pinned = |row: &Row| {
        row.summary
            .loaded
            .as_ref()
            .is_some_and(|l| l.cpus.is_some())
    };
    if !measured(report).all(pinned) {
        unknown.push("which cores some threads ran on: they were left to the system".to_owned());
    }
    unknown
}
