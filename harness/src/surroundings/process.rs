//! CPU time, faults and context switches of a process, from outside.

use crate::roots::{Roots, numbered, read};

/// Most processes that are followed from a worker downwards, and most of its threads.
const MOST: usize = 256;

/// Counts of a process and its children since they started. Times are in ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Times {
    pub(super) user: u64,
    pub(super) system: u64,
    pub(super) major_faults: u64,
    pub(super) minor_faults: u64,
}

impl Times {
    pub(super) fn cpu_ticks(&self) -> u64 {
        self.user.saturating_add(self.system)
    }

    pub(super) fn since(now: Times, before: Times) -> Times {
        Times {
            user: now.user.saturating_sub(before.user),
            system: now.system.saturating_sub(before.system),
            major_faults: now.major_faults.saturating_sub(before.major_faults),
            minor_faults: now.minor_faults.saturating_sub(before.minor_faults),
        }
    }

    fn plus(self, other: Times) -> Times {
        Times {
            user: self.user.saturating_add(other.user),
            system: self.system.saturating_add(other.system),
            major_faults: self.major_faults.saturating_add(other.major_faults),
            minor_faults: self.minor_faults.saturating_add(other.minor_faults),
        }
    }
}

/// The counts of a process with its children, those that ended and were waited for among them: an engine can be a script that
/// starts the program which does the work.
pub(super) fn times(roots: &Roots, id: u32) -> Option<Times> {
    let mut total = stat(roots, &id.to_string(), true)?;
    let mut parents = vec![id];
    let mut seen = 0;
    while let Some(parent) = parents.pop() {
        // Absent where the kernel does not list children; then a process that is a script is counted alone.
        let children = read(&roots.proc(&format!("{parent}/task/{parent}/children")));
        for child in children.unwrap_or_default().split_ascii_whitespace() {
            let Ok(child) = child.parse() else { continue };
            seen += 1;
            if seen > MOST {
                return Some(total);
            }
            if let Some(times) = stat(roots, &format!("{child}"), true) {
                total = total.plus(times);
            }
            parents.push(child);
        }
    }
    Some(total)
}

/// The counts of this process without its children, which are workers.
pub(super) fn times_of_self(roots: &Roots) -> Option<Times> {
    stat(roots, "self", false)
}

fn stat(roots: &Roots, process: &str, with_ended_children: bool) -> Option<Times> {
    parse_stat(
        &read(&roots.proc(process).join("stat"))?,
        with_ended_children,
    )
}

/// Fields 10 to 17 of `/proc/PID/stat`, counted behind the name, which stands in brackets and can hold anything.
fn parse_stat(stat: &str, with_ended_children: bool) -> Option<Times> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(7).map(str::parse::<u64>);
    let mut field = || fields.next()?.ok();
    let (minor, minor_of_ended) = (field()?, field()?);
    let (major, major_of_ended) = (field()?, field()?);
    let (user, system) = (field()?, field()?);
    let own = Times {
        user,
        system,
        major_faults: major,
        minor_faults: minor,
    };
    let ended = Times {
        user: field()?,
        system: field()?,
        major_faults: major_of_ended,
        minor_faults: minor_of_ended,
    };
    Some(if with_ended_children {
        own.plus(ended)
    } else {
        own
    })
}

/// Context switches of each thread of a process: its number, voluntary, involuntary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Switches(Vec<(u32, u64, u64)>);

impl Switches {
    /// Voluntary and involuntary switches since `before`. A thread that started since counts from its start; what one did that
    /// ended since is not known.
    pub(super) fn since(&self, before: &Switches) -> (u64, u64) {
        self.0.iter().fold((0, 0), |sum: (u64, u64), now| {
            let old = before.0.iter().find(|old| old.0 == now.0);
            let (voluntary, involuntary) = old.map_or((0, 0), |old| (old.1, old.2));
            (
                sum.0.saturating_add(now.1.saturating_sub(voluntary)),
                sum.1.saturating_add(now.2.saturating_sub(involuntary)),
            )
        })
    }
}

/// The switches of all threads; nothing where the system does not tell, or for more than [`MOST`] threads.
pub(super) fn switches(roots: &Roots, id: u32) -> Option<Switches> {
    let threads = numbered(&roots.proc(&format!("{id}/task")), "");
    if threads.is_empty() || threads.len() > MOST {
        return None;
    }
    let of_thread = |(thread, path): &(u32, std::path::PathBuf)| {
        let (voluntary, involuntary) = parse_switches(&read(&path.join("status"))?)?;
        Some((*thread, voluntary, involuntary))
    };
    // A thread can end between the listing and its reading.
    let all: Vec<_> = threads.iter().filter_map(of_thread).collect();
    (!all.is_empty()).then_some(Switches(all))
}

fn parse_switches(status: &str) -> Option<(u64, u64)> {
    let value = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.strip_prefix(':')?.trim().parse().ok()
    };
    Some((
        value("voluntary_ctxt_switches")?,
        value("nonvoluntary_ctxt_switches")?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "77 (a ) b) S 1 77 77 0 -1 4194560 100 20 3 4 50 60 7 8 20 0 1 0 5";

    #[test]
    fn a_stat_line_is_counted_from_behind_its_name() {
        let own = Times {
            user: 50,
            system: 60,
            major_faults: 3,
            minor_faults: 100,
        };
        assert_eq!(parse_stat(STAT, false), Some(own));
        let all = Times {
            user: 57,
            system: 68,
            major_faults: 7,
            minor_faults: 120,
        };
        assert_eq!(parse_stat(STAT, true), Some(all));
        for damaged in [
            "",
            "77 (x) S 1",
            "77 x",
            "77 (x) S 1 7 7 0 -1 0 a 2 3 4 5 6 7 8",
        ] {
            assert_eq!(parse_stat(damaged, true), None, "{damaged}");
        }
    }

    #[test]
    fn switches_are_told_apart_and_summed_over_threads() {
        let status = "Name:\tx\nvoluntary_ctxt_switches:\t12\nnonvoluntary_ctxt_switches:\t3\n";
        assert_eq!(parse_switches(status), Some((12, 3)));
        assert_eq!(parse_switches("voluntary_ctxt_switches:\t12\n"), None);
        let before = Switches(vec![(1, 10, 1), (2, 5, 5)]);
        let now = Switches(vec![(1, 12, 1), (3, 4, 2)]);
        assert_eq!(now.since(&before), (6, 2));
    }
}
