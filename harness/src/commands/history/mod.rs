//! `bitbench history`: summary rows of runs by commit, what they came to over time, and where they changed.

mod add;
mod exchange;
mod plot;
mod show;

use super::{Code, CommandError};
use bitbench_reports::history::{History, HistoryError};
use std::path::PathBuf;

/// Arguments of `bitbench history`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  bitbench history add bitbench-results          store runs under their commits
  bitbench history show --job i2s-avx2
  bitbench history plot --out history.html
  bitbench history export history.jsonl

A history reports changes and never stops anything: `bitbench gate` decides. Many processes may add at a time.")]
pub struct Arguments {
    /// What to do
    #[command(subcommand)]
    command: Command,
}

/// The commands.
#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Store the figures of runs, by commit
    Add(add::Arguments),
    /// Print how each figure went, and where it changed
    Show(show::Arguments),
    /// Draw how each figure went, as a page or a drawing
    Plot(plot::Arguments),
    /// Write a history as lines of JSON
    Export(exchange::ExportArguments),
    /// Add what such lines have
    Import(exchange::ImportArguments),
}

/// The file.
#[derive(Debug, clap::Args)]
struct FileArgument {
    /// The history
    #[arg(
        long,
        value_name = "FILE",
        default_value = "bitbench-results/history.sqlite"
    )]
    file: PathBuf,
}

impl FileArgument {
    /// Opens it; it is made where it is not there.
    fn open(&self) -> Result<History, CommandError> {
        History::open(&self.file).map_err(failed)
    }

    /// Opens it where it is there.
    fn existing(&self) -> Result<History, CommandError> {
        History::existing(&self.file).map_err(failed)
    }
}

fn failed(error: HistoryError) -> CommandError {
    if error.is_usage() {
        CommandError::usage(error)
    } else {
        CommandError::internal(error)
    }
}

/// Runs one of the commands.
///
/// # Errors
/// See [`CommandError`].
pub fn history(arguments: &Arguments) -> Result<Code, CommandError> {
    match &arguments.command {
        Command::Add(arguments) => add::add(arguments),
        Command::Show(arguments) => show::show(arguments),
        Command::Plot(arguments) => plot::plot(arguments),
        Command::Export(arguments) => exchange::export(arguments),
        Command::Import(arguments) => exchange::import(arguments),
    }
}
