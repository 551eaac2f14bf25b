//! A table of results inside another file, such as a README: what stands between two markers is replaced, and nothing else.
//!
//! The markers are lines of their own: `<!-- bitbench:begin NAME -->` and `<!-- bitbench:end NAME -->`.

use crate::render::replace;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Why nothing was replaced. The file is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpliceError {
    /// It could not be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// It could not be written.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The name would end a marker.
    #[error("`{0}` cannot be the name of a marker: letters, digits, `-`, `_` and `.` can")]
    Name(String),
    /// The markers are not there as they must be.
    #[error("{path}: {problem}")]
    Markers {
        /// The file.
        path: PathBuf,
        /// What is wrong with them.
        problem: MarkerProblem,
    },
}

/// What is wrong with the markers of a file. Lines count from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MarkerProblem {
    /// A marker is not there.
    #[error(
        "no line `{0}`; put `<!-- bitbench:begin {1} -->` and `<!-- bitbench:end {1} -->` on lines of their own where the table goes"
    )]
    Missing(String, String),
    /// A marker is there more than once.
    #[error("lines {1} and {2} are both `{0}`; which of them is meant?")]
    Doubled(String, usize, usize),
    /// The end comes before the begin.
    #[error("the end marker (line {end}) stands before the begin marker (line {begin})")]
    WrongOrder {
        /// Line of the begin marker.
        begin: usize,
        /// Line of the end marker.
        end: usize,
    },
}

/// Replaces what stands between the markers of this name. The file is replaced as a whole or not at all, keeps its mode and,
/// where it is a symbolic link, stays one; line ends are those of the begin marker.
///
/// # Errors
/// See [`SpliceError`].
pub fn splice(path: &Path, name: &str, content: &str) -> Result<(), SpliceError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.contains("--") || !name.chars().all(allowed) {
        return Err(SpliceError::Name(name.to_owned()));
    }
    let read = |source| SpliceError::Read {
        path: path.to_owned(),
        source,
    };
    let write = |source| SpliceError::Write {
        path: path.to_owned(),
        source,
    };
    let target = fs::canonicalize(path).map_err(read)?;
    let old = fs::read(&target).map_err(read)?;
    let new = spliced(&old, name, content).map_err(|problem| SpliceError::Markers {
        path: path.to_owned(),
        problem,
    })?;
    if new == old {
        return Ok(());
    }
    let mode = fs::metadata(&target).map_err(read)?.permissions();
    replace(&target, &new, Some(mode)).map_err(write)
}

/// The bytes of a file with other content between its markers.
///
/// # Errors
/// See [`MarkerProblem`].
pub fn spliced(old: &[u8], name: &str, content: &str) -> Result<Vec<u8>, MarkerProblem> {
    let begin = marker(old, "begin", name)?;
    let end = marker(old, "end", name)?;
    if end.bytes.start < begin.bytes.end {
        return Err(MarkerProblem::WrongOrder {
            begin: begin.line,
            end: end.line,
        });
    }
    let line_end: &[u8] = if old[begin.bytes.clone()].ends_with(b"\r\n") {
        b"\r\n"
    } else {
        b"\n"
    };
    let mut new = old[..begin.bytes.end].to_vec();
    for line in content.trim_end().lines() {
        new.extend_from_slice(line.as_bytes());
        new.extend_from_slice(line_end);
    }
    new.extend_from_slice(&old[end.bytes.start..]);
    Ok(new)
}

/// A line that is a marker.
struct Marker {
    /// Its number, from 1.
    line: usize,
    /// Its bytes, with the end of the line.
    bytes: Range<usize>,
}

fn marker(file: &[u8], which: &str, name: &str) -> Result<Marker, MarkerProblem> {
    let text = format!("<!-- bitbench:{which} {name} -->");
    let mut found: Option<Marker> = None;
    let mut start = 0;
    for (index, line) in file.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let bytes = start..start + line.len();
        start = bytes.end;
        if line.trim_ascii() != text.as_bytes() {
            continue;
        }
        if let Some(first) = found {
            return Err(MarkerProblem::Doubled(text, first.line, index + 1));
        }
        found = Some(Marker {
            line: index + 1,
            bytes,
        });
    }
    found.ok_or_else(|| MarkerProblem::Missing(text, name.to_owned()))
}
