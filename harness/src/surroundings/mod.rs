//! What else happens while a window lasts: one look at the system before it and one after.
//!
//! A look reads a dozen small files of `/proc` and `/sys`, some of them kept open, and takes well under a millisecond. Both
//! looks are outside the energy window: they are made before its counters are read first and after they are read last.

mod clock;
mod heat;
mod process;

use crate::counters::{self, Counters};
use crate::roots::{Roots, text};
use bitbench_reports::record::{CounterReadings, Surroundings, TICK_NS};
use clock::Clock;
use heat::Heat;
use process::{Switches, Times};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

/// Bytes that are read of a file: of `/proc/stat`, the first line is all that is needed.
const READ: usize = 4096;

/// Looks at the system. What cannot be read is absent in all it gives.
#[derive(Debug)]
pub struct Watch {
    roots: Roots,
    stat: Option<File>,
    cpu_pressure: Option<File>,
    memory_pressure: Option<File>,
    heat: Heat,
    clock: Clock,
    worker: Option<u32>,
    counters: Counters,
}

/// One look at the system.
#[derive(Debug, Clone)]
pub struct Look {
    at: Instant,
    took: Duration,
    system: Option<SystemTimes>,
    worker: Option<Times>,
    switches: Option<Switches>,
    harness: Option<Times>,
    cpu_pressure_us: Option<u64>,
    memory_pressure_us: Option<u64>,
    throttles: Vec<Option<u64>>,
    clock: clock::Residency,
    counters: counters::Reading,
}

/// CPU time of the whole machine, in ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SystemTimes {
    /// In processes, their system calls among it. Interrupts are nobody's.
    busy: u64,
    steal: u64,
}

impl Watch {
    /// Opens what is read again and again.
    pub fn open(roots: &Roots) -> Watch {
        let open = |name: &str| File::open(roots.proc(name)).ok();
        Watch {
            stat: open("stat"),
            cpu_pressure: open("pressure/cpu"),
            memory_pressure: open("pressure/memory"),
            heat: Heat::open(roots),
            clock: Clock::open(roots),
            worker: None,
            counters: Counters::default(),
            roots: roots.clone(),
        }
    }

    /// The process whose CPU time, faults and context switches count as the worker's from now on. Event counters are attached
    /// to it: it should not have started its threads yet.
    pub fn attach(&mut self, worker: u32) {
        self.worker = Some(worker);
        self.counters = Counters::attach(&self.roots, worker);
    }

    /// Looks at the system; give it to [`Watch::since`] after the window.
    pub fn look(&mut self) -> Look {
        let begin = Instant::now();
        let counters = self.counters.read();
        let worker = self.worker;
        let switches = worker.and_then(|id| process::switches(&self.roots, id));
        let throttles = self.heat.throttles();
        let clock = self.clock.residency();
        let pressure = |file: &Option<File>| parse_pressure(&again(file.as_ref()?)?);
        let cpu_pressure_us = pressure(&self.cpu_pressure);
        let memory_pressure_us = pressure(&self.memory_pressure);
        // What is taken from each other is read together.
        let system = self
            .stat
            .as_ref()
            .and_then(again)
            .and_then(|text| parse_system(&text));
        let worker = worker.and_then(|id| process::times(&self.roots, id));
        let harness = process::times_of_self(&self.roots);
        let at = Instant::now();
        Look {
            at,
            took: at - begin,
            system,
            worker,
            switches,
            harness,
            cpu_pressure_us,
            memory_pressure_us,
            throttles,
            clock,
            counters,
        }
    }

    /// What happened since a look.
    pub fn since(&mut self, before: &Look) -> (Surroundings, Option<CounterReadings>) {
        // The temperature first: it falls as soon as the work is done.
        let temperature_millicelsius = self.heat.temperature();
        let now = self.look();
        let attached = self.worker.is_some();
        let counters = attached.then(|| self.counters.between(&before.counters, &now.counters));
        let ticks = |ticks: Option<u64>| ticks.map(|ticks| ticks.saturating_mul(TICK_NS));
        let worker = difference(before.worker, now.worker, Times::since);
        let harness = difference(before.harness, now.harness, Times::since);
        let system = difference(before.system, now.system, |now, before| SystemTimes {
            busy: now.busy.saturating_sub(before.busy),
            steal: now.steal.saturating_sub(before.steal),
        });
        // Only what both the worker and the harness are taken from is of others.
        let of_worker = if attached {
            worker
        } else {
            Some(Times::default())
        };
        let others = match (system, of_worker, harness) {
            (Some(system), Some(worker), Some(harness)) => Some(
                system
                    .busy
                    .saturating_sub(worker.cpu_ticks())
                    .saturating_sub(harness.cpu_ticks()),
            ),
            _ => None,
        };
        let switches = match (&before.switches, &now.switches) {
            (Some(before), Some(now)) => Some(now.since(before)),
            _ => None,
        };
        let microseconds = |before: Option<u64>, now: Option<u64>| {
            difference(before, now, u64::saturating_sub).map(|us| us.saturating_mul(1000))
        };
        let surroundings = Surroundings {
            span_ns: nanoseconds(now.at - before.at),
            looks_ns: nanoseconds(before.took + now.took),
            further_spans: 0,
            worker_cpu_ns: ticks(worker.map(|w| w.cpu_ticks())),
            worker_system_ns: ticks(worker.map(|w| w.system)),
            harness_cpu_ns: ticks(harness.map(|h| h.cpu_ticks())),
            others_cpu_ns: ticks(others),
            steal_ns: ticks(system.map(|s| s.steal)),
            major_faults: worker.map(|w| w.major_faults),
            minor_faults: worker.map(|w| w.minor_faults),
            voluntary_switches: switches.map(|(voluntary, _)| voluntary),
            involuntary_switches: switches.map(|(_, involuntary)| involuntary),
            cpu_pressure_ns: microseconds(before.cpu_pressure_us, now.cpu_pressure_us),
            memory_pressure_ns: microseconds(before.memory_pressure_us, now.memory_pressure_us),
            temperature_millicelsius,
            throttles: heat::throttled(&before.throttles, &now.throttles),
            cpufreq_khz: clock::mean_khz(&before.clock, &now.clock),
        };
        (surroundings, counters)
    }
}

