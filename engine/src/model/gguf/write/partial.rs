//! A file under a temporary name, which is renamed when it is whole and removed when it is not.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::WriteError;

pub(super) struct PartialFile {
    file: File,
    temporary: PathBuf,
    path: PathBuf,
    replace: bool,
    finished: bool,
}

impl PartialFile {
    /// Makes an empty file beside `path`.
    pub(super) fn create(path: &Path, replace: bool) -> Result<PartialFile, WriteError> {
        check_place(path, replace)?;
        let mut name = OsString::from(".");
        name.push(path.file_name().ok_or_else(|| WriteError::Io {
            path: path.to_owned(),
            source: io::Error::new(io::ErrorKind::InvalidInput, "it names no file"),
        })?);
        name.push(format!(".{}.partial", std::process::id()));
        let temporary = path.with_file_name(name);
        let file = File::create_new(&temporary).map_err(|source| WriteError::Io {
            path: temporary.clone(),
            source,
        })?;
        Ok(PartialFile {
            file,
            temporary,
            path: path.to_owned(),
            replace,
            finished: false,
        })
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Gives the file its name, after all of it has reached the disk.
    pub(super) fn finish(mut self) -> Result<(), WriteError> {
        check_place(&self.path, self.replace)?;
        self.file
            .sync_all()
            .and_then(|()| fs::rename(&self.temporary, &self.path))
            .map_err(|source| WriteError::Io {
                path: self.path.clone(),
                source,
            })?;
        self.finished = true;
        Ok(())
    }
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        if !self.finished {
            // What made it fail is reported; that it cannot be removed either says nothing more.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Whether a file may be made here. A rename would replace a device or a link by a file.
fn check_place(path: &Path, replace: bool) -> Result<(), WriteError> {
    let path = path.to_owned();
    match fs::symlink_metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(WriteError::Io { path, source }),
        Ok(there) if !there.is_file() => Err(WriteError::NotAFile { path }),
        Ok(_) if !replace => Err(WriteError::Exists { path }),
        Ok(_) => Ok(()),
    }
}
