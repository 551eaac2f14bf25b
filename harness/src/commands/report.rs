//! `bitbench report`: writes the pages of a run again, from its records alone.

use super::{Code, CommandError};
use std::path::PathBuf;

/// Arguments of `bitbench report`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Results folder, with records.jsonl in it
    dir: PathBuf,
}

/// Writes results.csv, results.md and report.html of a results folder.
///
/// # Errors
/// See [`CommandError`].
pub fn report(arguments: &Arguments) -> Result<Code, CommandError> {
    super::run::write_report(&arguments.dir)?;
    Ok(Code::Done)
}
