//! Event counters of a worker process (perf events), where the kernel lets this user have them.
//!
//! They are attached before the worker starts its threads, which inherit them, and are never stopped: a window is the
//! difference of two readings. Inherited counters cannot be read as a group, so each one is read by itself.

use crate::roots::{Roots, read, read_number};
use bitbench_reports::record::{Count, CounterReadings};
use perf_event::events::{Hardware, Software};
use perf_event::{Builder, CountAndTime, Counter};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::io;

/// An event that is counted.
#[derive(Debug, Clone, Copy)]
enum Event {
    Hardware(Hardware),
    Software(Software),
}

/// Every event with its name in the record. The hardware ones are few enough for the counters that every PMU has.
static EVENTS: [(&str, Event); 8] = [
    ("cycles", Event::Hardware(Hardware::CPU_CYCLES)),
    ("instructions", Event::Hardware(Hardware::INSTRUCTIONS)),
    (
        "cache_references",
        Event::Hardware(Hardware::CACHE_REFERENCES),
    ),
    ("cache_misses", Event::Hardware(Hardware::CACHE_MISSES)),
    ("task_clock_ns", Event::Software(Software::TASK_CLOCK)),
    ("page_faults", Event::Software(Software::PAGE_FAULTS)),
    (
        "context_switches",
        Event::Software(Software::CONTEXT_SWITCHES),
    ),
    ("migrations", Event::Software(Software::CPU_MIGRATIONS)),
];

/// The counters of one process and all it starts.
#[derive(Debug, Default)]
pub struct Counters {
    open: Vec<Attached>,
    missing: BTreeMap<String, String>,
}

#[derive(Debug)]
struct Attached {
    name: &'static str,
    user_only: bool,
    counter: Counter,
}

/// One reading of all counters.
#[derive(Debug, Clone, Default)]
pub struct Reading(Vec<Option<CountAndTime>>);

impl Counters {
    /// Attaches every event that can be had to a process, which should not have started its threads.
    pub fn attach(roots: &Roots, process: u32) -> Counters {
        let mut counters = Counters::default();
        for (name, event) in EVENTS {
            match attach(event, process) {
                Ok((counter, user_only)) => counters.open.push(Attached {
                    name,
                    user_only,
                    counter,
                }),
                Err(error) => {
                    let reason = reason(&error, roots);
                    counters.missing.insert(name.to_owned(), reason);
                }
            }
        }
        counters
    }

    /// Reads all counters.
    pub fn read(&mut self) -> Reading {
        let counters = self.open.iter_mut();
        Reading(
            counters
                .map(|c| c.counter.read_count_and_time().ok())
                .collect(),
        )
    }

    /// What was counted between two readings. A counter that went away is missing, never zero.
    pub fn between(&self, before: &Reading, now: &Reading) -> CounterReadings {
        let mut readings = CounterReadings {
            counts: BTreeMap::new(),
            missing: self.missing.clone(),
        };
        for (index, attached) in self.open.iter().enumerate() {
            let of = |reading: &Reading| reading.0.get(index).copied().flatten();
            match (of(before), of(now)) {
                (Some(before), Some(now)) => {
                    let count = Count {
                        count: now.count.saturating_sub(before.count),
                        enabled_ns: now.time_enabled.saturating_sub(before.time_enabled),
                        running_ns: now.time_running.saturating_sub(before.time_running),
                        user_only: attached.user_only,
                    };
                    readings.counts.insert(attached.name.to_owned(), count);
                }
                _ => {
                    let reason = "it could not be read".to_owned();
                    readings.missing.insert(attached.name.to_owned(), reason);
                }
            }
        }
        readings
    }

    /// Names of the events that are counted, and whether in user mode only.
    pub fn counted(&self) -> Vec<(&'static str, bool)> {
        self.open.iter().map(|c| (c.name, c.user_only)).collect()
    }

    /// Names of the events that are not, with the reason.
    pub fn missing(&self) -> &BTreeMap<String, String> {
        &self.missing
    }
}

/// A counter of one event, with the kernel's part where that is allowed; else of user mode alone.
fn attach(event: Event, process: u32) -> io::Result<(Counter, bool)> {
    match open(event, process, false) {
        Ok(counter) => Ok((counter, false)),
        Err(error) => match errno(&error) {
            Some(Errno::ACCESS | Errno::PERM) => Ok((open(event, process, true)?, true)),
            _ => Err(error),
        },
    }
}

fn open(event: Event, process: u32, user_only: bool) -> io::Result<Counter> {
    let process = i32::try_from(process).map_err(io::Error::other)?;
    let mut builder = match event {
        Event::Hardware(event) => Builder::new(event),
        Event::Software(event) => Builder::new(event),
    };
    builder
        .observe_pid(process)
        .any_cpu()
        .inherit(true)
        .exclude_kernel(user_only);
    let mut counter = builder.build()?;
    counter.enable()?;
    Ok(counter)
}

fn errno(error: &io::Error) -> Option<Errno> {
    error.raw_os_error().map(Errno::from_raw_os_error)
}

