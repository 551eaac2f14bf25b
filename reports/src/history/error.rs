//! What can go wrong with a history, and what to do then.

use rusqlite::ErrorCode;
use std::io;
use std::path::{Path, PathBuf};

/// Why a history could not be read or written. Nothing of what was asked for is stored then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// There is no such file, and it was only to be read.
    #[error("there is no history at {path} yet; `bitbench history add DIR` begins one")]
    Absent {
        /// The file.
        path: PathBuf,
    },
    /// The folder of the file cannot be made, or a file cannot be read or written.
    #[error("cannot read or write {path}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file is something else.
    #[error("{path} is no history of bitbench, and was left alone; name another file with --file")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file was written in a format that is not known yet.
    #[error(
        "{path} is in history format {found}, and this bitbench knows formats up to {known}; use the newer bitbench, or name \
         another file with --file"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The newest that is known.
        known: i64,
    },
    /// The file is damaged.
    #[error(
        "{path} is damaged ({message}); move it away and import its last export (`bitbench history import`), or save what can be \
         read with `sqlite3 {path} .recover`"
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        message: String,
    },
    /// The disk is full.
    #[error(
        "no space left for {path}; nothing of it was stored, and what was there before is whole"
    )]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// Another process writes and does not end.
    #[error(
        "{path} was in use by another process for {seconds} s; nothing was stored, so try again"
    )]
    Busy {
        /// The file.
        path: PathBuf,
        /// How long this one waited.
        seconds: u64,
    },
    /// The file may not be opened or written.
    #[error(
        "{path} cannot be opened or written: {message}; check its rights and those of its folder"
    )]
    Denied {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        message: String,
    },
    /// A line of a file of lines is not one of a history.
    #[error("line {line}: {message}; nothing was imported")]
    Line {
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        message: String,
    },
    /// Anything else that SQLite said.
    #[error("{path}: SQLite failed")]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: rusqlite::Error,
    },
}

impl HistoryError {
    /// What an error of SQLite means for this file.
    pub(super) fn of(path: &Path, source: rusqlite::Error) -> HistoryError {
        let path = path.to_owned();
        let message = source.to_string();
        match source.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => HistoryError::Foreign { path },
            Some(ErrorCode::DatabaseCorrupt) => HistoryError::Corrupt { path, message },
            Some(ErrorCode::DiskFull) => HistoryError::Full { path },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => HistoryError::Busy {
                path,
                seconds: super::PATIENCE.as_secs(),
            },
            Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
                HistoryError::Denied { path, message }
            }
            _ => HistoryError::Sqlite { path, source },
        }
    }

    /// Whether the user can mend it by other arguments or another file.
    pub fn is_usage(&self) -> bool {
        !matches!(
            self,
            HistoryError::Io { .. }
                | HistoryError::Full { .. }
                | HistoryError::Busy { .. }
                | HistoryError::Sqlite { .. }
        )
    }
}
