//! Reading a record file.

use super::{FILE_NAME, OLDEST_SCHEMA, Record, Run, SCHEMA};
use serde::Deserialize;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

/// Why a record file could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The file could not be opened or read.
    #[error("cannot read {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// There is nothing of that name.
    #[error(
        "{path}: No such file or folder; `bitbench run --suite x86-energy --out FOLDER` makes a results folder"
    )]
    Absent {
        /// The folder or file.
        path: PathBuf,
    },
    /// A folder without a record file.
    #[error("{path} holds no {FILE_NAME}; name a folder that `bitbench run --out FOLDER` wrote")]
    NoRecords {
        /// The folder.
        path: PathBuf,
    },
    /// A line is not a record. The last line of a run that was killed is not an error: it is left out.
    #[error("{path}:{line}: not a bitbench record: {message}")]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What the parser said.
        message: String,
    },
    /// The file was written in another format.
    #[error(
        "{path}: written in record format {found}; this bitbench reads formats {OLDEST_SCHEMA} to {SCHEMA}"
    )]
    Schema {
        /// The file.
        path: PathBuf,
        /// Its number.
        found: u32,
    },
    /// The file does not start with a run.
    #[error("{path}: the first line is not a `run` record; is this a bitbench results folder?")]
    NoRun {
        /// The file.
        path: PathBuf,
    },
}

/// All lines of one `records.jsonl`.
#[derive(Debug, Clone, PartialEq)]
pub struct Records {
    /// The first line.
    pub run: Run,
    /// The lines after it, in order.
    pub lines: Vec<Record>,
    /// Bytes of whole lines; the file may end with a torn one, which a resumed run cuts off.
    pub whole_bytes: u64,
}

impl Records {
    /// Reads `records.jsonl` from a results folder (or the file itself).
    ///
    /// # Errors
    /// See [`ReadError`]. A torn last line, left by a kill in mid-write, is not an error.
    pub fn read(path: &Path) -> Result<Records, ReadError> {
        let folder = path.is_dir();
        let asked = path;
        let path = if folder {
            path.join(FILE_NAME)
        } else {
            path.to_owned()
        };
        let io_error = |source| ReadError::Io {
            path: path.clone(),
            source,
        };
        let file = File::open(&path).map_err(|source| match (source.kind(), folder) {
            (io::ErrorKind::NotFound, true) => ReadError::NoRecords {
                path: asked.to_owned(),
            },
            (io::ErrorKind::NotFound, false) => ReadError::Absent { path: path.clone() },
            _ => io_error(source),
        })?;
        let mut reader = BufReader::new(file);
        let mut run = None;
        let mut lines = Vec::new();
        let mut whole_bytes = 0;
        let mut number = 0;
        let mut line = Vec::new();
        loop {
            line.clear();
            let length = reader.read_until(b'\n', &mut line).map_err(io_error)?;
            if length == 0 || line.last() != Some(&b'\n') {
                break;
            }
            number += 1;
            if number == 1 {
                run = Some(parse_run(&path, &line)?);
            } else {
                let record = serde_json::from_slice(&line).map_err(|e| ReadError::Line {
                    path: path.clone(),
                    line: number,
                    message: e.to_string(),
                })?;
                lines.push(record);
            }
            whole_bytes += length as u64;
        }
        let run = run.ok_or_else(|| ReadError::NoRun { path: path.clone() })?;
        Ok(Records {
            run,
            lines,
            whole_bytes,
        })
    }
}

/// Parses the first line; its format number is looked at before anything else, so that a newer file is named as such.
fn parse_run(path: &Path, line: &[u8]) -> Result<Run, ReadError> {
    #[derive(Deserialize)]
    struct Head {
        record: String,
        schema: u32,
    }
    let no_run = || ReadError::NoRun {
        path: path.to_owned(),
    };
    let head: Head = serde_json::from_slice(line).map_err(|_| no_run())?;
    if head.record != "run" {
        return Err(no_run());
    }
    if !(OLDEST_SCHEMA..=SCHEMA).contains(&head.schema) {
        return Err(ReadError::Schema {
            path: path.to_owned(),
            found: head.schema,
        });
    }
    match serde_json::from_slice(line) {
        Ok(Record::Run(run)) => Ok(*run),
        Ok(_) => Err(no_run()),
        Err(e) => Err(ReadError::Line {
            path: path.to_owned(),
            line: 1,
            message: e.to_string(),
        }),
    }
}
