//! Gates of runs that are stored: judged again, or in the place of a base build.

use super::told::conclude;
use super::{Arguments, policy};
use crate::commands::{Code, CommandError, run};
use crate::gate::folder_of;
use crate::host;
use crate::suite;
use anyhow::anyhow;
use bitbench_engine::cpu::Cpu;
use bitbench_reports::gate::{against_baseline, gate as judge};
use bitbench_reports::record::{GatePolicy, Records, Stage, unlike};
use bitbench_reports::versus::{Side, versus};
use std::path::Path;

/// Runs the suite as `bitbench run` does, and holds it against a stored run of it.
pub(super) fn against_stored(
    arguments: &Arguments,
    baseline: &Path,
    folder: &Path,
    policy: &GatePolicy,
) -> Result<Code, CommandError> {
    // Before minutes are spent on measuring.
    let old = Records::read(baseline).map_err(CommandError::usage)?;
    let host = host::capture(&Cpu::detect());
    let unlike = unlike(&old.run.host, &host);
    if !unlike.is_empty() {
        return Err(CommandError::usage(anyhow!(
            "{} was measured on another machine ({}): a gate needs the same",
            baseline.display(),
            unlike.join("; ")
        )));
    }
    let stored = folder.join(folder_of(Stage::Screen));
    let code = run::run(&run::Arguments::of_gate(
        &arguments.suite,
        &arguments.jobs,
        &arguments.energy,
        &stored,
        arguments.list,
    ))?;
    if arguments.list || code == Code::Interrupted {
        return Ok(code);
    }
    let new = Records::read(&stored).map_err(CommandError::internal)?;
    tell_against(arguments, (baseline, &old), (folder, &new), policy)
}

/// Holds the run of a gate against a stored one, each with its folder.
fn tell_against(
    arguments: &Arguments,
    (baseline, old): (&Path, &Records),
    (folder, new): (&Path, &Records),
    policy: &GatePolicy,
) -> Result<Code, CommandError> {
    let stored = folder.join(folder_of(Stage::Screen));
    let side = |name: &Path, records: &Records| Side {
        name: name.display().to_string(),
        runs: vec![records.clone()],
    };
    let found = versus(&side(baseline, old), &side(&stored, new), false)
        .map_err(|error| CommandError::usage(anyhow!(error)))?;
    let judged = against_baseline(&found, policy, old, new);
    conclude(arguments, folder, &judged)
}

/// Judges stored runs, and measures nothing.
pub(super) fn judge_again(arguments: &Arguments, folder: &Path) -> Result<Code, CommandError> {
    let read = |stage| Records::read(&folder.join(folder_of(stage))).map_err(CommandError::usage);
    let screen = read(Stage::Screen)?;
    if let Some(baseline) = &arguments.baseline {
        let loaded = suite::load(&arguments.suite).map_err(CommandError::usage)?;
        let of = &screen.run.suite.name;
        if loaded.name != *of {
            return Err(CommandError::usage(anyhow!(
                "{} is of suite {of}, whose limits are asked for with --suite {of}",
                folder.display()
            )));
        }
        let policy = policy(arguments, &loaded)?;
        let old = Records::read(baseline).map_err(CommandError::usage)?;
        return tell_against(arguments, (baseline, &old), (folder, &screen), &policy);
    }
    let mut runs = vec![screen];
    for stage in [Stage::Confirm, Stage::Extend] {
        if folder.join(folder_of(stage)).is_dir() {
            runs.push(read(stage)?);
        }
    }
    let judged = judge(&runs).map_err(CommandError::usage)?;
    conclude(arguments, folder, &judged)
}
