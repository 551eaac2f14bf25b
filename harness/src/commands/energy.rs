//! What `run`, `doctor` and `list` share about energy sources.

use super::{Code, CommandError};
use crate::energy::choice::Choice;
use crate::energy::crosscheck::cross_check;
use crate::energy::survey::{Surveyed, survey, survey_for};
use crate::energy::sysfs::SysFs;
use crate::meter::Meter;
use crate::suite::{EnergyPolicy, LoadedSuite};
use anyhow::anyhow;
use bitbench_reports::record::EnergySourceInfo;
use std::path::PathBuf;

/// Where energy is read, for every command that reads it.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct EnergyArguments {
    /// Energy source: auto, off, or a name that `bitbench list energy` shows; some take a file or a command after a colon
    #[arg(long, value_name = "NAME")]
    energy: Option<Choice>,
    /// Folder in the place of /sys: for tests; everything is marked simulated
    #[arg(long, value_name = "DIR")]
    sysfs_root: Option<PathBuf>,
}

impl EnergyArguments {
    fn sys(&self) -> Result<SysFs, CommandError> {
        match &self.sysfs_root {
            None => Ok(SysFs::machine()),
            Some(root) if root.is_dir() => Ok(SysFs::at(root)),
            Some(root) => Err(CommandError::usage(anyhow!(
                "--sysfs-root {} is not a folder",
                root.display()
            ))),
        }
    }

    /// The meter of a run: what was named, or what the suite asks for.
    pub(super) fn open_meter(&self, loaded: &LoadedSuite) -> Result<Meter, CommandError> {
        let sys = self.sys()?;
        let policy = loaded.suite.energy;
        let choice = match (&self.energy, policy) {
            (None, EnergyPolicy::Off) => {
                return Ok(Meter::off("the suite does not ask for energy"));
            }
            (None, _) => Choice::Auto,
            (Some(choice), _) => choice.clone(),
        };
        let meter = Meter::open_choice(&sys, &choice);
        let wanted_by = match (&choice, policy) {
            (Choice::Named { kind, .. }, _) => format!("--energy {}", kind.name),
            (_, EnergyPolicy::Required) => format!("suite {} needs energy counters", loaded.name),
            _ => return Ok(meter),
        };
        match meter.info() {
            EnergySourceInfo::Open { .. } => Ok(meter),
            EnergySourceInfo::Unavailable { reason, remedy } => {
                let remedy = remedy
                    .map(|r| format!(". What helps: {r}"))
                    .unwrap_or_default();
                Err(CommandError {
                    code: Code::NoEnergy,
                    error: anyhow!("{wanted_by}: {reason}{remedy}"),
                })
            }
        }
    }

    /// Every source, and what became of it.
    pub(super) fn surveyed(&self) -> Result<Vec<Surveyed>, CommandError> {
        let choice = self.energy.clone().unwrap_or_default();
        Ok(survey_for(&self.sys()?, &choice))
    }

    /// Prints every source with what it reads or what is in the way; exit code 3 if one was named and cannot be read.
    pub(super) fn print_doctor(&self) -> Result<Code, CommandError> {
        let sys = self.sys()?;
        let choice = self.energy.clone().unwrap_or_default();
        let surveyed = survey_for(&sys, &choice);
        let named = matches!(choice, Choice::Named { .. });
        for source in surveyed
            .iter()
            .filter(|s| !named || s.chosen || is_named(s, &choice))
        {
            print(source);
        }
        if let Some(check) = cross_check(&sys) {
            say!("  {check}");
        }
        let missing = named && !surveyed.iter().any(|s| s.chosen);
        Ok(if missing { Code::NoEnergy } else { Code::Done })
    }
}

/// Prints every source in a few lines.
pub(super) fn print_list(sys: &SysFs) {
    for source in survey(sys) {
        say!("  {:<14} {}", source.name, source.status());
        say!("      {}", source.about);
        source
            .reason()
            .iter()
            .for_each(|reason| say!("      {reason}"));
    }
}

fn is_named(source: &Surveyed, choice: &Choice) -> bool {
    matches!(choice, Choice::Named { kind, .. } if kind.name == source.name)
}

fn print(source: &Surveyed) {
    say!("  {:<12} {}", source.name, source.status());
    let Ok(info) = &source.state else {
        source
            .reason()
            .iter()
            .for_each(|reason| say!("    why: {reason}"));
        let remedy = source.remedy().unwrap_or_default();
        remedy.lines().for_each(|line| say!("    fix: {line}"));
        return;
    };
    for domain in &info.domains {
        let counted = if domain.info.counted {
            "counted"
        } else {
            "not in the total"
        };
        say!(
            "    {} ({counted}): {}",
            domain.info.name,
            domain.info.origin
        );
    }
    info.caveats
        .iter()
        .for_each(|caveat| say!("    note: {caveat}"));
}
