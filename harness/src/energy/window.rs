//! One window of one source: advances added up between the first reading and the last.

use super::delta::{self, DeltaFault};
use super::power::{self, PowerFault};
use super::reading::{ReadFault, Snapshot};
use super::tick::Tick;
use super::{Domain, Reads, SourceInfo};
use bitbench_reports::record::{DomainEnergy, Energy, MeasuredMicrojoules, WindowEnergy};
use std::time::Duration;

/// Change of the time asleep that stands for a suspend. Real ones last seconds; the two clocks are read some microseconds apart.
const SUSPENDED: Duration = Duration::from_millis(100);

/// Why a domain has no figure for a window.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WindowFault {
    /// It could not be read.
    #[error(transparent)]
    Read(#[from] ReadFault),
    /// Two readings have no difference.
    #[error(transparent)]
    Delta(#[from] DeltaFault),
    /// Two readings of power have no energy between them.
    #[error(transparent)]
    Power(#[from] PowerFault),
    /// The window was too short for the figure to mean something.
    #[error(
        "window too short: {:.3} s is {} counter updates, error up to {:.1} %; at least {} s are needed",
        window.as_secs_f64(),
        updates(*window, *update_period),
        100.0 * update_period.as_secs_f64() / window.as_secs_f64().max(1e-9),
        min_window.as_secs_f64()
    )]
    TooShort {
        /// Its length.
        window: Duration,
        /// Time between two updates of the counter.
        update_period: Duration,
        /// The shortest window allowed.
        min_window: Duration,
    },
    /// The window was too short for a counter to which the CPU adds noise.
    #[error(
        "window too short: {:.3} s; SGX is enabled, Intel then adds noise to RAPL, and at least {} s are needed",
        window.as_secs_f64(),
        min_window.as_secs_f64()
    )]
    TooShortForNoise {
        /// Its length.
        window: Duration,
        /// The shortest window allowed.
        min_window: Duration,
    },
    /// More energy than the record can hold.
    #[error("more than 2^64 microjoules")]
    TooMuch,
}

fn updates(window: Duration, update_period: Duration) -> u128 {
    window.as_nanos() / update_period.as_nanos().max(1)
}

/// One value of a snapshot. A source that gives too few has lost a counter: the total must not become a smaller one.
fn reading(snapshot: &Snapshot, index: usize) -> Result<u64, ReadFault> {
    let value = snapshot.values.get(index).cloned();
    value.unwrap_or(Err(ReadFault::Gone))
}

/// A window that is open: the first reading, the last, and what happened in between.
#[derive(Debug)]
pub struct OpenWindow {
    first: Snapshot,
    last: Snapshot,
    polls: u32,
    suspended: Option<Duration>,
    tallies: Vec<Tally>,
}

/// What one domain has come to.
#[derive(Debug, Default)]
struct Tally {
    /// In ticks of the domain.
    total: u128,
    wraps: u32,
    /// For how long at least it has not moved.
    still: Duration,
    /// The first thing that went wrong; the domain has no figure from then on.
    fault: Option<WindowFault>,
}

impl OpenWindow {
    /// Opens a window at a first reading.
    pub fn open(first: Snapshot) -> OpenWindow {
        let tally = |value: &Result<u64, ReadFault>| Tally {
            fault: value.clone().err().map(WindowFault::Read),
            ..Tally::default()
        };
        OpenWindow {
            last: first.clone(),
            polls: 0,
            suspended: None,
            tallies: first.values.iter().map(tally).collect(),
            first,
        }
    }

    /// Adds a reading in between, made so that no wrap goes unseen.
    pub fn poll(&mut self, snapshot: Snapshot, domains: &[Domain]) {
        self.polls = self.polls.saturating_add(1);
        self.add(snapshot, domains);
    }

    fn add(&mut self, snapshot: Snapshot, domains: &[Domain]) {
        let slept = snapshot.asleep.abs_diff(self.last.asleep);
        if slept >= SUSPENDED {
            *self.suspended.get_or_insert_default() += slept;
        }
        let times = Times {
            // The two values were read this far apart at most, and at least.
            most: snapshot.after.saturating_sub(self.last.before),
            least: snapshot.before.saturating_sub(self.last.after),
            between: snapshot.at().saturating_sub(self.last.at()),
        };
        let mut moved = false;
        for (index, (tally, domain)) in self.tallies.iter_mut().zip(domains).enumerate() {
            let (prev, cur) = (reading(&self.last, index), reading(&snapshot, index));
            moved |= tally.step(prev, cur, times, domain);
        }
        for (tally, domain) in self.tallies.iter_mut().zip(domains) {
            let is_counter = matches!(domain.reads, Reads::Counter(_));
            if let (true, None) = (is_counter, &tally.fault) {
                let stuck = delta::stuck(tally.still, moved, domain);
                tally.fault = stuck.map(WindowFault::Delta);
            }
        }
        self.last = snapshot;
    }

