//! `bitbench history export` and `import`: a history as lines of JSON.

use super::super::{Code, CommandError};
use super::{FileArgument, failed};
use bitbench_reports::history::HistoryError;
use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::PathBuf;

/// Arguments of `bitbench history export`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  bitbench history export history.jsonl

A line for each run with its figures and one for each A/A ratio; `bitbench history import` gives back the same history.")]
pub(super) struct ExportArguments {
    /// The file to write
    #[arg(value_name = "LINES")]
    to: PathBuf,
    #[command(flatten)]
    file: FileArgument,
}

/// Arguments of `bitbench history import`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  bitbench history import history.jsonl
  bitbench history import theirs.jsonl --file all.sqlite

What is there already stays as it is. Where a line is wrong, nothing of the file is imported.")]
pub(super) struct ImportArguments {
    /// The file to read
    #[arg(value_name = "LINES")]
    from: PathBuf,
    #[command(flatten)]
    file: FileArgument,
}

/// Writes a history as lines.
///
/// # Errors
/// See [`CommandError`].
pub(super) fn export(arguments: &ExportArguments) -> Result<Code, CommandError> {
    let history = arguments.file.existing()?;
    history.check().map_err(failed)?;
    let io = |source| {
        failed(HistoryError::Io {
            path: arguments.to.clone(),
            source,
        })
    };
    let mut out = BufWriter::new(File::create(&arguments.to).map_err(io)?);
    history.export(&mut out, &arguments.to).map_err(failed)?;
    out.flush().map_err(io)?;
    out.get_ref().sync_all().map_err(io)?;
    say!("{}", arguments.to.display());
    Ok(Code::Done)
}

/// Adds the lines of a file.
///
/// # Errors
/// See [`CommandError`].
pub(super) fn import(arguments: &ImportArguments) -> Result<Code, CommandError> {
    let lines = File::open(&arguments.from).map_err(|source| {
        CommandError::usage(HistoryError::Io {
            path: arguments.from.clone(),
            source,
        })
    })?;
    let mut history = arguments.file.open()?;
    let imported = history
        .import(BufReader::new(lines), &arguments.from)
        .map_err(|error| match error {
            error @ HistoryError::Line { .. } => CommandError::usage(
                anyhow::anyhow!(error).context(arguments.from.display().to_string()),
            ),
            error => failed(error),
        })?;
    say!(
        "{} runs and {} A/A ratios were new, {} entries were there already",
        imported.runs,
        imported.controls,
        imported.known
    );
    Ok(Code::Done)
}
