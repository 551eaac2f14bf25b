//! `bitbench report`: writes the pages of a run again, from its records alone.

use super::{Code, CommandError};
use anyhow::anyhow;
use bitbench_reports::judge::Judged;
use bitbench_reports::record::Records;
use bitbench_reports::report::Report;
use bitbench_reports::roofline::{self, Roofline};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Arguments of `bitbench report`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  bitbench report bitbench-results/x86-energy-20260102-030405
  bitbench report bitbench-results/roofline-20260102-030405     the table again")]
pub struct Arguments {
    /// Results folder, with records.jsonl (of a run) or roofline.json in it
    dir: PathBuf,
    /// Print what the A/A control showed, as JSON, and write nothing
    #[arg(long, hide = true)]
    control: bool,
}

/// Writes results.csv, results.md and report.html of a results folder, or prints the table of a roofline again.
///
/// # Errors
/// See [`CommandError`].
pub fn report(arguments: &Arguments) -> Result<Code, CommandError> {
    if arguments.dir.join(roofline::FILE_NAME).is_file() {
        let roofline = Roofline::read(&arguments.dir).map_err(CommandError::usage)?;
        say!("{}", roofline.render(super::run::output_width()).trim_end());
        return Ok(Code::Done);
    }
    if arguments.control {
        return print_control(&arguments.dir);
    }
    super::run::write_report(&arguments.dir)?;
    Ok(Code::Done)
}

/// For scripts that study how often the control is flagged.
fn print_control(dir: &Path) -> Result<Code, CommandError> {
    let records = Records::read(dir).map_err(CommandError::usage)?;
    let report = Report::new(&records);
    let control = report.controls.first();
    let control = control
        .ok_or_else(|| CommandError::usage(anyhow!("{} has no A/A control", dir.display())))?;
    let judged = control.judged.as_ref();
    let judged = judged.map_err(|reason| CommandError::usage(anyhow!("no control: {reason}")))?;
    let cell = |judged: &Judged| {
        let interval = judged.paired.interval.ok();
        json!({
            "what": judged.what,
            "ratio": judged.paired.estimate,
            "low": interval.map(|i| i.low),
            "high": interval.map(|i| i.high),
            "rounds": judged.paired.n,
            "p": judged.p,
            "decidable": judged.decidable(),
            "flagged": judged.flagged,
        })
    };
    let cells: Vec<Value> = judged.iter().map(cell).collect();
    let injected = control.job.injected_percent;
    say!(
        "{}",
        json!({"job": control.job.id, "injected_percent": injected, "cells": cells})
    );
    Ok(Code::Done)
}
