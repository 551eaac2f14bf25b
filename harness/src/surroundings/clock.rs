//! The clock of the CPUs over a window, where cpufreq counts how long each frequency was set.
//!
//! `scaling_cur_freq` is no help: after the window it tells of cores that are idle by then.

use super::{Seen, again};
use crate::roots::{Roots, numbered};
use std::fs::File;

/// The tables of the frequency domains, kept open.
#[derive(Debug)]
pub(super) struct Clock {
    tables: Vec<File>,
}

/// Each frequency in kHz and the time it was set, in ticks.
type Table = Vec<(u64, u64)>;

/// The table of each frequency domain.
pub(super) type Residency = Vec<Option<Table>>;

impl Clock {
    pub(super) fn open(roots: &Roots) -> Clock {
        let policies = numbered(&roots.sys("devices/system/cpu/cpufreq"), "policy").into_iter();
        Clock {
            tables: policies
                .filter_map(|(_, policy)| File::open(policy.join("stats/time_in_state")).ok())
                .collect(),
        }
    }

    pub(super) fn residency(&self) -> Residency {
        self.tables
            .iter()
            .map(|file| parse(&again(file)?))
            .collect()
    }

    pub(super) fn seen(&self, roots: &Roots) -> Seen {
        let files = roots.sys("devices/system/cpu/cpufreq/policy*/stats/time_in_state");
        Seen {
            name: "clock from cpufreq",
            state: if self.residency().iter().any(Option::is_some) {
                Ok(files.display().to_string())
            } else {
                Err(format!(
                    "no {}: drivers that leave the clock to the CPU do not count it; cycles over task-clock, from perf, are \
                     better anyway",
                    files.display()
                ))
            },
            fix: None,
        }
    }
}

/// Lines of a frequency and its time.
fn parse(table: &str) -> Option<Table> {
    let line = |line: &str| {
        let (khz, ticks) = line.split_once(' ')?;
        Some((khz.parse().ok()?, ticks.trim().parse().ok()?))
    };
    // A table that was cut off, or is none, tells nothing.
    let table: Option<Table> = table.lines().map(line).collect();
    table.filter(|table| !table.is_empty())
}

/// The mean frequency of the fastest domain: the one that the worker ran on, or one like it.
pub(super) fn mean_khz(before: &Residency, now: &Residency) -> Option<u64> {
    let mean = |(before, now): (&Option<Table>, &Option<Table>)| {
        let (before, now) = (before.as_ref()?, now.as_ref()?);
        let (mut weighted, mut total) = (0_u128, 0_u128);
        for ((khz, old), (same, new)) in before.iter().zip(now) {
            if khz != same {
                return None;
            }
            let ticks = u128::from(new.saturating_sub(*old));
            weighted += u128::from(*khz) * ticks;
            total += ticks;
        }
        u64::try_from(weighted.checked_div(total)?).ok()
    };
    before.iter().zip(now).filter_map(mean).max()
}
