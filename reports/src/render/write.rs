//! The files of a results folder that are made from its records.

use super::{RenderError, html};
use crate::export::{FORMATS, Format};
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

/// Writes what a run always writes (`results.csv`, `results.md`, `report.html`) into a folder and returns the paths.
///
/// # Errors
/// See [`write()`].
pub fn write_all(dir: &Path, records: &Records) -> Result<Vec<PathBuf>, WriteError> {
    let always: Vec<&Format> = FORMATS.iter().copied().filter(|f| f.always).collect();
    write(dir, records, &always)
}

/// Writes these formats into a folder and returns their paths. Each file is complete or untouched: it is written under
/// another name first.
///
/// # Errors
/// See [`WriteError`]; files before the failing one are written.
pub fn write(
    dir: &Path,
    records: &Records,
    formats: &[&Format],
) -> Result<Vec<PathBuf>, WriteError> {
    let report = Report::new(records);
    formats
        .iter()
        .map(|format| {
            let page = (format.make)(records, &report);
            write_one(dir.join(format.file), page)
        })
        .collect()
}

/// Writes `report.html` of several runs into a folder, which is made where it is not there, and returns its path.
///
/// # Errors
/// See [`WriteError`].
pub fn write_joined(dir: &Path, reports: &[Report]) -> Result<PathBuf, WriteError> {
    fs::create_dir_all(dir).map_err(|source| WriteError::Io {
        path: dir.to_owned(),
        source,
    })?;
    let page = html::render_joined(reports).map(String::into_bytes);
    write_one(dir.join("report.html"), page)
}

fn write_one(path: PathBuf, page: Result<Vec<u8>, RenderError>) -> Result<PathBuf, WriteError> {
    let written = match page {
        Err(source) => return Err(WriteError::Render { path, source }),
        Ok(page) => replace(&path, &page, None),
    };
    match written {
        Err(source) => Err(WriteError::Io { path, source }),
        Ok(()) => Ok(path),
    }
}

/// Writes beside the file, then renames: a reader sees the old file or the new one. `mode` is what the new one may be used
/// for, where that is not what new files are.
pub(crate) fn replace(
    path: &Path,
    content: &[u8],
    mode: Option<fs::Permissions>,
) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    let written = File::create(&beside)
        .and_then(|mut file| {
            file.write_all(content)?;
            if let Some(mode) = mode {
                file.set_permissions(mode)?;
            }
            file.sync_all()
        })
        .and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        // The first error is the one to tell; what is left behind is hidden and named after its process.
        let _ = fs::remove_file(&beside);
    }
    written
}
