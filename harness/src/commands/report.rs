//! `bitbench report`: writes the pages of a run again, from its records alone.

use super::{Code, CommandError};
use bitbench_reports::roofline::{self, Roofline};
use std::path::PathBuf;

/// Arguments of `bitbench report`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Results folder, with records.jsonl (of a run) or roofline.json in it
    dir: PathBuf,
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
    super::run::write_report(&arguments.dir)?;
    Ok(Code::Done)
}
