//! A file mapped into memory: the one place of the loader that opens unsafe code.
#![expect(unsafe_code, reason = "mapping a file into memory")]

use std::fs::{self, File};
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use super::super::LoadError;

/// A whole file, read-only, in memory when touched.
pub(in super::super) struct MappedFile {
    path: PathBuf,
    bytes: Bytes,
}

enum Bytes {
    Mapped(Mmap),
    /// Part of the program; or none, for a file of no bytes, which the system does not map.
    Static(&'static [u8]),
    Held(Vec<u8>),
}

impl MappedFile {
    /// Maps `path`, which must be a regular file (a pipe would block, a device would never end).
    ///
    /// # Errors
    /// [`LoadError::Io`] with the path.
    pub(in super::super) fn open(path: &Path) -> Result<Self, LoadError> {
        Self::map(path).map_err(|source| LoadError::Io {
            path: path.to_owned(),
            source,
        })
    }

    fn map(path: &Path) -> io::Result<Self> {
        let kind = fs::metadata(path)?;
        if kind.is_dir() {
            return Err(io::Error::new(
                io::ErrorKind::IsADirectory,
                "it is a directory; name the .gguf file in it",
            ));
        }
        if !kind.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is not a regular file",
            ));
        }
        let file = File::open(path)?;
        let bytes = if file.metadata()?.len() == 0 {
            Bytes::Static(&[])
        } else {
            // SAFETY: the mapping is read-only and `self.bytes` owns it, so no slice of it outlives it. It is sound on the
            // condition, which no program can enforce, that nobody truncates or rewrites the file meanwhile: a model file
            // is written once, and the documentation of `Gguf::open` states the condition.
            Bytes::Mapped(unsafe { Mmap::map(&file)? })
        };
        Ok(MappedFile {
            path: path.to_owned(),
            bytes,
        })
    }

    /// A file that is part of the program, under a name for messages.
    pub(super) fn from_static(name: &Path, bytes: &'static [u8]) -> Self {
        MappedFile {
            path: name.to_owned(),
            bytes: Bytes::Static(bytes),
        }
    }

    /// Bytes that were made here, under a name for messages.
    pub(super) fn from_bytes(name: &Path, bytes: Vec<u8>) -> Self {
        MappedFile {
            path: name.to_owned(),
            bytes: Bytes::Held(bytes),
        }
    }

    pub(in super::super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Deref for MappedFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Mapped(map) => map,
            Bytes::Static(bytes) => bytes,
            Bytes::Held(bytes) => bytes,
        }
    }
}
