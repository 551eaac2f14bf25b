//! Live counters of known power: a thread of the test writes them as the kernel would, and keeps a ledger of what it wrote when.

use crate::tree::Tree;
use bitbench::energy::reading::Snapshot;
use bitbench::energy::{EnergySource, SourceInfo};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// One update of the hardware.
pub(crate) const PERIOD_US: u64 = 1000;

/// Power over time, in watts.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Power {
    Constant(u64),
    /// Low for half a period, then high.
    Square {
        low: u64,
        high: u64,
        period_us: u64,
    },
}

impl Power {
    /// Energy of the first `us` microseconds in microjoules: watts times microseconds.
    pub(crate) fn energy_uj(self, us: u64) -> u64 {
        match self {
            Power::Constant(watts) => watts * us,
            Power::Square {
                low,
                high,
                period_us,
            } => {
                let half = period_us / 2;
                let low_us = us / period_us * half + (us % period_us).min(half);
                low * low_us + high * (us - low_us)
            }
        }
    }

    pub(crate) fn highest(self) -> u64 {
        match self {
            Power::Constant(watts) => watts,
            Power::Square { high, .. } => high,
        }
    }
}

/// What a counter does when it is told to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Sticks,
    Resets,
}

/// One counter: its power, its first value, and the zones that show it.
#[derive(Debug, Clone)]
pub(crate) struct Counter {
    pub(crate) zones: Vec<(&'static str, &'static str)>,
    pub(crate) power: Power,
    pub(crate) start_uj: u64,
    pub(crate) range_uj: u64,
    pub(crate) fault: Option<Fault>,
}

/// A counter of one zone that is far from its end.
pub(crate) fn counter(zone: &'static str, name: &'static str, watts: u64) -> Counter {
    Counter {
        zones: vec![(zone, name)],
        power: Power::Constant(watts),
        start_uj: 100_000_000_000,
        range_uj: 262_143_328_850,
        fault: None,
    }
}

/// What was written: when, and the value as the counter shows it and as it would be without wraps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) at: Duration,
    pub(crate) shown_uj: u64,
    pub(crate) total_uj: u64,
}

/// A tree whose counters move.
pub(crate) struct Live {
    pub(crate) tree: Tree,
    pub(crate) counters: Vec<Counter>,
    pub(crate) begin: Duration,
    faulty: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    writer: Option<JoinHandle<Vec<Vec<Entry>>>>,
}

impl Live {
    pub(crate) fn start(counters: Vec<Counter>) -> Live {
        let tree = Tree::new();
        let mut files = Vec::new();
        for counter in &counters {
            let mut of_counter = Vec::new();
            for (zone, name) in &counter.zones {
                tree.zone(zone, name, &format!("{}\n", counter.range_uj));
                let path = tree.zone_path(zone).join("energy_uj");
                of_counter.push(File::options().write(true).open(path).unwrap());
            }
            files.push(of_counter);
        }
        let begin = now();
        let [faulty, stop] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
        let mut writer = Writer {
            counters: counters.clone(),
            files,
            begin,
            faulty: Arc::clone(&faulty),
            broken: vec![None; counters.len()],
            ledger: vec![Vec::new(); counters.len()],
        };
        writer.write();
        let stopped = Arc::clone(&stop);
        let writer = std::thread::spawn(move || {
            while !stopped.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_micros(PERIOD_US));
                writer.write();
            }
            writer.ledger
        });
        Live {
            tree,
            counters,
            begin,
            faulty,
            stop,
            writer: Some(writer),
        }
    }

    /// From now on the faults happen.
    pub(crate) fn break_counters(&self) {
        self.faulty.store(true, Ordering::SeqCst);
    }

    /// Ends the writer and gives what it wrote, counter by counter.
    pub(crate) fn ledger(&mut self) -> Vec<Vec<Entry>> {
        self.stop.store(true, Ordering::SeqCst);
        self.writer.take().unwrap().join().unwrap()
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

struct Writer {
    counters: Vec<Counter>,
    files: Vec<Vec<File>>,
    begin: Duration,
    faulty: Arc<AtomicBool>,
    /// When each counter broke, and its total then.
    broken: Vec<Option<u64>>,
    ledger: Vec<Vec<Entry>>,
}

impl Writer {
    /// Writes every counter as of the last whole period.
    fn write(&mut self) {
        let at = now();
        let us = u64::try_from((at - self.begin).as_micros()).unwrap() / PERIOD_US * PERIOD_US;
        for (index, counter) in self.counters.iter().enumerate() {
            let mut total_uj = counter.start_uj + counter.power.energy_uj(us);
            let mut shown_uj = total_uj % (counter.range_uj + 1);
            if let (Some(fault), true) = (counter.fault, self.faulty.load(Ordering::SeqCst)) {
                let then = *self.broken[index].get_or_insert(total_uj);
                match fault {
                    Fault::Sticks => (total_uj, shown_uj) = (then, then % (counter.range_uj + 1)),
                    Fault::Resets => shown_uj = total_uj - then,
                }
            }
            // In place and of constant width, so that no reader sees half a number.
            let text = format!("{shown_uj:020}\n");
            for file in &self.files[index] {
                file.write_all_at(text.as_bytes(), 0).unwrap();
            }
            self.ledger[index].push(Entry {
                at,
                shown_uj,
                total_uj,
            });
        }
    }
}

/// A source that keeps what it read.
pub(crate) struct Recording {
    pub(crate) source: Box<dyn EnergySource>,
    pub(crate) snapshots: Arc<Mutex<Vec<Snapshot>>>,
}

impl EnergySource for Recording {
    fn info(&self) -> &SourceInfo {
        self.source.info()
    }

    fn snapshot(&mut self) -> Snapshot {
        let snapshot = self.source.snapshot();
        self.snapshots.lock().unwrap().push(snapshot.clone());
        snapshot
    }
}

pub(crate) fn now() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::new(
        time.tv_sec.try_into().unwrap(),
        time.tv_nsec.try_into().unwrap(),
    )
}
