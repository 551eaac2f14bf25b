//! One run with everything that is derived from it: what every renderer takes.

use crate::columns::Row;
use crate::compare::{Against, compare, rate};
use crate::control::Control;
use crate::disturbance;
use crate::precision::precisions;
use crate::record::{EnergySourceInfo, Precision, Record, Records, Resumed, Run, StoppedBy};
use crate::summary::{Ending, Summary, summarise};
use crate::window::{Window, windows};

/// A run, its rows and how it went.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// What was asked for, on which machine.
    pub run: Run,
    /// One row for each job of the plan, in its order; controls are none.
    pub rows: Vec<Row>,
    /// The A/A controls.
    pub controls: Vec<Control>,
    /// The times that a later process went on with it.
    pub resumed: Vec<Resumed>,
    /// How it ended.
    pub ending: Ending,
    /// The stored windows one by one.
    pub windows: Vec<Window>,
}

/// The rows of one model at one prompt and generation length, with as many sequences at a time.
#[derive(Debug, Clone)]
pub struct Group<'a> {
    /// Name of the model.
    pub model: &'a str,
    /// Tokens of the prompt.
    pub prefill_tokens: u32,
    /// Tokens generated.
    pub decode_tokens: u32,
    /// Sequences that are run together.
    pub batch: u32,
    /// Whether it is a layer alone, multiplied by [`Group::batch`] tokens.
    pub layer: bool,
    /// Its rows, those without figures included.
    pub rows: Vec<&'a Row>,
}

impl Report {
    /// Derives everything from the records.
    pub fn new(records: &Records) -> Report {
        let (controls, summaries): (Vec<Summary>, Vec<Summary>) = summarise(records)
            .into_iter()
            .partition(|summary| summary.job.control_of.is_some());
        let seed = records.run.seed;
        let of_control = |control: &Summary| Control::of(control, &summaries, seed);
        let controls = controls.iter().map(of_control).collect();
        let comparisons = compare(&summaries, seed);
        let rows = summaries.into_iter().zip(comparisons);
        let resumed = records.lines.iter().filter_map(|line| match line {
            Record::Resumed(resumed) => Some(resumed.clone()),
            _ => None,
        });
        Report {
            run: records.run.clone(),
            rows: rows
                .map(|(summary, comparison)| Row {
                    summary,
                    comparison,
                })
                .collect(),
            controls,
            resumed: resumed.collect(),
            ending: Ending::of(records),
            windows: windows(records),
        }
    }

    /// Rounds planned for the job with the most of them.
    pub fn rounds(&self) -> u32 {
        let planned = self.run.jobs.iter().map(|job| job.rounds);
        planned.max().unwrap_or(0)
    }

    /// Whether any energy was read from counters other than the machine's own.
    pub fn simulated(&self) -> bool {
        self.rows.iter().any(|row| row.summary.simulated)
    }

