//! What happened around the windows of a round, and which windows it touched.

use crate::columns::Row;
use crate::record::{Sample, Surroundings, TICK_NS};
use crate::report::count;
use crate::round::{Reading, Round};
use std::collections::BTreeSet;

/// Other processes touch a window when they take more than this of a core, beyond what the ticks leave in doubt.
const OTHERS_CORES: f64 = 0.1;
/// The hypervisor touches a window when it keeps more than this of a core.
const STOLEN_CORES: f64 = 0.05;

/// One window seen from outside, as numbers for columns.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Around {
    /// What was read; nothing where nobody looked.
    pub surroundings: Option<Surroundings>,
    /// Cores that other processes kept busy.
    pub others_cores: Reading,
    /// Cores that the hypervisor kept from this machine.
    pub stolen_cores: Reading,
    /// Page faults of the worker for each token.
    pub faults_per_token: Reading,
    /// Times that a thread of the worker left its CPU, of its own accord or not.
    pub switches: Reading,
    /// Cores that the worker kept busy.
    pub worker_cores: Reading,
    /// Instructions for each cycle.
    pub instructions_per_cycle: Reading,
    /// Cycles over CPU time, in MHz.
    pub effective_mhz: Reading,
    /// Accesses that missed the last cache, for each token.
    pub cache_misses_per_token: Reading,
}

/// The kernel's share of the CPU time up to which cycles of user mode alone stand for all of them.
const NEGLIGIBLE_SYSTEM_SHARE: f64 = 0.02;

/// Something that makes a figure worse than the machine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Other processes ran.
    Others,
    /// The hypervisor ran something else.
    Stolen,
    /// A core slowed down for heat.
    Throttled,
    /// The worker waited for a disk.
    Disk,
}

/// Every cause, in the order of the notes.
const CAUSES: [Cause; 4] = [Cause::Others, Cause::Stolen, Cause::Throttled, Cause::Disk];

impl Cause {
    /// How much of it there was, where it is enough to touch a window.
    pub fn touches(self, around: &Surroundings) -> Option<f64> {
        let span = around.span_ns as f64;
        let beyond = |time_ns: Option<u64>, doubt_ns: u64, cores: f64| {
            let time_ns = time_ns?;
            let certain = time_ns.saturating_sub(doubt_ns) as f64;
            (span > 0.0 && certain > cores * span).then(|| time_ns as f64 / span)
        };
        let some = |number: Option<u64>| number.filter(|n| *n > 0).map(|n| n as f64);
        match self {
            Cause::Others => beyond(around.others_cpu_ns, around.others_doubt_ns(), OTHERS_CORES),
            // The hypervisor tells it exactly, and it is shown in ticks.
            Cause::Stolen => beyond(around.steal_ns, 2 * TICK_NS, STOLEN_CORES),
            Cause::Throttled => some(around.throttles),
            Cause::Disk => some(around.major_faults),
        }
    }

    /// What happened, the most of it in one window put into words.
    fn words(self, most: f64) -> String {
        match self {
            Cause::Others => format!("other processes took {}", up_to(most)),
            Cause::Stolen => format!("the hypervisor kept {} for others (steal)", up_to(most)),
            Cause::Throttled => "the CPU slowed down for heat".to_owned(),
            Cause::Disk => format!("the worker waited for a disk ({most:.0} major page faults)"),
        }
    }

    /// What a reader should make of it.
    fn advice(self) -> &'static str {
        match self {
            Cause::Others | Cause::Stolen => "these figures are of a shared machine",
            Cause::Throttled => "these figures are of a hot machine",
            Cause::Disk => "too little memory, or a cold file",
        }
    }
}

fn up_to(cores: f64) -> String {
    if cores < 1.0 {
        format!("up to {cores:.1} of a core")
    } else {
        format!("up to {cores:.1} cores")
    }
}

/// Whether anything touched this window.
pub fn touched(around: &Surroundings) -> bool {
    CAUSES.iter().any(|cause| cause.touches(around).is_some())
}

impl Around {
    /// The surroundings of one window.
    pub fn of(sample: &Sample) -> Around {
        let counted = of_counters(sample);
        let Some(around) = sample.surroundings else {
            return Around {
                others_cores: unknown("the record does not have it"),
                stolen_cores: unknown("the record does not have it"),
                faults_per_token: unknown("the record does not have it"),
                switches: unknown("the record does not have it"),
                worker_cores: unknown("the record does not have it"),
                ..counted
            };
        };
        let tokens = f64::from(sample.tokens) * sample.durations_ns.len() as f64;
        let span = around.span_ns as f64;
        let told = |number: Option<f64>| -> Reading {
            Some(number.ok_or_else(|| "the system does not tell it".to_owned()))
        };
        let both = |a: Option<u64>, b: Option<u64>| Some(a?.saturating_add(b?) as f64);
        let faults = both(around.major_faults, around.minor_faults);
        Around {
            surroundings: Some(around),
            others_cores: told(around.others_cores()),
            stolen_cores: told(around.stolen_cores()),
            faults_per_token: told(
                faults
                    .filter(|_| tokens > 0.0)
                    .map(|faults| faults / tokens),
            ),
            switches: told(both(around.voluntary_switches, around.involuntary_switches)),
            worker_cores: told(
                around
                    .worker_cpu_ns
                    .filter(|_| span > 0.0)
                    .map(|ns| ns as f64 / span),
            ),
            ..counted
        }
    }
}

