//! `bitbench compare`: stored runs of two builds, held against each other.

use super::{Code, CommandError};
use anyhow::{Context, anyhow};
use bitbench_reports::record::Records;
use bitbench_reports::render::number;
use bitbench_reports::report::count;
use bitbench_reports::versus::{Cell, Side, Versus, VersusError, versus};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Arguments of `bitbench compare`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  bitbench compare before after                 two results folders
  bitbench compare before1,before2 after1,after2      several runs on each side

Runs that were made one after the other are not paired: what changed on the machine meanwhile is in every ratio. \
The read bandwidth and the multiply-add peak that each process measured tell how much that was, \
and a figure that moved with them is not called better or worse.")]
pub struct Arguments {
    /// Results folders of the old build
    #[arg(
        value_delimiter = ',',
        required = true,
        num_args = 1,
        value_name = "OLD[,OLD]"
    )]
    old: Vec<PathBuf>,
    /// Results folders of the new build
    #[arg(
        value_delimiter = ',',
        required = true,
        num_args = 1,
        value_name = "NEW[,NEW]"
    )]
    new: Vec<PathBuf>,
    /// Compare them although hosts or suites differ; what differs is told
    #[arg(long)]
    force: bool,
    /// Print the cells as JSON
    #[arg(long)]
    json: bool,
}

/// Holds stored runs of two builds against each other and prints what came of it.
///
/// # Errors
/// See [`CommandError`]: folders without records, unlike hosts or suites, nothing in common.
pub fn compare(arguments: &Arguments) -> Result<Code, CommandError> {
    let side = |folders: &[PathBuf]| -> Result<Side, CommandError> {
        let runs = folders.iter().map(|folder| Records::read(folder));
        let names: Vec<String> = folders.iter().map(|f| f.display().to_string()).collect();
        Ok(Side {
            name: names.join(", "),
            runs: runs
                .collect::<Result<_, _>>()
                .map_err(CommandError::usage)?,
        })
    };
    let (old, new) = (side(&arguments.old)?, side(&arguments.new)?);
    let found = versus(&old, &new, arguments.force).map_err(|error| match error {
        VersusError::Unlike(_) => CommandError::usage(
            anyhow!(error).context("nothing was compared; --force compares all the same"),
        ),
        other => CommandError::usage(other),
    })?;
    if arguments.json {
        let text = serde_json::to_string_pretty(&as_json(&found))
            .context("the cells cannot be written as JSON")
            .map_err(CommandError::internal)?;
        say!("{text}");
    } else {
        print(&old, &new, &found);
    }
    Ok(Code::Done)
}

fn print(old: &Side, new: &Side, found: &Versus) {
    say!("old: {}, {}", old.name, builds(old));
    say!("new: {}, {}", new.name, builds(new));
    for difference in &found.differences {
        say!("CARE: {difference}");
    }
    let mut job = "";
    for cell in &found.cells {
        if cell.job != job {
            job = &cell.job;
            say!("\n{job}");
        }
        say!(
            "  {:<14}{:>10} -> {:<10}{:<8} {:.3} {}",
            cell.kind.name,
            number(cell.old.0, 3),
            number(cell.new.0, 3),
            cell.kind.unit,
            cell.ratio,
            within(cell)
        );
        let machine = cell.machine.map_or(String::new(), |(ratio, _)| {
            format!(" (the machine itself: {ratio:.3})")
        });
        say!("  {:<14}{}{machine}", "", cell.verdict.word());
    }
    say!("");
    for (kind, ratio, cells) in &found.means {
        let cells = count(*cells, "cell");
        say!("{kind}: {ratio:.3} in the geometric mean of {cells}");
    }
    for reason in &found.left_out {
        say!("left out: {reason}");
    }
    say!("new over old; measured one after the other, so a drift of the machine is in every ratio");
}

/// The versions of bitbench that made the runs.
fn builds(side: &Side) -> String {
    let mut builds: Vec<&str> = side.runs.iter().map(|r| r.run.bitbench.as_str()).collect();
    builds.dedup();
    format!("bitbench {}", builds.join(", "))
}

/// `(0.975 to 0.990, 95 %)`, or how many rounds there are where they give no interval.
fn within(cell: &Cell) -> String {
    match cell.interval {
        Some(i) => format!(
            "({:.3} to {:.3}, {:.0} %)",
            i.low,
            i.high,
            (i.level * 100.0 + 1e-9).floor()
        ),
        None => format!(
            "({} and {} rounds give no interval)",
            cell.old.1, cell.new.1
        ),
    }
}

fn as_json(found: &Versus) -> Value {
    let cell = |cell: &Cell| {
        json!({
            "job": cell.job,
            "figure": cell.kind.name,
            "unit": cell.kind.unit,
            "old": cell.old.0,
            "old_rounds": cell.old.1,
            "new": cell.new.0,
            "new_rounds": cell.new.1,
            "ratio": cell.ratio,
            "low": cell.interval.map(|i| i.low),
            "high": cell.interval.map(|i| i.high),
            "level": cell.interval.map(|i| i.level),
            "p": cell.p,
            "machine_ratio": cell.machine.map(|(ratio, _)| ratio),
            "verdict": cell.verdict.word(),
        })
    };
    let mean = |(kind, ratio, cells): &(&str, f64, usize)| json!({"figure": kind, "ratio": ratio, "cells": cells});
    json!({
        "differences": found.differences,
        "cells": found.cells.iter().map(cell).collect::<Vec<_>>(),
        "geometric_means": found.means.iter().map(mean).collect::<Vec<_>>(),
        "left_out": found.left_out,
    })
}
