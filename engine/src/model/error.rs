//! What can be wrong with a model file.

use std::io;
use std::path::PathBuf;

/// Why a model file cannot be loaded. Every message names the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The file cannot be opened or mapped.
    #[error("{path}: cannot be read: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another part of a split model cannot be opened.
    #[error(
        "{path}: {missing}, another part of this model, cannot be read: {source}; keep all parts in one folder"
    )]
    MissingShard {
        /// The part that was asked for.
        path: PathBuf,
        /// The part that is not there.
        missing: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is something else than a GGUF file of a version and byte order that can be read.
    #[error("{path}: {detail}")]
    NotGguf {
        /// The file.
        path: PathBuf,
        /// What it seems to be, and the remedy.
        detail: String,
    },
    /// Something lies beyond the end of the file.
    #[error(
        "{path}: truncated: {what} needs bytes {start}..{end}, the file has {len}; download it again"
    )]
    Truncated {
        /// The file.
        path: PathBuf,
        /// The part of the file that lacks bytes.
        what: String,
        /// First byte of that part.
        start: u64,
        /// One past its last byte.
        end: u64,
        /// Bytes of the file.
        len: u64,
    },
    /// The file contradicts itself or its format.
    #[error("{path}: damaged: {detail}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        detail: String,
    },
    /// The file may be sound, but holds something this engine cannot run.
    #[error("{path}: {detail}")]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What it is, and what would be supported.
        detail: String,
    },
}