/// What event counters say of a window; the rest of it is unknown.
fn of_counters(sample: &Sample) -> Around {
    let Some(counters) = &sample.counters else {
        return Around {
            instructions_per_cycle: unknown("no event counters"),
            effective_mhz: unknown("no event counters"),
            cache_misses_per_token: unknown("no event counters"),
            ..Around::default()
        };
    };
    let ratio = |above: Result<f64, String>, below: Result<f64, String>| match (above, below) {
        (Err(reason), _) | (_, Err(reason)) => Err(reason),
        (Ok(_), Ok(below)) if below <= 0.0 => Err("nothing was counted".to_owned()),
        (Ok(above), Ok(below)) => Ok(above / below),
    };
    let tokens = f64::from(sample.tokens) * sample.durations_ns.len() as f64;
    // Cycles of user mode over all CPU time would be a clock that is too low.
    let system_share = sample
        .surroundings
        .and_then(|s| Some(s.worker_system_ns? as f64 / s.worker_cpu_ns? as f64));
    let whole = !counters.user_only("cycles")
        || system_share.is_some_and(|share| share <= NEGLIGIBLE_SYSTEM_SHARE);
    let clock = if whole {
        counters.of("task_clock_ns").map(|ns| ns / 1e3)
    } else {
        Err("cycles in the kernel are not counted for this user".to_owned())
    };
    Around {
        instructions_per_cycle: Some(ratio(counters.of("instructions"), counters.of("cycles"))),
        effective_mhz: Some(counters.of("cycles").and_then(|c| ratio(Ok(c), clock))),
        cache_misses_per_token: Some(ratio(counters.of("cache_misses"), Ok(tokens))),
        ..Around::default()
    }
}

fn unknown(reason: &str) -> Reading {
    Some(Err(reason.to_owned()))
}

/// The windows that make up the figures of a row.
fn windows(round: &Round) -> [(&'static str, &Around); 3] {
    [
        ("prefill", &round.prefill_around),
        ("decode", &round.decode_around),
        ("multiplication", &round.multiply_around),
    ]
}

/// Says at a row what touched its windows, and which rounds.
pub(crate) fn notes(rounds: &[Round]) -> Vec<String> {
    CAUSES
        .into_iter()
        .filter_map(|cause| note(cause, rounds))
        .collect()
}

/// `other processes took up to 0.9 of a core during 2 of 5 decode windows (rounds 3, 4): ...`.
fn note(cause: Cause, rounds: &[Round]) -> Option<String> {
    let mut most: f64 = 0.0;
    let mut numbers = BTreeSet::new();
    let mut phases: Vec<(&str, usize, usize)> = Vec::new();
    for round in rounds {
        for (name, around) in windows(round) {
            let Some(surroundings) = &around.surroundings else {
                continue;
            };
            let place = phases.iter().position(|(known, ..)| *known == name);
            let place = place.unwrap_or_else(|| {
                phases.push((name, 0, 0));
                phases.len() - 1
            });
            phases[place].2 += 1;
            if let Some(amount) = cause.touches(surroundings) {
                most = most.max(amount);
                numbers.insert(round.number + 1);
                phases[place].1 += 1;
            }
        }
    }
    if numbers.is_empty() {
        return None;
    }
    let touched = phases.iter().filter(|(_, touched, _)| *touched > 0);
    let of_phase = touched.map(|(name, touched, all)| format!("{touched} of {all} {name}"));
    let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    let plural = if numbers.len() == 1 { "" } else { "s" };
    Some(format!(
        "{} during {} windows (round{plural} {}): {}",
        cause.words(most),
        of_phase.collect::<Vec<_>>().join(" and "),
        numbers.join(", "),
        cause.advice()
    ))
}

/// What the windows of one phase are marked with in tables: `disturbed` where any round was touched.
pub(crate) fn mark(rounds: &[Round], around: fn(&Round) -> &Around) -> Option<&'static str> {
    let mut windows = rounds.iter().filter_map(|round| around(round).surroundings);
    windows.any(|w| touched(&w)).then_some(DISTURBED)
}

/// The mark of a figure with a window that was touched.
pub const DISTURBED: &str = "disturbed";

/// One line for the run: how many windows were touched, or how quiet the machine was. Nothing where nobody looked.
pub(crate) fn validity(rows: &[Row]) -> Option<String> {
    let rounds = rows.iter().flat_map(|row| &row.summary.rounds);
    let all: Vec<Surroundings> = rounds
        .flat_map(|round| windows(round).map(|(_, around)| around.surroundings))
        .flatten()
        .collect();
    if all.is_empty() {
        return None;
    }
    let most = |of: fn(&Surroundings) -> Option<f64>| all.iter().filter_map(of).reduce(f64::max);
    let windows = count(all.len(), "window");
    let layers = rows.iter().filter(|row| row.summary.job.layer.is_some());
    let phases = match layers.count() {
        0 => "prefill and decode",
        all if all == rows.len() => "multiplication",
        _ => "prefill, decode and multiplication",
    };
    let touched = all.iter().filter(|around| touched(around)).count();
    if touched > 0 {
        let causes: Vec<String> = CAUSES
            .into_iter()
            .filter_map(|cause| {
                let amounts = all.iter().filter_map(|around| cause.touches(around));
                amounts.reduce(f64::max).map(|most| cause.words(most))
            })
            .collect();
        return Some(format!(
            "disturbed (!): {touched} of {windows} of {phases}; {}. The rows say which; run them again on a quiet \
             machine before a figure is quoted",
            causes.join("; ")
        ));
    }
    let others = most(Surroundings::others_cores)?;
    let stolen = most(Surroundings::stolen_cores).filter(|cores| *cores > 0.005);
    let stolen = stolen.map_or(String::new(), |cores| {
        format!(", the hypervisor at most {cores:.2}")
    });
    Some(format!(
        "undisturbed: in each of {windows} of {phases} other processes took at most {others:.2} of a core{stolen}"
    ))
}
