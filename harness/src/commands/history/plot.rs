//! `bitbench history plot`: the trends as a page or a drawing.

use super::super::{Code, CommandError};
use super::FileArgument;
use super::show::Which;
use anyhow::{Context, anyhow};
use bitbench_reports::history::{page, svg};
use std::fs;
use std::path::PathBuf;

/// Arguments of `bitbench history plot`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  bitbench history plot --out history.html
  bitbench history plot --out decode.svg --figure decode --job 2B4T

Both are whole in one file and fetch nothing.")]
pub(super) struct Arguments {
    /// The file to write, which ends in .html or .svg
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    file: FileArgument,
}

/// Writes the trends.
///
/// # Errors
/// See [`CommandError`]: no history, or nothing in it that is asked for.
pub(super) fn plot(arguments: &Arguments) -> Result<Code, CommandError> {
    let out = &arguments.out;
    let draw = match out.extension().and_then(|ending| ending.to_str()) {
        Some("html") => page,
        Some("svg") => svg,
        _ => {
            return Err(CommandError::usage(anyhow!(
                "{} ends neither in .html nor in .svg",
                out.display()
            )));
        }
    };
    let text = draw(&arguments.which.of(&arguments.file)?).map_err(CommandError::internal)?;
    fs::write(out, text)
        .with_context(|| format!("cannot write {}", out.display()))
        .map_err(CommandError::internal)?;
    say!("{}", out.display());
    Ok(Code::Done)
}