    /// The rows by model and sizes, in the order of the plan.
    pub fn groups(&self) -> Vec<Group<'_>> {
        let mut groups: Vec<Group<'_>> = Vec::new();
        for row in &self.rows {
            let job = &row.summary.job;
            let same = groups.iter_mut().find(|group| {
                group.model == job.model.name
                    && group.prefill_tokens == job.prefill_tokens
                    && group.decode_tokens == job.decode_tokens
                    && group.batch == job.batch
            });
            match same {
                Some(group) => group.rows.push(row),
                None => groups.push(Group {
                    model: &job.model.name,
                    prefill_tokens: job.prefill_tokens,
                    decode_tokens: job.decode_tokens,
                    batch: job.batch,
                    layer: job.layer.is_some(),
                    rows: vec![row],
                }),
            }
        }
        groups
    }

    /// One sentence for each model: the fastest ternary row at decoding (of a layer alone, at multiplying) that has a baseline, held
    /// against it.
    pub fn verdicts(&self) -> Vec<String> {
        let groups = self.groups();
        let verdicts = groups
            .iter()
            .filter_map(|group| verdict(group, &self.run.energy));
        verdicts.collect()
    }

    /// What a reader must know of the run as a whole: that it is a test, was cut short, or was resumed.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.run.suite.quick {
            notes.push(
                "quick run: shortened windows and few rounds; a first look, not a result to quote"
                    .to_owned(),
            );
        }
        match self.ending {
            Ending::Complete => notes.extend(self.budget_note(None)),
            Ending::Stopped(by) => notes.extend(self.budget_note(Some(by))),
            Ending::Interrupted => notes.push(
                "the run was interrupted before its plan was done; run it again with --resume to go on"
                    .to_owned(),
            ),
            Ending::Missing => notes.push(
                "the run has no stored end: it was killed, or still goes on; run it again with --resume to go on"
                    .to_owned(),
            ),
        }
        for resumed in &self.resumed {
            notes.push(format!(
                "resumed at {} by bitbench {}",
                resumed.at, resumed.bitbench
            ));
        }
        notes.extend(disturbance::validity(&self.rows));
        let in_slices = |row: &Row| {
            row.summary
                .rounds
                .iter()
                .any(|r| !(r.decode_slices.is_empty() && r.multiply_slices.is_empty()))
        };
        if self.rows.iter().any(in_slices) {
            notes.push(
                "the contenders of a round were alive together and took turns at each window in short slices: a ratio is the \
                 median of those of its slices, and may differ from that of the rates beside it"
                    .to_owned(),
            );
        }
        if self.rounds() == 1 {
            notes.push("one round: no figure has a spread".to_owned());
        }
        notes.extend(self.controls.iter().map(Control::line));
        notes
    }

    /// What stopped a run that had a budget, and how well it knows its figures.
    fn budget_note(&self, stopped_by: Option<StoppedBy>) -> Option<String> {
        let budget = self.run.budget?;
        let time = budget
            .time_s
            .map_or(String::new(), |s| format!(" of {s:.0} s"));
        let mut note = match stopped_by {
            Some(StoppedBy::TimeBudget) => format!("the time budget{time} stopped the run"),
            Some(StoppedBy::TargetPrecision) => "the target precision stopped the run".to_owned(),
            None => "no budget stopped the run: all rounds it may have were made".to_owned(),
        };
        let rounds = self.rows.iter().filter(|row| row.summary.measured());
        let rounds: Vec<usize> = rounds.map(|row| row.summary.finished_rounds).collect();
        if let (Some(fewest), Some(most)) = (rounds.iter().min(), rounds.iter().max()) {
            let rounds = if fewest == most {
                count(*most, "round")
            } else {
                format!("{fewest} to {most} rounds")
            };
            note.push_str(&format!(
                "; figures rest on {rounds}, {} were planned",
                self.rounds()
            ));
        }
        if let Some(target) = budget.target_precision_percent {
            note.push_str(&self.reached(target));
        }
        Some(note)
    }

    /// Whether a target was reached, and if not by whom.
    fn reached(&self, target: f64) -> String {
        let precisions = precisions(self);
        let vague: Vec<_> = precisions.iter().filter(|p| !p.within(target)).collect();
        if vague.is_empty() {
            return format!("; every decode figure is known within {target} %");
        }
        let width = |half: Option<f64>| {
            half.map_or("no interval".to_owned(), |half| {
                format!("within {half:.1} %")
            })
        };
        let names: Vec<String> = vague
            .iter()
            .map(|p| format!("{} ({})", p.job, width(p.half_width_percent)))
            .collect();
        format!(
            "; the target of {target} % was not reached by {}",
            names.join(", ")
        )
    }
}

/// The row that a group is summed up by: the fastest ternary one that has a baseline.
pub(crate) fn lead<'a>(group: &Group<'a>) -> Option<&'a Row> {
    let ternary = group.rows.iter().copied().filter(|row| {
        row.summary.job.precision == Precision::Ternary
            && matches!(row.speedup(), Against::Baseline { .. })
    });
    let speed = |row: &Row| {
        let figure = row.summary.figure(rate(&row.summary.job));
        figure.map_or(0.0, |figure| figure.median)
    };
    ternary.reduce(|best, next| {
        if speed(next) > speed(best) {
            next
        } else {
            best
        }
    })
}

fn verdict(group: &Group<'_>, energy: &EnergySourceInfo) -> Option<String> {
    let best = lead(group)?;
    let Against::Baseline { kernel, figure, .. } = best.speedup() else {
        return None;
    };
    let job = &best.summary.job;
    let mut sentence = format!(
        "{} on {}{}: {} {} {:.2}x ({}) as fast as {kernel}",
        job.model.name,
        count(job.threads as usize, "thread"),
        job.of_sequences(),
        job.kernel_and_head(),
        if group.layer { "multiplies" } else { "decodes" },
        figure.estimate,
        figure.within(2),
    );
    if !group.layer {
        sentence.push_str(&of_energy(best, energy));
    }
    if job.model.ternarized {
        sentence.push_str("; ternarized: speed only, quality destroyed");
    }
    Some(sentence)
}

/// What a verdict says of energy. Nothing where it was simulated: a test of the tool, never a result.
fn of_energy(row: &Row, energy: &EnergySourceInfo) -> String {
    match (&row.comparison.energy_saved_percent, energy) {
        (Against::Baseline { figure, .. }, _) => {
            let (amount, word) = if figure.estimate >= 0.0 {
                (figure.estimate, "less")
            } else {
                (-figure.estimate, "more")
            };
            format!(", on {amount:.0} % {word} energy per token")
        }
        (_, EnergySourceInfo::Unavailable { .. }) => {
            ", energy unknown: no counter was read".to_owned()
        }
        (Against::Missing(reason), _) if !row.summary.simulated => {
            format!(", energy unknown: {reason}")
        }
        _ => String::new(),
    }
}

/// `1 thread`, `2 threads`.
pub fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}
