//! The two builds: given as binaries, or built from a revision.

use crate::worker::{Process, WorkerError};
use bitbench_reports::record::{Build, BuildInfo, EngineInfo};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A build that is ready to be measured.
#[derive(Debug, Clone)]
pub struct Built {
    /// As it is recorded.
    pub info: BuildInfo,
    /// The engine, as it calls itself.
    pub engine: EngineInfo,
    /// Its binary, in the folder of the gate: what is built meanwhile under the path that was given does not change it.
    pub binary: PathBuf,
}

/// Why a build cannot be measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The binary is not there, or cannot be copied.
    #[error("cannot use the {build} build {path}: {source}")]
    Binary {
        /// Which.
        build: &'static str,
        /// The binary.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// It is no worker of bitbench, or of another protocol.
    #[error(
        "the {build} build {path} cannot be measured by this bitbench: {source}. Builds whose workers speak another protocol have \
         nothing in common that could be gated"
    )]
    Worker {
        /// Which.
        build: &'static str,
        /// The binary.
        path: PathBuf,
        /// The cause.
        source: WorkerError,
    },
    /// Git or cargo failed.
    #[error("cannot build revision {revision}: {message}")]
    Revision {
        /// As it was given.
        revision: String,
        /// What went wrong.
        message: String,
    },
}

/// Where the binary of a build is put.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Which build.
    pub build: Build,
    /// The folder.
    pub folder: &'a Path,
    /// Name of the file.
    pub name: &'a str,
}

/// Puts a binary where nothing replaces it while it is measured, and has it say what it is. `command` gives the command of its
/// worker.
///
/// # Errors
/// See [`BuildError`].
pub fn place(
    place: Place<'_>,
    binary: &Path,
    command: impl Fn(&Path) -> Vec<String>,
) -> Result<Built, BuildError> {
    let build = place.build.word();
    let unusable = |source| BuildError::Binary {
        build,
        path: binary.to_owned(),
        source,
    };
    let real = fs::canonicalize(binary).map_err(unusable)?;
    if !real.is_file() {
        return Err(unusable(io::Error::other("not a plain file")));
    }
    fs::create_dir_all(place.folder).map_err(unusable)?;
    let copy = place.folder.join(place.name);
    // A link keeps the file even if its name is given to another one; across file systems it takes a copy.
    if fs::hard_link(&real, &copy).is_err() {
        fs::copy(&real, &copy).map_err(unusable)?;
    }
    let mut hasher = blake3::Hasher::new();
    let mut file = File::open(&copy).map_err(unusable)?;
    io::copy(&mut file, &mut hasher).map_err(unusable)?;
    let worker = Process::start(&command(&copy)).map_err(|source| BuildError::Worker {
        build,
        path: binary.to_owned(),
        source,
    })?;
    let (name, version) = worker.engine();
    Ok(Built {
        info: BuildInfo {
            build: place.build,
            version: version.to_owned(),
            path: binary.display().to_string(),
            hash: Some(format!("blake3:{}", hasher.finalize().to_hex())),
        },
        engine: EngineInfo {
            name: name.to_owned(),
            version: version.to_owned(),
        },
        binary: copy,
    })
}

/// Builds a revision of the repository of the current folder in a worktree of its own, unless it was built before, and gives its
/// binary. What cargo says goes to standard error.
///
/// # Errors
/// [`BuildError::Revision`].
pub fn revision(revision: &str, folder: &Path) -> Result<PathBuf, BuildError> {
    let failed = |message: String| BuildError::Revision {
        revision: revision.to_owned(),
        message,
    };
    let io_failed = |what: &str| {
        let what = what.to_owned();
        move |error: io::Error| failed(format!("{what}: {error}"))
    };
    let git = |arguments: &[&str]| -> Result<String, BuildError> {
        let output = Command::new("git").args(arguments).output();
        let output = output.map_err(io_failed("cannot run git"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(failed(said.trim().to_owned()));
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = format!("{revision}^{{commit}}");
    // `--end-of-options`: a revision that begins with a dash is no option.
    let commit = git(&[
        "rev-parse",
        "--verify",
        "--quiet",
        "--end-of-options",
        &commit,
    ])
    .map_err(|_| {
        failed("git does not know it here (a shallow clone has only the newest)".to_owned())
    })?;
    let built = folder.join(format!("bitbench-{}", commit.get(..12).unwrap_or(&commit)));
    if built.is_file() {
        return Ok(built);
    }
    fs::create_dir_all(folder).map_err(io_failed("cannot create the folder of builds"))?;
    let folder = fs::canonicalize(folder).map_err(io_failed("cannot find the folder of builds"))?;
    let tree = folder.join(format!(
        "source-{}-{}",
        &commit[..12.min(commit.len())],
        std::process::id()
    ));
    let tree_text = tree.display().to_string();
    git(&["worktree", "add", "--detach", &tree_text, &commit])?;
    let target = folder.join("target");
    let cargo = Command::new("cargo")
        .args(["build", "--release", "--bin", "bitbench", "--target-dir"])
        .arg(&target)
        .current_dir(&tree)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status();
    let removed = git(&["worktree", "remove", "--force", &tree_text]);
    match cargo {
        Ok(status) if status.success() => {}
        Ok(status) => return Err(failed(format!("cargo build ended with {status}"))),
        Err(error) => return Err(failed(format!("cannot run cargo: {error}"))),
    }
    removed?;
    // Under its own name only when it is whole.
    let half = folder.join(format!("half-{}", std::process::id()));
    fs::copy(target.join("release/bitbench"), &half)
        .and_then(|_| fs::rename(&half, &built))
        .map_err(io_failed("cannot keep the binary"))?;
    Ok(built)
}