/// The temperature of the CPU now, in thousandths of a degree Celsius.
pub fn temperature(roots: &Roots) -> Option<i64> {
    Heat::open(roots).temperature()
}

fn difference<T>(before: Option<T>, now: Option<T>, minus: impl Fn(T, T) -> T) -> Option<T> {
    Some(minus(now?, before?))
}

/// One thing that can be read around windows, for `bitbench doctor`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// What it is.
    pub name: &'static str,
    /// Where it is read, or why it is not.
    pub state: Result<String, String>,
    /// The command or setting that helps, where one is known.
    pub fix: Option<&'static str>,
}

/// What can be read around windows here, and why the rest cannot.
pub fn survey(roots: &Roots) -> Vec<Seen> {
    let mut watch = Watch::open(roots);
    let look = watch.look();
    let file = |name: &str| roots.proc(name).display().to_string();
    let missing = |name: &str| match std::fs::read(roots.proc(name)) {
        Err(error) => format!("{}: {error}", file(name)),
        Ok(_) => format!("{} does not have what is expected", file(name)),
    };
    let pressure = |name: &'static str, path: &str, seen: bool| Seen {
        name,
        state: if seen {
            Ok(file(path))
        } else {
            Err(missing(path))
        },
        fix: (!seen).then_some("boot with psi=1, where the kernel has CONFIG_PSI"),
    };
    let told = |name, seen: bool, path: &str| Seen {
        name,
        state: if seen {
            Ok(file(path))
        } else {
            Err(missing(path))
        },
        fix: None,
    };
    vec![
        told(
            "CPU time of other processes",
            look.system.is_some() && look.harness.is_some(),
            "stat",
        ),
        told("steal", look.system.is_some(), "stat"),
        told(
            "page faults, CPU time of the worker",
            look.harness.is_some(),
            "self/stat",
        ),
        told(
            "context switches",
            process::switches(roots, std::process::id()).is_some(),
            "self/status",
        ),
        pressure(
            "CPU pressure",
            "pressure/cpu",
            look.cpu_pressure_us.is_some(),
        ),
        pressure(
            "memory pressure",
            "pressure/memory",
            look.memory_pressure_us.is_some(),
        ),
        watch.heat.seen_temperature(roots),
        watch.heat.seen_throttles(roots),
        watch.clock.seen(roots),
    ]
}

/// Reads an open file from its beginning, at most its first [`READ`] bytes.
fn again(file: &File) -> Option<String> {
    let mut buffer = [0; READ];
    let length = file.read_at(&mut buffer, 0).ok()?;
    Some(text(&buffer[..length]))
}

/// A number that is alone in its file.
fn number(file: &File) -> Option<u64> {
    again(file)?.trim().parse().ok()
}

/// `cpu  user nice system idle iowait irq softirq steal ...`; user has the time of guests in it.
fn parse_system(stat: &str) -> Option<SystemTimes> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let mut fields = line.split_ascii_whitespace().map(str::parse::<u64>);
    let mut field = || fields.next()?.ok();
    let (user, nice, system) = (field()?, field()?, field()?);
    let (_idle, _iowait, _irq, _softirq) = (field()?, field()?, field()?, field()?);
    Some(SystemTimes {
        busy: user.checked_add(nice)?.checked_add(system)?,
        steal: field()?,
    })
}

/// The microseconds of `some avg10=0.00 avg60=0.00 avg300=0.00 total=5612141`.
fn parse_pressure(pressure: &str) -> Option<u64> {
    let line = pressure.lines().find_map(|l| l.strip_prefix("some "))?;
    let total = line.split(' ').find_map(|f| f.strip_prefix("total="))?;
    total.trim().parse().ok()
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
