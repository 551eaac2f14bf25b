//! `bitbench energy-model`: what a model of energy says, apart from everything that was measured.

use super::{Code, CommandError};
use crate::suite;
use crate::worker::shape_of;
use anyhow::anyhow;
use bitbench_reports::modelled::{self, MODELS, Subject};
use bitbench_reports::record::Records;
use std::path::{Path, PathBuf};

/// Arguments of `bitbench energy-model`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Without a name it prints the column that arXiv 2504.12285 published, and what its arithmetic gives \
for the same shapes. Nothing that this command prints was measured.

Examples:
  bitbench energy-model
  bitbench energy-model arithmetic --model 2B4T,700M
  bitbench energy-model dram-floor --run bitbench-results/before"
)]
pub struct Arguments {
    /// Model of energy: arithmetic or dram-floor
    #[arg(value_name = "NAME", requires = "about")]
    name: Option<String>,
    /// Shapes (see `bitbench list models`)
    #[arg(long, value_name = "LIST", value_delimiter = ',', group = "about")]
    model: Vec<String>,
    /// Results folder: a line for each job that was measured
    #[arg(long, value_name = "DIR", group = "about")]
    run: Option<PathBuf>,
    /// Print CSV, with column names that no measured figure has
    #[arg(long)]
    csv: bool,
}

/// Prints what a model says.
///
/// # Errors
/// See [`CommandError`].
pub fn energy_model(arguments: &Arguments) -> Result<Code, CommandError> {
    let Some(name) = &arguments.name else {
        if arguments.csv || arguments.run.is_some() || !arguments.model.is_empty() {
            return Err(CommandError::usage(anyhow!(
                "name a model of energy: {}",
                known()
            )));
        }
        print(&modelled::published_text());
        return Ok(Code::Done);
    };
    let model = modelled::find(name).ok_or_else(|| {
        CommandError::usage(anyhow!(
            "there is no model of energy `{name}`; there are: {}",
            known()
        ))
    })?;
    let subjects = match &arguments.run {
        Some(folder) => of_run(folder)?,
        None => of_shapes(&arguments.model)?,
    };
    let text = if arguments.csv {
        modelled::csv(model, &subjects).map_err(CommandError::internal)?
    } else {
        modelled::text(model, &subjects)
    };
    print(&text);
    Ok(Code::Done)
}

fn known() -> String {
    MODELS
        .iter()
        .map(|model| model.name)
        .collect::<Vec<_>>()
        .join(", ")
}

fn print(text: &str) {
    for line in text.lines() {
        say!("{line}");
    }
}

/// Each shape twice: ternary, and in half precision.
fn of_shapes(names: &[String]) -> Result<Vec<Subject>, CommandError> {
    let shapes = suite::load_shapes().map_err(CommandError::usage)?;
    let mut subjects = Vec::new();
    for name in names {
        let shape = suite::find_shape(&shapes, name).ok_or_else(|| {
            let known: Vec<&str> = shapes.iter().map(|shape| shape.name.as_str()).collect();
            CommandError::usage(anyhow!(
                "there is no shape `{name}`; shapes: {}",
                known.join(", ")
            ))
        })?;
        let config = shape.config().map_err(CommandError::usage)?;
        for ternary in [false, true] {
            subjects.push(Subject {
                name: shape.name.clone(),
                shape: shape_of(&config),
                ternary,
                bytes_per_token: None,
            });
        }
    }
    Ok(subjects)
}

/// Each job of a run that told its shape.
fn of_run(folder: &Path) -> Result<Vec<Subject>, CommandError> {
    let records = Records::read(folder).map_err(CommandError::usage)?;
    let subjects = Subject::of_run(&records);
    if subjects.is_empty() {
        return Err(CommandError::usage(anyhow!(
            "{}: no job of this run tells the shape of its network",
            folder.display()
        )));
    }
    Ok(subjects)
}
