//! One window of one source: advances added up between the first reading and the last.

use super::delta::{self, DeltaFault};
use super::reading::{ReadFault, Snapshot};
use super::{Domain, SourceInfo};
use bitbench_reports::record::{DomainEnergy, Energy, MeasuredMicrojoules, WindowEnergy};
use std::time::Duration;

/// Change of the time asleep that stands for a suspend. Real ones last seconds; the two clocks are read some microseconds apart.
const SUSPENDED: Duration = Duration::from_millis(100);

/// A counter that stands still for this long is not a counter: RAPL is updated about every millisecond.
const STANDSTILL: Duration = Duration::from_secs(1);

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
    /// It did not move.
    #[error("counter did not move for {:.3} s: not reported as 0 J", time.as_secs_f64())]
    DidNotMove {
        /// For how long.
        time: Duration,
    },
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
    let value = snapshot.counters_uj.get(index).cloned();
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
    total_uj: u128,
    wraps: u32,
    /// The first thing that went wrong; the domain has no figure from then on.
    fault: Option<WindowFault>,
}

impl OpenWindow {
    /// Opens a window at a first reading.
    pub fn open(first: Snapshot) -> OpenWindow {
        let tally = |counter: &Result<u64, ReadFault>| Tally {
            fault: counter.clone().err().map(WindowFault::Read),
            ..Tally::default()
        };
        OpenWindow {
            last: first.clone(),
            polls: 0,
            suspended: None,
            tallies: first.counters_uj.iter().map(tally).collect(),
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
        // The two values were read this far apart at most.
        let dt = snapshot.after.saturating_sub(self.last.before);
        for (index, (tally, domain)) in self.tallies.iter_mut().zip(domains).enumerate() {
            if tally.fault.is_some() {
                continue;
            }
            let (prev, cur) = (reading(&self.last, index), reading(&snapshot, index));
            match tally.step(prev, cur, dt, domain) {
                Ok(0) if dt >= STANDSTILL => {
                    tally.fault = Some(WindowFault::DidNotMove { time: dt });
                }
                Ok(uj) => tally.total_uj += u128::from(uj),
                Err(fault) => tally.fault = Some(fault),
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
            let start_uj = match reading(&self.first, index) {
                Ok(start_uj) => start_uj,
                Err(fault) if domain.info.counted => {
                    return Energy::Unavailable {
                        reason: format!("{}: {fault}", domain.info.name),
                    };
                }
                Err(_) => continue,
            };
            let wraps = tally.wraps;
            let energy = tally.energy(window, domain);
            domains.push(DomainEnergy {
                name: domain.info.name.clone(),
                kind: domain.info.kind,
                counted: domain.info.counted,
                start_uj,
                end_uj: reading(&self.last, index).ok(),
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

impl Tally {
    /// How far one step went, in microjoules.
    fn step(
        &mut self,
        prev: Result<u64, ReadFault>,
        cur: Result<u64, ReadFault>,
        dt: Duration,
        domain: &Domain,
    ) -> Result<u64, WindowFault> {
        let advance = delta::delta(prev?, cur?, dt, domain)?;
        self.wraps += u32::from(advance.wrapped);
        Ok(advance.uj)
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
        if self.total_uj == 0 {
            return Err(WindowFault::DidNotMove { time: window });
        }
        let energy_uj = u64::try_from(self.total_uj).map_err(|_| WindowFault::TooMuch)?;
        Ok(MeasuredMicrojoules(energy_uj))
    }
}