    /// Adds the last reading and closes the window.
    ///
    /// One faulty domain leaves the others their figures; a total over it is refused by
    /// [`WindowEnergy::total_joules`]. The window is void as a whole when the machine was suspended, or when a domain that
    /// counts could not be read at its start.
    pub fn close(mut self, last: Snapshot, info: &SourceInfo) -> Energy {
        self.add(last, &info.domains);
        if let Some(time) = self.suspended {
            let seconds = time.as_secs_f64();
            return Energy::Unavailable {
                reason: format!(
                    "the machine was suspended for {seconds:.1} s within the window: window discarded"
                ),
            };
        }
        let window = self.last.at().saturating_sub(self.first.at());
        let mut domains = Vec::new();
        self.tallies.resize_with(info.domains.len(), Tally::default);
        for (index, (domain, tally)) in info.domains.iter().zip(self.tallies).enumerate() {
            let start = match reading(&self.first, index) {
                Ok(start) => start,
                Err(fault) if domain.info.counted => {
                    return Energy::Unavailable {
                        reason: format!("{}: {fault}", domain.info.name),
                    };
                }
                Err(_) => continue,
            };
            let end = reading(&self.last, index).ok();
            let wraps = tally.wraps;
            let energy = tally.energy(window, domain);
            let (start_uj, end_uj) = match domain.reads {
                Reads::Counter(tick) => (
                    microjoules(tick, u128::from(start)).unwrap_or(u64::MAX),
                    end.and_then(|end| microjoules(tick, u128::from(end))),
                ),
                Reads::Power { .. } => (0, energy.as_ref().ok().map(|energy| energy.0)),
            };
            let raw = match domain.reads {
                Reads::Counter(tick) => tick != Tick::MICROJOULE,
                Reads::Power { .. } => false,
            };
            domains.push(DomainEnergy {
                name: domain.info.name.clone(),
                kind: domain.info.kind,
                counted: domain.info.counted,
                start_uj,
                end_uj,
                start_ticks: raw.then_some(start),
                end_ticks: end.filter(|_| raw),
                wraps,
                energy_uj: energy.as_ref().ok().copied(),
                fault: energy.err().map(|fault| fault.to_string()),
            });
        }
        Energy::Measured(WindowEnergy {
            source: info.name.to_owned(),
            provenance: info.provenance,
            window_ns: u64::try_from(window.as_nanos()).unwrap_or(u64::MAX),
            polls: self.polls,
            domains,
        })
    }
}

/// `ticks` in microjoules, where they can be stored.
fn microjoules(tick: Tick, ticks: u128) -> Option<u64> {
    u64::try_from(tick.microjoules(ticks)).ok()
}

/// How far apart two readings are.
#[derive(Debug, Clone, Copy)]
struct Times {
    most: Duration,
    least: Duration,
    /// From the middle of one reading to the middle of the other.
    between: Duration,
}

impl Tally {
    /// Adds one step; gives whether it went anywhere.
    fn step(
        &mut self,
        prev: Result<u64, ReadFault>,
        cur: Result<u64, ReadFault>,
        times: Times,
        domain: &Domain,
    ) -> bool {
        if self.fault.is_some() {
            return false;
        }
        match Tally::between(prev, cur, times, domain) {
            Ok((ticks, wrapped)) => {
                self.total = self.total.saturating_add(ticks);
                self.wraps += u32::from(wrapped);
                self.still = match ticks {
                    0 => self.still.saturating_add(times.least),
                    _ => Duration::ZERO,
                };
                ticks > 0
            }
            Err(fault) => {
                self.fault = Some(fault);
                false
            }
        }
    }

    /// The energy between two readings in ticks, and whether the counter wrapped.
    fn between(
        prev: Result<u64, ReadFault>,
        cur: Result<u64, ReadFault>,
        times: Times,
        domain: &Domain,
    ) -> Result<(u128, bool), WindowFault> {
        let (prev, cur) = (prev?, cur?);
        Ok(match domain.reads {
            Reads::Counter(_) => {
                let advance = delta::delta(prev, cur, times.most, domain)?;
                (u128::from(advance.ticks), advance.wrapped)
            }
            Reads::Power { longest_gap, .. } => {
                let max_watts = domain.max_watts;
                let dt = times.between;
                let energy = power::trapezoid(prev, cur, dt, longest_gap, max_watts)?;
                (energy, false)
            }
        })
    }

    /// The figure of the whole window.
    fn energy(self, window: Duration, domain: &Domain) -> Result<MeasuredMicrojoules, WindowFault> {
        let Domain {
            update_period,
            min_window,
            ..
        } = *domain;
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        if window < update_period * 100 {
            return Err(WindowFault::TooShort {
                window,
                update_period,
                min_window,
            });
        }
        if window < min_window {
            return Err(WindowFault::TooShortForNoise { window, min_window });
        }
        // A hundred updates and not one unit: it stands still, even if the window is below a second.
        if self.total == 0 {
            let (time, others_moved) = (window, false);
            return Err(DeltaFault::Stuck { time, others_moved }.into());
        }
        let energy_uj = microjoules(domain.tick(), self.total).ok_or(WindowFault::TooMuch)?;
        Ok(MeasuredMicrojoules(energy_uj))
    }
}
