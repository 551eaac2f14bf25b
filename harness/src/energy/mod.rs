//! Energy counters of the machine.
//!
//! A source gives raw counter values and nothing else; [`delta`] turns two of them into an advance or a named fault,
//! [`window`] adds advances up, and [`crate::meter`] holds the source and polls it. To add a source: one file with a
//! `KIND`, one line in [`SOURCES`].

pub mod delta;
mod powercap;
pub mod reading;
pub mod survey;
pub mod sysfs;
pub mod unavailable;
pub mod window;

use bitbench_reports::record::{DomainInfo, Provenance};
use reading::Snapshot;
use std::time::Duration;
use sysfs::SysFs;
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
    /// Opens the counters, or says what is in the way.
    pub open: fn(&SysFs) -> Result<Box<dyn EnergySource>, Unavailable>,
}

/// What an open source reads.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceInfo {
    /// [`SourceKind::name`].
    pub name: &'static str,
    /// Where its figures come from.
    pub provenance: Provenance,
    /// The domains, in the order of [`Snapshot::counters_uj`].
    pub domains: Vec<Domain>,
    /// What was left out and why, and what a reader must know.
    pub caveats: Vec<String>,
}

/// One domain, with what is needed to judge its readings.
#[derive(Debug, Clone, PartialEq)]
pub struct Domain {
    /// What is stored about it.
    pub info: DomainInfo,
    /// Time between two updates of the counter by the hardware.
    pub update_period: Duration,
    /// Power that no part of this kind reaches, in watts: a faster counter is a broken one.
    pub max_watts: u32,
    /// Shortest window that gives a figure.
    pub min_window: Duration,
}

/// All kinds of sources, the preferred first. A model is not a source: unknown energy stays unknown.
pub static SOURCES: &[&SourceKind] = &[&powercap::KIND];

/// What [`open`] found.
pub enum Opened {
    /// The first source of [`SOURCES`] that opened.
    Source(Box<dyn EnergySource>),
    /// None opened: the name of every source, and why.
    Unavailable(Vec<(&'static str, Unavailable)>),
}

/// Opens the first source that can be opened, in the order of [`SOURCES`].
pub fn open(sys: &SysFs) -> Opened {
    let mut reasons = Vec::new();
    for kind in SOURCES {
        match (kind.open)(sys) {
            Ok(source) => return Opened::Source(source),
            Err(reason) => reasons.push((kind.name, reason)),
        }
    }
    Opened::Unavailable(reasons)
}
