//! `bitbench instructions`: two builds, held against each other by counts of instructions.

use super::{Code, CommandError};
use crate::gate::instructions::{Counter, InstructionCell, LIMIT, NoCount, Verdict, Work, compare};
use crate::suite::{LARGEST_TOKENS, LayerShape, layer_shape};
use anyhow::{Context, anyhow};
use bitbench_engine::kernels::{KernelVariant, VARIANTS};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Arguments of `bitbench instructions`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  bitbench instructions --base-bin old/bitbench
  bitbench instructions --base-bin old --new-bin new --layer 256x512

One multiplication by a layer on one thread, counted by the PMU, or by Valgrind's callgrind where none can be read; Valgrind cannot \
run AVX-512. Counts do not depend on how busy a machine is, and they miss memory bandwidth, threads and clocks. The exit code is 6 \
where a count grew by more than 1 %.")]
pub struct Arguments {
    /// The old build
    #[arg(long, value_name = "FILE")]
    base_bin: PathBuf,
    /// The new build [default: this one]
    #[arg(long, value_name = "FILE")]
    new_bin: Option<PathBuf>,
    /// Only kernels whose name has this in it
    #[arg(long, value_name = "PATTERN")]
    kernel: Option<String>,
    /// The layer, outputs by inputs
    #[arg(long, value_name = "ROWSxCOLUMNS", default_value = "128x512", value_parser = layer)]
    layer: LayerShape,
    /// Tokens multiplied at a time
    #[arg(long, value_name = "TOKENS", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(LARGEST_TOKENS)))]
    batch: u32,
    /// Print the cells as JSON
    #[arg(long)]
    json: bool,
}

fn layer(name: &str) -> Result<LayerShape, String> {
    layer_shape(name).ok_or_else(|| "such as 128x512".to_owned())
}

/// Counts in both builds and prints what came of it.
///
/// # Errors
/// See [`CommandError`]: nothing that counts, no such kernel or build.
pub fn instructions(arguments: &Arguments) -> Result<Code, CommandError> {
    let wanted = arguments.kernel.as_deref().unwrap_or_default();
    let kernels: Vec<&'static KernelVariant> = VARIANTS
        .iter()
        .copied()
        .filter(|kernel| kernel.name.contains(wanted))
        .collect();
    if kernels.is_empty() {
        return Err(CommandError::usage(anyhow!(
            "no kernel has `{wanted}` in its name: bitbench list kernels"
        )));
    }
    let this = std::env::current_exe()
        .context("this program cannot find itself")
        .map_err(CommandError::internal)?;
    let base = worker(&arguments.base_bin)?;
    let new = worker(arguments.new_bin.as_ref().unwrap_or(&this))?;
    let counter = Counter::find().map_err(|reason| CommandError::usage(anyhow!(reason)))?;
    let work = Work {
        layer: arguments.layer,
        batch: arguments.batch,
    };
    let cells = compare(counter, &base, &new, &kernels, work, LIMIT);
    if arguments.json {
        let cells: Vec<serde_json::Value> = cells.iter().map(as_json).collect();
        say!(
            "{}",
            json!({"counter": counter.name(), "limit": LIMIT, "cells": cells})
        );
    } else {
        print(counter, work, &cells);
    }
    let verdict = |cell: &InstructionCell| cell.verdict;
    let failed = |cell: &InstructionCell| matches!(cell.counts, Err(NoCount::Failed(_)));
    Ok(
        if cells
            .iter()
            .any(|cell| verdict(cell) == Some(Verdict::More))
        {
            Code::Regressed
        } else if cells.iter().any(failed) || cells.iter().all(|cell| cell.verdict.is_none()) {
            Code::JobFailed
        } else {
            Code::Done
        },
    )
}

/// The command of the worker of a build.
fn worker(binary: &Path) -> Result<Vec<String>, CommandError> {
    let path = binary
        .canonicalize()
        .with_context(|| binary.display().to_string())
        .map_err(CommandError::usage)?;
    let text = path.to_str().map(ToOwned::to_owned);
    let text = text.ok_or_else(|| CommandError::usage(anyhow!("{} is no text", path.display())))?;
    Ok(vec![text, "worker".to_owned()])
}

fn print(counter: Counter, work: Work, cells: &[InstructionCell]) {
    say!(
        "instructions of a multiplication, {}x{}, {}, counted by {}",
        work.layer.rows,
        work.layer.cols,
        bitbench_reports::report::count(work.batch as usize, "token"),
        counter.name()
    );
    say!("  {:<18}{:>12}{:>12}{:>8}", "kernel", "old", "new", "ratio");
    for cell in cells {
        match (&cell.counts, cell.verdict) {
            (Ok((base, new, ratio)), Some(verdict)) => say!(
                "  {:<18}{base:>12.0}{new:>12.0}{ratio:>8.3}  {}",
                cell.kernel,
                verdict.word()
            ),
            (Err(reason), _) => say!("  {:<18}not counted: {}", cell.kernel, reason.reason()),
            (Ok(_), None) => {}
        }
    }
    say!(
        "counts miss memory bandwidth, threads and clocks: they stand beside times and never replace them"
    );
}

fn as_json(cell: &InstructionCell) -> serde_json::Value {
    let counts = cell.counts.as_ref().ok();
    json!({
        "kernel": cell.kernel,
        "base": counts.map(|(base, ..)| base),
        "new": counts.map(|(_, new, _)| new),
        "ratio": counts.map(|(.., ratio)| ratio),
        "verdict": cell.verdict.map(Verdict::word),
        "reason": cell.counts.as_ref().err().map(NoCount::reason),
    })
}
