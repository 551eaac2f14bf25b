//! `bitbench history add`: runs into the history, one transaction each.

use super::super::{Code, CommandError};
use super::{FileArgument, failed};
use bitbench_reports::history::{AddedRun, revision};
use bitbench_reports::record::Records;
use std::path::PathBuf;
use std::process::Command;

/// Arguments of `bitbench history add`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  bitbench history add bitbench-results
  bitbench history add run1 run2 --commit v1.2

A run is on the disk when its line `stored` is printed. The same run a second time changes nothing, and one that was resumed since \
has its figures replaced.")]
pub(super) struct Arguments {
    /// Results folders
    #[arg(required = true, value_name = "DIR")]
    folders: Vec<PathBuf>,
    /// The revision that was measured [default: the one that the record says bitbench was built from, else HEAD of the current
    /// folder]
    #[arg(long, value_name = "REV")]
    commit: Option<String>,
    #[command(flatten)]
    file: FileArgument,
}

/// Stores runs and says under which commits.
///
/// # Errors
/// See [`CommandError`]. Runs that were called stored before it are.
pub(super) fn add(arguments: &Arguments) -> Result<Code, CommandError> {
    let mut history = arguments.file.open()?;
    for folder in &arguments.folders {
        let records = Records::read(folder).map_err(CommandError::usage)?;
        let (commit, origin) = match &arguments.commit {
            Some(commit) => (Some(commit.clone()), "as given"),
            None => match revision(&records.run.bitbench) {
                Some(revision) => (Some(revision), "which bitbench was built from"),
                None => (
                    head(),
                    "HEAD of the current folder, for the record does not say",
                ),
            },
        };
        let added = history
            .add_run(&records, commit.as_deref())
            .map_err(failed)?;
        let origin = match &added.commit {
            None => {
                "no commit, for neither the record nor git knows one; --commit says it".to_owned()
            }
            Some(kept) if added.commit == commit => format!("commit {kept}, {origin}"),
            Some(kept) => format!("commit {kept}, as it was stored first"),
        };
        let what = match added.run {
            AddedRun::New => "stored",
            AddedRun::Same => "stored before",
            AddedRun::Grown => "stored again, for it was resumed",
        };
        let controls = match added.controls {
            0 => String::new(),
            n => format!(", {n} A/A ratios"),
        };
        say!(
            "{what}: {}: {} figures{controls}; {origin}",
            folder.display(),
            added.rows
        );
        if added.rows == 0 {
            tell!(
                "warning: {} has no finished figure of any job, so no trend shows it",
                folder.display()
            );
        }
    }
    Ok(Code::Done)
}

/// HEAD of the repository that the current folder is in.
fn head() -> Option<String> {
    let output = Command::new("git")
        .args(["rev-parse", "--verify", "--quiet", "HEAD"])
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().to_owned()).filter(|head| output.status.success() && !head.is_empty())
}
