//! What each source has to say of this machine, for `bitbench list` and `bitbench doctor`.

use super::choice::Choice;
use super::sysfs::SysFs;
use super::unavailable::Unavailable;
use super::{SOURCES, SourceInfo};
use bitbench_reports::record::EnergySourceInfo;

/// One source, and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Surveyed {
    /// [`super::SourceKind::name`].
    pub name: &'static str,
    /// [`super::SourceKind::about`].
    pub about: &'static str,
    /// Whether it must be named.
    pub by_name_only: bool,
    /// Whether a run would read this one.
    pub chosen: bool,
    /// What it reads, or why it cannot.
    pub state: Result<SourceInfo, Unavailable>,
}

impl Surveyed {
    /// A few words for a table: `chosen`, `available`, `available when named` or `unavailable`.
    pub fn status(&self) -> &'static str {
        match (&self.state, self.chosen) {
            (Ok(_), true) => "chosen",
            (Ok(_), false) if self.by_name_only => "available when named",
            (Ok(_), false) => "available",
            (Err(_), _) => "unavailable",
        }
    }

    /// Why it cannot be read.
    pub fn reason(&self) -> Option<String> {
        self.state.as_ref().err().map(ToString::to_string)
    }

    /// What would help, one command a line.
    pub fn remedy(&self) -> Option<String> {
        self.state.as_ref().err().and_then(Unavailable::remedy)
    }
}

/// Opens every source of [`SOURCES`] once, in order, and closes it again.
pub fn survey(sys: &SysFs) -> Vec<Surveyed> {
    survey_for(sys, &Choice::Auto)
}

/// As [`survey`], for a run with another choice.
pub fn survey_for(sys: &SysFs, choice: &Choice) -> Vec<Surveyed> {
    let mut surveyed: Vec<Surveyed> = Vec::new();
    for kind in SOURCES {
        let named = match choice {
            Choice::Named {
                kind: named,
                argument,
            } if named.name == kind.name => Some(argument),
            _ => None,
        };
        let argument = named.map_or("", String::as_str);
        let state = (kind.open)(sys, argument).map(|source| source.info().clone());
        let wanted = match choice {
            Choice::Auto => kind.auto && !surveyed.iter().any(|s| s.chosen),
            Choice::Off => false,
            Choice::Named { .. } => named.is_some(),
        };
        surveyed.push(Surveyed {
            name: kind.name,
            about: kind.about,
            by_name_only: !kind.auto,
            chosen: wanted && state.is_ok(),
            state,
        });
    }
    surveyed
}

impl From<&SourceInfo> for EnergySourceInfo {
    fn from(info: &SourceInfo) -> EnergySourceInfo {
        EnergySourceInfo::Open {
            source: info.name.to_owned(),
            provenance: info.provenance,
            domains: info.domains.iter().map(|d| d.info.clone()).collect(),
            caveats: info.caveats.clone(),
        }
    }
}

/// The record of a machine on which no source could be opened: every name with its reason.
pub fn none_of(reasons: &[(&'static str, Unavailable)]) -> EnergySourceInfo {
    let join = |texts: Vec<String>, separator| (!texts.is_empty()).then(|| texts.join(separator));
    let messages = reasons.iter().map(|(name, r)| format!("{name}: {r}"));
    let mut remedies: Vec<String> = reasons.iter().filter_map(|(_, r)| r.remedy()).collect();
    remedies.dedup();
    EnergySourceInfo::Unavailable {
        reason: join(messages.collect(), "; ").unwrap_or_else(|| "no energy source".to_owned()),
        remedy: join(remedies, "\n"),
    }
}
