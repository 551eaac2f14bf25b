//! The record file of a run while it is written: each line is whole and in the system's hands before the next step.

use bitbench_reports::record::{
    FILE_NAME, Job, JobOutcome, Outcome, Place, ReadError, Record, Records, Run, unlike,
};
use std::collections::HashSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// An open `records.jsonl`.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
}

/// Why the record file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The folder holds a run already.
    #[error(
        "{path} holds a run already; `--resume` goes on with it, another `--out` starts a new one"
    )]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The folder or its record file cannot be made.
    #[error("cannot start a run in {path}: {source}")]
    Create {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Another process is writing the file.
    #[error("{path} is still being written by another bitbench; wait for its end or stop it")]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// There is nothing to go on with.
    #[error("{path} does not exist: there is no run to resume; leave `--resume` out to start one")]
    NothingToResume {
        /// The file.
        path: PathBuf,
    },
    /// The stored run is another one.
    #[error(
        "{path} cannot be resumed: {what} differs. Resume with the options it was started with, on the same machine"
    )]
    Differs {
        /// The file.
        path: PathBuf,
        /// What.
        what: String,
    },
    /// The stored run cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The answers of a check cannot be written.
    #[error(
        "cannot write {path}: {source}. What was measured so far is in records.jsonl; free some space and go on with \
         `--resume`"
    )]
    Scratch {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Writing failed.
    #[error(
        "cannot write {path}: {source}. What was measured so far is in it; free some space and go on with `--resume`"
    )]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// What an earlier process of the same run got done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Done {
    /// Rounds that ended, whatever their outcome.
    rounds: HashSet<(String, u32)>,
    /// Jobs that failed or were skipped.
    over: HashSet<String>,
    /// Number of the next worker process.
    pub next_process: u32,
}

impl Done {
    /// Whether this round of a job needs no more work.
    pub fn covers(&self, job: &str, round: u32) -> bool {
        self.over.contains(job) || self.rounds.contains(&(job.to_owned(), round))
    }

    /// Notes how a round ended. A failed job is not tried again.
    pub fn note(&mut self, place: &Place, outcome: &Outcome) {
        if *outcome != Outcome::Measured {
            self.over.insert(place.job.clone());
        }
        self.rounds.insert((place.job.clone(), place.round));
    }

    fn of(records: &Records) -> Done {
        let mut done = Done::default();
        for line in &records.lines {
            let place = match line {
                Record::Loaded(r) => &r.place,
                Record::Sample(r) => &r.place,
                Record::Memory(r) => &r.place,
                Record::ColdStart(r) => &r.place,
                Record::Outcome(JobOutcome { place, outcome }) => {
                    done.note(place, outcome);
                    place
                }
                _ => continue,
            };
            done.next_process = done.next_process.max(place.process + 1);
        }
        done
    }
}

impl Journal {
    /// Starts the record file of a new run.
    ///
    /// # Errors
    /// See [`JournalError`]; nothing that exists is overwritten.
    pub fn create(folder: &Path, run: Run) -> Result<Journal, JournalError> {
        let path = folder.join(FILE_NAME);
        let create = |source| JournalError::Create {
            path: path.clone(),
            source,
        };
        fs::create_dir_all(folder).map_err(create)?;
        let file = match OpenOptions::new().append(true).create_new(true).open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                return Err(JournalError::Exists { path });
            }
            Err(e) => return Err(create(e)),
        };
        let mut journal = Journal {
            path: path.clone(),
            file: lock(file, &path)?,
        };
        match journal.append(&Record::Run(Box::new(run))) {
            Ok(()) => Ok(journal),
            Err(error) => {
                // Half a first line is nothing to resume, and would be in the way of the next try.
                let _ = fs::remove_file(&path);
                Err(match error {
                    JournalError::Write { source, .. } => create(source),
                    other => other,
                })
            }
        }
    }

    /// Goes on with a run that was killed or interrupted, and gives the seed of its order. A torn last line is cut off.
    ///
    /// # Errors
    /// See [`JournalError`]; `planned` must be the same run on the same machine.
    pub fn resume(folder: &Path, planned: &Run) -> Result<(Journal, Done, u64), JournalError> {
        let path = folder.join(FILE_NAME);
        if !path.exists() {
            return Err(JournalError::NothingToResume { path });
        }
        // Locked before it is read: what another process appends afterwards would be cut off.
        let file = OpenOptions::new().append(true).open(&path);
        let file = lock(file.map_err(|source| write(&path, source))?, &path)?;
        let records = Records::read(&path)?;
        if let Some(what) = difference(&records.run, planned) {
            return Err(JournalError::Differs { path, what });
        }
        let cut = file.set_len(records.whole_bytes);
        cut.map_err(|source| write(&path, source))?;
        let seed = records.run.seed;
        Ok((
            Journal {
                path: path.clone(),
                file,
            },
            Done::of(&records),
            seed,
        ))
    }

    /// The record file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends one line. It is written with one call, so that a kill tears at most the last line.
    ///
    /// # Errors
    /// [`JournalError::Write`].
    pub fn append(&mut self, record: &Record) -> Result<(), JournalError> {
        let write = |source| write(&self.path, source);
        let mut line = serde_json::to_vec(record).map_err(|e| write(e.into()))?;
        line.push(b'\n');
        self.file.write_all(&line).map_err(write)?;
        self.file.flush().map_err(write)
    }
}

fn write(path: &Path, source: io::Error) -> JournalError {
    JournalError::Write {
        path: path.to_owned(),
        source,
    }
}

/// One process writes a record file. The lock ends with the process, however that ends.
fn lock(file: File, path: &Path) -> Result<File, JournalError> {
    match file.try_lock() {
        // A file system without locks is no reason not to measure.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(JournalError::Busy {
            path: path.to_owned(),
        }),
    }
}

/// What keeps two runs from being one.
fn difference(stored: &Run, planned: &Run) -> Option<String> {
    // What a job is, not whether there is room for it at this moment.
    let ids = |run: &Run| -> Vec<Job> { run.jobs.clone() };
    let checks = [
        (
            "the version of bitbench",
            stored.bitbench == planned.bitbench,
        ),
        ("the suite", stored.suite == planned.suite),
        ("the energy source", same_energy(stored, planned)),
        ("the list of jobs", ids(stored) == ids(planned)),
        ("the budget", stored.budget == planned.budget),
        ("the order of its rounds", stored.design == planned.design),
    ];
    let of_run = checks.into_iter().find(|(_, same)| !same);
    of_run.map(|(what, _)| what.to_owned()).or_else(|| {
        // Rows of unlike machines are never joined.
        let unlike = unlike(&stored.host, &planned.host);
        (!unlike.is_empty()).then(|| format!("the machine ({})", unlike.join("; ")))
    })
}

fn same_energy(stored: &Run, planned: &Run) -> bool {
    use bitbench_reports::record::EnergySourceInfo::{Open, Unavailable};
    match (&stored.energy, &planned.energy) {
        (
            Open {
                source: a,
                provenance: p,
                domains: d,
                ..
            },
            Open {
                source: b,
                provenance: q,
                domains: e,
                ..
            },
        ) => {
            a == b && p == q && d.len() == e.len() && d.iter().zip(e).all(|(d, e)| d.name == e.name)
        }
        (Unavailable { .. }, Unavailable { .. }) => true,
        _ => false,
    }
}