/// Why an event is not counted.
fn reason(error: &io::Error, roots: &Roots) -> String {
    let paranoid = read_number::<i32>(&roots.proc("sys/kernel/perf_event_paranoid"));
    let virtual_machine = || {
        let cpu_info = read(&roots.proc("cpuinfo")).unwrap_or_default();
        cpu_info.contains(" hypervisor")
    };
    match errno(error) {
        Some(Errno::NOENT | Errno::OPNOTSUPP | Errno::NODEV) if virtual_machine() => {
            "this virtual machine has no PMU".to_owned()
        }
        Some(Errno::NOENT | Errno::OPNOTSUPP | Errno::NODEV) => {
            "the PMU of this CPU does not count it".to_owned()
        }
        Some(Errno::ACCESS) => match paranoid {
            Some(level) => format!("EACCES: kernel.perf_event_paranoid is {level}"),
            None => "EACCES: not for this user".to_owned(),
        },
        Some(Errno::PERM) => "EPERM: refused by a filter, such as a container's".to_owned(),
        Some(Errno::NOSYS) => "this kernel has no perf events".to_owned(),
        Some(Errno::SRCH) => "the process was gone".to_owned(),
        _ => error.to_string(),
    }
}

/// The command that helps with a reason of [`Counters::missing`], where one does.
pub fn fix(reason: &str) -> Option<String> {
    if reason.starts_with("EACCES") {
        return Some(
            "sudo sysctl kernel.perf_event_paranoid=2   # until the next boot; 1 counts the kernel's part too".to_owned(),
        );
    }
    reason.starts_with("EPERM").then(|| {
        "start the container with --cap-add PERFMON, or a seccomp profile that allows perf_event_open"
            .to_owned()
    })
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::{Command, Stdio};

    /// Software events of a process that starts another one after they were attached.
    #[test]
    fn counts_of_what_a_process_starts_are_its_own() {
        let mut child = Command::new("sh")
            .args([
                "-c",
                "read go; (i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done); read end",
            ])
            .stdin(Stdio::piped())
            .spawn()
            .expect("sh");
        let mut counters = Counters::attach(&Roots::machine(), child.id());
        let before = counters.read();
        let mut input = child.stdin.take().expect("stdin");
        writeln!(input, "go").expect("write");
        let counted = |counters: &mut Counters, name: &str| {
            let now = counters.read();
            counters.between(&before, &now).counts.get(name).copied()
        };
        if !counters
            .counted()
            .iter()
            .any(|(name, _)| *name == "task_clock_ns")
        {
            // No assertion without perf events, but a reason.
            println!("skipped: {:?}", counters.missing());
            assert!(counters.missing().contains_key("task_clock_ns"));
            drop(input);
            child.wait().expect("wait");
            return;
        }
        // The loop takes a tenth of a second of CPU; the shell that waits for it next to none.
        let begin = std::time::Instant::now();
        let mut clock = 0;
        while clock < 20_000_000 && begin.elapsed().as_secs() < 60 {
            std::thread::sleep(std::time::Duration::from_millis(10));
            clock = counted(&mut counters, "task_clock_ns").map_or(0, |count| count.count);
        }
        let faults = counted(&mut counters, "page_faults").map_or(0, |count| count.count);
        drop(input);
        child.wait().expect("wait");
        assert!(clock >= 20_000_000, "{clock} ns");
        assert!(faults > 0);
    }

    #[test]
    fn a_process_that_is_gone_has_no_counters_and_says_so() {
        let mut child = Command::new("true").spawn().expect("true");
        child.wait().expect("wait");
        let counters = Counters::attach(&Roots::machine(), child.id());
        assert_eq!(counters.counted(), []);
        assert_eq!(counters.missing().len(), EVENTS.len());
    }

    #[test]
    fn refusals_are_told_apart() {
        let folder = tempfile::tempdir().expect("temp dir");
        let proc = folder.path().join("proc");
        std::fs::create_dir_all(proc.join("sys/kernel")).expect("create");
        let roots = Roots::at(folder.path());
        let of = |errno: Errno| reason(&io::Error::from(errno), &roots);
        assert_eq!(of(Errno::NOENT), "the PMU of this CPU does not count it");
        assert_eq!(of(Errno::ACCESS), "EACCES: not for this user");
        std::fs::write(proc.join("sys/kernel/perf_event_paranoid"), "3\n").expect("write");
        std::fs::write(proc.join("cpuinfo"), "flags\t: fpu hypervisor\n").expect("write");
        assert_eq!(of(Errno::ACCESS), "EACCES: kernel.perf_event_paranoid is 3");
        assert_eq!(of(Errno::NOENT), "this virtual machine has no PMU");
        assert!(of(Errno::PERM).contains("container"));
        assert!(of(Errno::NOSYS).contains("kernel"));
        assert!(fix(&of(Errno::ACCESS)).is_some_and(|fix| fix.contains("paranoid")));
        assert!(fix(&of(Errno::PERM)).is_some_and(|fix| fix.contains("PERFMON")));
        assert_eq!(fix(&of(Errno::NOENT)), None);
    }
}
