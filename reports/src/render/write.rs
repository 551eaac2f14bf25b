//! The files of a results folder that are made from its records.

use super::{RenderError, csv, html, markdown};
use crate::record::Records;
use crate::report::Report;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Why a report file could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The file could not be written.
    #[error("cannot write {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Its content could not be made.
    #[error("cannot make {path}")]
    Render {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: RenderError,
    },
}

/// Writes `results.csv`, `results.md` and `report.html` into a folder and returns their paths. Each file is complete or
/// untouched: it is written under another name first.
///
/// # Errors
/// See [`WriteError`]; files before the failing one are written.
pub fn write_all(dir: &Path, records: &Records) -> Result<Vec<PathBuf>, WriteError> {
    let report = Report::new(records);
    let pages = [
        ("results.csv", csv::render(&report)),
        ("results.md", Ok(markdown::render(&report))),
        ("report.html", html::render(&report)),
    ];
    let pages = pages.into_iter();
    pages.map(|(name, page)| write(dir, name, page)).collect()
}

/// Writes `report.html` of several runs into a folder, which is made where it is not there, and returns its path.
///
/// # Errors
/// See [`WriteError`].
pub fn write_joined(dir: &Path, reports: &[Report]) -> Result<PathBuf, WriteError> {
    make(dir)?;
    write(dir, "report.html", html::render_joined(reports))
}

fn make(dir: &Path) -> Result<(), WriteError> {
    fs::create_dir_all(dir).map_err(|source| WriteError::Io {
        path: dir.to_owned(),
        source,
    })
}

fn write(dir: &Path, name: &str, page: Result<String, RenderError>) -> Result<PathBuf, WriteError> {
    let path = dir.join(name);
    let page = page.map_err(|source| WriteError::Render {
        path: path.clone(),
        source,
    })?;
    replace(&path, name, page.as_bytes()).map_err(|source| WriteError::Io {
        path: path.clone(),
        source,
    })?;
    Ok(path)
}

/// Writes beside the file, then renames: a reader sees the old file or the new one.
fn replace(path: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    let beside = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    let written = File::create(&beside)
        .and_then(|mut file| {
            file.write_all(content)?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        // The first error is the one to tell; what is left behind is hidden and named after its process.
        let _ = fs::remove_file(&beside);
    }
    written
}
