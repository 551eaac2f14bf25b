//! `bitbench report`: writes the pages of a run again, from its records alone, or one page of several runs.

use super::export::{ExportArguments, export};
use super::{Code, CommandError};
use crate::progress::plain;
use anyhow::{Context, anyhow};
use bitbench_reports::judge::Judged;
use bitbench_reports::record::Records;
use bitbench_reports::render;
use bitbench_reports::report::Report;
use bitbench_reports::roofline::{self, Roofline};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Arguments of `bitbench report`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  bitbench report bitbench-results/x86-energy-20260102-030405
  bitbench report bitbench-results/roofline-20260102-030405     the table again
  bitbench report laptop server --out both                  one page of two runs
  bitbench report bitbench-results/x86-energy-20260102-030405 --export latex
  bitbench report bitbench-results/x86-energy-20260102-030405 --splice README.md")]
pub struct Arguments {
    /// Results folders, each with records.jsonl (of a run) or roofline.json in it; several runs are joined in one page
    #[arg(required = true)]
    dir: Vec<PathBuf>,
    /// Folder for what is written [default: that of the records]; several runs need one
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    #[command(flatten)]
    export: ExportArguments,
    /// Print what the A/A control showed, as JSON, and write nothing
    #[arg(long, hide = true)]
    control: bool,
}

/// Writes results.csv, results.md and report.html of a results folder, or prints the table of a roofline again; of several
/// folders, one report.html.
///
/// # Errors
/// See [`CommandError`].
pub fn report(arguments: &Arguments) -> Result<Code, CommandError> {
    let [dir] = &arguments.dir[..] else {
        return join(arguments);
    };
    if dir.join(roofline::FILE_NAME).is_file() {
        let roofline = Roofline::read(dir).map_err(CommandError::usage)?;
        say!("{}", roofline.render(super::run::output_width()).trim_end());
        return Ok(Code::Done);
    }
    if arguments.control {
        return print_control(dir);
    }
    if let Some(out) = &arguments.out {
        std::fs::create_dir_all(out)
            .with_context(|| format!("cannot create {}", out.display()))
            .map_err(CommandError::internal)?;
    }
    let out = arguments.out.as_deref().unwrap_or(dir);
    super::run::write_report(dir, out)?;
    export(&arguments.export, dir, out)?;
    Ok(Code::Done)
}

/// One page of several runs, in a folder of its own.
fn join(arguments: &Arguments) -> Result<Code, CommandError> {
    let Some(out) = &arguments.out else {
        return Err(CommandError::usage(anyhow!(
            "several folders are joined in one page: say where it goes with --out FOLDER"
        )));
    };
    if arguments.control {
        return Err(CommandError::usage(anyhow!("--control is of one folder")));
    }
    if arguments.export.asked() {
        return Err(CommandError::usage(anyhow!(
            "--export and --splice are of one folder: no file but the page has several runs"
        )));
    }
    let mut reports = Vec::new();
    for dir in &arguments.dir {
        if dir.join(roofline::FILE_NAME).is_file() {
            return Err(CommandError::usage(anyhow!(
                "{} holds a roofline, not a run: print it with `bitbench report` alone",
                dir.display()
            )));
        }
        let records = Records::read(dir).map_err(CommandError::usage)?;
        reports.push(Report::new(&records));
    }
    for (dir, report) in arguments.dir.iter().zip(&reports) {
        say!("{}:", plain(&dir.display().to_string()));
        for verdict in report.verdicts() {
            say!("  {}", plain(&verdict));
        }
    }
    let written = render::write_joined(out, &reports).map_err(CommandError::internal)?;
    say!("{}", plain(&written.display().to_string()));
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
