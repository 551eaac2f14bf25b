//! Energy counters of the machine.
//!
//! A source gives raw values and nothing else; [`delta`] turns two of a counter into an advance or a named fault, [`power`] two
//! of a power reading into energy, [`window`] adds advances up, and [`crate::meter`] holds the source and polls it. To add a source: one file with a
//! `KIND`, one line in [`SOURCES`].

mod battery;
pub mod choice;
pub mod crosscheck;
pub mod delta;
mod external;
mod hwmon;
mod input;
mod msr;
mod nvml;
pub mod perf;
pub mod power;
mod powercap;
mod rapl;
pub mod reading;
pub mod survey;
pub mod sysfs;
pub mod tick;
pub mod unavailable;
pub mod window;

use bitbench_reports::record::{DomainInfo, Provenance};
use choice::Choice;
use reading::Snapshot;
use std::time::Duration;
use sysfs::SysFs;
use tick::Tick;
use unavailable::Unavailable;

/// An open set of energy counters.
pub trait EnergySource: Send {
    /// What is read and what a reader of the figures must know.
    fn info(&self) -> &SourceInfo;

    /// Reads every domain once: raw values, no arithmetic, no memory of earlier readings.
    ///
    /// The values stand in the order of [`SourceInfo::domains`].
    fn snapshot(&mut self) -> Snapshot;
}

/// A kind of energy source, and how to open it.
#[derive(Debug)]
pub struct SourceKind {
    /// Name in the record and in `bitbench list`.
    pub name: &'static str,
    /// What it reads, in a line.
    pub about: &'static str,
    /// Whether it is tried when no source is named. Those that cover something else than the CPU, or need more rights than
    /// others that say the same, must be named.
    pub auto: bool,
    /// What must follow the name and a colon.
    pub argument: Option<&'static str>,
    /// Opens the counters, or says what is in the way. The text is the argument, or empty.
    pub open: fn(&SysFs, &str) -> Attempt,
}

/// What opening a source comes to.
pub type Attempt = Result<Box<dyn EnergySource>, Unavailable>;

impl SourceKind {
    /// The source of a name.
    pub fn find(name: &str) -> Option<&'static SourceKind> {
        SOURCES.iter().copied().find(|kind| kind.name == name)
    }

    /// Its name as `--energy` takes it.
    pub fn usage(&self) -> String {
        match self.argument {
            Some(argument) => format!("{}:{argument}", self.name),
            None => self.name.to_owned(),
        }
    }
}

/// What an open source reads.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceInfo {
    /// [`SourceKind::name`].
    pub name: &'static str,
    /// Where its figures come from.
    pub provenance: Provenance,
    /// The domains, in the order of [`Snapshot::values`].
    pub domains: Vec<Domain>,
    /// What was left out and why, and what a reader must know.
    pub caveats: Vec<String>,
}

/// One domain, with what is needed to judge its readings.
#[derive(Debug, Clone, PartialEq)]
pub struct Domain {
    /// What is stored about it.
    pub info: DomainInfo,
    /// What its raw values are.
    pub reads: Reads,
    /// Largest raw value before the counter starts again at 0, in ticks; absent where it is unknown or there is none.
    pub range: Option<u64>,
    /// Time between two updates of the counter by the hardware.
    pub update_period: Duration,
    /// Power that no part of this kind reaches, in watts: a faster counter is a broken one.
    pub max_watts: u32,
    /// Shortest window that gives a figure.
    pub min_window: Duration,
}

/// What the raw values of a domain are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// Energy since some moment, in steps of this size.
    Counter(Tick),
    /// Power at the moment of the reading, in microwatts, to be read again and again.
    Power {
        /// Time between two readings.
        every: Duration,
        /// Longest time between two readings that is bridged: what happened in a longer one is unknown.
        longest_gap: Duration,
    },
}

/// Longest time between two readings within a window. At 10 s no package can go twice round the smallest range there is; a
/// tenth of that also shows a counter that sticks in mid-window, and takes some microseconds a second.
const LONGEST_POLL: Duration = Duration::from_secs(1);

/// Shortest time between two readings: what a counter takes to move.
const SHORTEST_POLL: Duration = Duration::from_millis(1);

impl Domain {
    /// The unit in which the energy of a window is summed up.
    pub fn tick(&self) -> Tick {
        match self.reads {
            Reads::Counter(tick) => tick,
            Reads::Power { .. } => Tick::FEMTOJOULE,
        }
    }

    /// Time between two readings within a window: a quarter of the shortest time in which the counter can go round.
    pub fn poll_every(&self) -> Duration {
        let every = match (self.reads, self.range) {
            (Reads::Power { every, .. }, _) => every,
            (Reads::Counter(_), None) => LONGEST_POLL,
            (Reads::Counter(tick), Some(range)) => {
                let uj = tick.microjoules(u128::from(range));
                let quarter_us = uj / u128::from(self.max_watts.max(1)) / 4;
                Duration::from_micros(u64::try_from(quarter_us).unwrap_or(u64::MAX))
            }
        };
        every.clamp(SHORTEST_POLL, LONGEST_POLL)
    }
}

/// All kinds of sources, the preferred first. A model is not a source: unknown energy stays unknown.
pub static SOURCES: &[&SourceKind] = &[
    &powercap::KIND,
    &perf::KIND,
    &hwmon::KIND,
    &powercap::PSYS,
    &msr::KIND,
    &battery::KIND,
    &nvml::KIND,
    &external::FILE,
    &external::COMMAND,
];

/// What [`open`] found.
pub enum Opened {
    /// The first source of [`SOURCES`] that opened.
    Source(Box<dyn EnergySource>),
    /// None opened: the name of every source, and why.
    Unavailable(Vec<(&'static str, Unavailable)>),
}

/// Opens the first source that can be opened, in the order of [`SOURCES`], of those that need not be named.
pub fn open(sys: &SysFs) -> Opened {
    open_first(sys, SOURCES.iter().filter(|k| k.auto).map(|k| (*k, "")))
}

/// Opens what was chosen. A source that was named has no stand-in.
pub fn open_choice(sys: &SysFs, choice: &Choice) -> Opened {
    match choice {
        Choice::Auto => open(sys),
        Choice::Off => Opened::Unavailable(Vec::new()),
        Choice::Named { kind, argument } => open_first(sys, [(*kind, argument.as_str())]),
    }
}

fn open_first<'a>(
    sys: &SysFs,
    kinds: impl IntoIterator<Item = (&'static SourceKind, &'a str)>,
) -> Opened {
    let mut reasons = Vec::new();
    for (kind, argument) in kinds {
        match (kind.open)(sys, argument) {
            Ok(source) => return Opened::Source(source),
            Err(reason) => reasons.push((kind.name, reason)),
        }
    }
    Opened::Unavailable(reasons)
}
