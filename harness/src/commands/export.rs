//! What `bitbench report` writes besides the pages of a run: other formats, and a table inside another file.

use super::CommandError;
use anyhow::anyhow;
use bitbench_reports::export::{FORMATS, Format};
use bitbench_reports::record::Records;
use bitbench_reports::render::{self, WriteError};
use bitbench_reports::report::Report;
use bitbench_reports::splice::{SpliceError, splice};
use std::path::{Path, PathBuf};

/// Arguments that ask for more files.
#[derive(Debug, clap::Args)]
pub struct ExportArguments {
    /// Write these formats too, such as sqlite,json; `bitbench list formats` lists them
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = format)]
    export: Vec<&'static Format>,
    /// Replace what stands in this file between the lines `<!-- bitbench:begin NAME -->` and `<!-- bitbench:end NAME -->` by
    /// the tables, as Markdown
    #[arg(long, value_name = "FILE")]
    splice: Option<PathBuf>,
    /// NAME of the markers [default: the name of the suite]
    #[arg(long, value_name = "NAME", requires = "splice")]
    splice_name: Option<String>,
}

/// The format of this name.
fn format(name: &str) -> Result<&'static Format, String> {
    Format::find(name).ok_or_else(|| {
        let known: Vec<&str> = FORMATS.iter().map(|format| format.name).collect();
        format!("there are: {}", known.join(", "))
    })
}

impl ExportArguments {
    /// Whether any file is asked for.
    pub(super) fn asked(&self) -> bool {
        !self.export.is_empty() || self.splice.is_some()
    }
}

/// Writes what was asked for of the run in a folder, into `out`.
///
/// # Errors
/// See [`CommandError`].
pub(super) fn export(
    arguments: &ExportArguments,
    dir: &Path,
    out: &Path,
) -> Result<(), CommandError> {
    if !arguments.asked() {
        return Ok(());
    }
    let records = Records::read(dir).map_err(CommandError::usage)?;
    let written = render::write(out, &records, &arguments.export).map_err(|error| match error {
        WriteError::Io { .. } => CommandError::internal(anyhow!(error).context(NOTHING_HALF)),
        error => CommandError::internal(error),
    })?;
    for path in written {
        say!("{}", path.display());
    }
    let Some(file) = &arguments.splice else {
        return Ok(());
    };
    let suite = &records.run.suite.name;
    let name = arguments.splice_name.as_ref().unwrap_or(suite);
    let report = Report::new(&records);
    let tables = render::markdown::excerpt(&report);
    splice(file, name, &tables).map_err(|error| match error {
        SpliceError::Write { .. } => CommandError::internal(anyhow!(error).context(NOTHING_HALF)),
        error => CommandError::usage(error),
    })?;
    say!("{}", file.display());
    Ok(())
}

const NOTHING_HALF: &str = "no file was left half written";
