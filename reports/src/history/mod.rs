//! The history of a project: summary rows of each run by commit, in a SQLite file that many processes may write at a time.
//!
//! A run is stored in one transaction, and is on the disk when [`History::add_run`] returns: a process that is killed, or a machine
//! that loses its power, loses no run that was called stored, and leaves no half of one. The record stays the only source of
//! figures: everything here derives from one, in twelve digits, and `tables.sql` says what is where.
//!
//! A trend is one figure of one job of one suite on one machine ([`Trend`]); what of it is a change is marked and reported, and
//! never stops anything.

mod error;
mod lines;
mod rows;
#[cfg(test)]
mod tests;
mod trend;

pub use error::HistoryError;
pub use lines::Imported;
pub use rows::{ControlRow, FIGURES, Kept, Row, StoredRun, host_key, revision};
pub use trend::{MINIMUM_CHANGE, Point, Trend, Wanted};

use crate::record::{Host, Records};
use crate::render::{self, RenderError};
use crate::stats::quantile;
use rows::{of_records, twelve_digits};
use rusqlite::{
    Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior, params,
};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Number of the format, in `user_version` of the file.
pub const FORMAT: i64 = 1;

/// In `application_id` of the file, so that the data base of another program is not taken for one: `bbhi`.
const APPLICATION: i64 = 0x6262_6869;

/// How long a writer waits for the others.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Fewest sessions of a build against itself that say how noisy a machine is.
pub const FEWEST_CONTROLS: usize = 20;

/// Fewest rounds of such a session: the ratio of fewer says more of chance than of the machine.
pub const FEWEST_ROUNDS: u32 = 6;

/// Share of those sessions within the noise floor.
const WITHIN_FLOOR: f64 = 0.975;

/// An open history.
#[derive(Debug)]
pub struct History {
    path: PathBuf,
    connection: Connection,
}

/// What became of a run that was added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Added {
    /// Whether it was new, there already, or there with fewer lines.
    pub run: AddedRun,
    /// The commit it is stored under: the first that was given for it.
    pub commit: Option<String>,
    /// Rows that it has.
    pub rows: usize,
    /// Sessions of a build against itself that were new.
    pub controls: usize,
}

/// Whether a run was new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddedRun {
    /// It was.
    New,
    /// It was there; nothing changed.
    Same,
    /// It was there and had been resumed since: its rows were replaced.
    Grown,
}

/// How far a build is from itself on a machine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NoiseFloor {
    /// What 97.5 of 100 sessions stay below: the logarithm of a ratio, above or below 1.
    pub floor: f64,
    /// Over how many sessions.
    pub n: usize,
}

impl History {
    /// Opens a history, which is made where it is not there, with its folder.
    ///
    /// # Errors
    /// See [`HistoryError`].
    pub fn open(path: &Path) -> Result<History, HistoryError> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|source| HistoryError::Io {
                path: folder.to_owned(),
                source,
            })?;
        }
        History::connect(path, OpenFlags::SQLITE_OPEN_CREATE)
    }

    /// Opens a history that is there.
    ///
    /// # Errors
    /// See [`HistoryError`].
    pub fn existing(path: &Path) -> Result<History, HistoryError> {
        if !path.exists() {
            return Err(HistoryError::Absent {
                path: path.to_owned(),
            });
        }
        History::connect(path, OpenFlags::empty())
    }

    fn connect(path: &Path, create: OpenFlags) -> Result<History, HistoryError> {
        let error = |source| HistoryError::of(path, source);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | create;
        let connection = Connection::open_with_flags(path, flags).map_err(error)?;
        connection.busy_timeout(PATIENCE).map_err(error)?;
        let mut history = History {
            path: path.to_owned(),
            connection,
        };
        if !history.known()? {
            history.make()?;
        }
        // A rollback journal, on the disk with its folder before a transaction counts: what was committed outlives a loss of power,
        // and the history is one file whenever nobody writes.
        history
            .connection
            .execute_batch("PRAGMA synchronous = EXTRA; PRAGMA foreign_keys = ON;")
            .map_err(error)?;
        Ok(history)
    }

    fn error(&self, source: rusqlite::Error) -> HistoryError {
        HistoryError::of(&self.path, source)
    }

    /// Whether the file is a history of a known format; `false` for a new, empty one.
    fn known(&self) -> Result<bool, HistoryError> {
        let number = |pragma: &str| {
            let value = self
                .connection
                .query_row(pragma, [], |row| row.get::<_, i64>(0));
            value.map_err(|source| self.error(source))
        };
        let tables = number("SELECT count(*) FROM sqlite_schema")?;
        let application = number("PRAGMA application_id")?;
        let found = number("PRAGMA user_version")?;
        let path = self.path.clone();
        match (application, found) {
            (0, 0) if tables == 0 => Ok(false),
            (APPLICATION, 1..=FORMAT) => Ok(true),
            (APPLICATION, newer) if newer > FORMAT => Err(HistoryError::Newer {
                path,
                found: newer,
                known: FORMAT,
            }),
            _ => Err(HistoryError::Foreign { path }),
        }
    }

    /// Makes the tables, unless another process just did.
    fn make(&mut self) -> Result<(), HistoryError> {
        let path = self.path.clone();
        let error = |source| HistoryError::of(&path, source);
        self.connection
            .execute_batch("BEGIN IMMEDIATE")
            .map_err(error)?;
        let made = self.known().and_then(|known| {
            if known {
                return Ok(());
            }
            let tables = include_str!("tables.sql");
            let batch = format!(
                "{tables}\nPRAGMA application_id = {APPLICATION};\nPRAGMA user_version = {FORMAT};"
            );
            self.connection.execute_batch(&batch).map_err(error)
        });
        let end = if made.is_ok() { "COMMIT" } else { "ROLLBACK" };
        made.and(self.connection.execute_batch(end).map_err(error))
    }

    /// Begins to write, once the others are done.
    fn write(&mut self) -> Result<Transaction<'_>, HistoryError> {
        let path = &self.path;
        self.connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|source| HistoryError::of(path, source))
    }

    /// Stores what is kept of a run: its figures by commit, and how far its A/A controls were from the jobs that they repeat.
    /// The same run again changes nothing; one that was resumed since has its rows replaced.
    ///
    /// # Errors
    /// See [`HistoryError`].
    pub fn add_run(
        &mut self,
        records: &Records,
        commit: Option<&str>,
    ) -> Result<Added, HistoryError> {
        let (run, controls) = of_records(records, commit);
        let path = self.path.clone();
        let error = |source| HistoryError::of(&path, source);
        let transaction = self.write()?;
        let mut added = put_run(&transaction, &run).map_err(error)?;
        for control in &controls {
            added.controls += put_control(&transaction, &run.host_key, control).map_err(error)?;
        }
        transaction.commit().map_err(error)?;
        Ok(added)
    }

    /// Stores how far a build was from itself on a machine, and gives how many of these sessions were new.
    ///
    /// # Errors
    /// See [`HistoryError`].
    pub fn add_controls(
        &mut self,
        host: &Host,
        controls: &[ControlRow],
    ) -> Result<usize, HistoryError> {
        let path = self.path.clone();
        let error = |source| HistoryError::of(&path, source);
        let key = host_key(host);
        let transaction = self.write()?;
        let mut added = 0;
        for control in controls {
            added += put_control(&transaction, &key, control).map_err(error)?;
        }
        transaction.commit().map_err(error)?;
        Ok(added)
    }

    /// How noisy a machine is in a figure of a suite: what 97.5 of 100 stored sessions of a build against itself stayed below, those
    /// of fewer than [`FEWEST_ROUNDS`] rounds not counted. Nothing where fewer than [`FEWEST_CONTROLS`] are stored, which is
    /// unknown and not quiet.
    ///
    /// # Errors
    /// See [`HistoryError`].
    pub fn noise_floor(
        &self,
        host: &Host,
        suite: &str,
        figure: &str,
    ) -> Result<Option<NoiseFloor>, HistoryError> {
        let error = |source| self.error(source);
        let query = "SELECT ratio FROM controls WHERE host_key = ?1 AND suite = ?2 AND figure = ?3 AND rounds >= ?4";
        let mut statement = self.connection.prepare(query).map_err(error)?;
        let ratios = statement
            .query_map((host_key(host), suite, figure, FEWEST_ROUNDS), |row| {
                row.get::<_, f64>(0)
            })
            .and_then(Iterator::collect::<Result<Vec<f64>, _>>)
            .map_err(error)?;
        let sizes: Vec<f64> = ratios.iter().map(|ratio| ratio.ln().abs()).collect();
        if sizes.len() < FEWEST_CONTROLS {
            return Ok(None);
        }
        Ok(quantile(&sizes, WITHIN_FLOOR).map(|floor| NoiseFloor {
            floor,
            n: sizes.len(),
        }))
    }

    /// Whether every page of the file is sound.
    ///
    /// # Errors
    /// [`HistoryError::Corrupt`] with what is not.
    pub fn check(&self) -> Result<(), HistoryError> {
        let found: String = self
            .connection
            .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
            .map_err(|source| self.error(source))?;
        if found == "ok" {
            return Ok(());
        }
        Err(HistoryError::Corrupt {
            path: self.path.clone(),
            message: found,
        })
    }

    /// Every run, in the order of their starts.
    ///
    /// # Errors
    /// See [`HistoryError`].
    pub fn runs(&self) -> Result<Vec<StoredRun>, HistoryError> {
        self.read_runs().map_err(|source| self.error(source))
    }

    fn read_runs(&self) -> rusqlite::Result<Vec<StoredRun>> {
        let mut runs = self.connection.prepare(
            "SELECT key, commit_id, at, bitbench, host_key, host, suite, suite_hash, quick, lines, id FROM runs ORDER BY at, key",
        )?;
        let mut rows = self.connection.prepare(
            "SELECT job, model, kernel, threads, batch, figure, unit, basis, median, low, high, rounds, more_is_better
             FROM figures WHERE run = ?1 ORDER BY job, figure",
        )?;
        let found = runs.query_map([], |row| {
            let run = StoredRun {
                key: row.get(0)?,
                commit: row.get(1)?,
                at: row.get(2)?,
                bitbench: row.get(3)?,
                host_key: row.get(4)?,
                host: row.get(5)?,
                suite: row.get(6)?,
                suite_hash: row.get(7)?,
                quick: row.get(8)?,
                lines: row.get(9)?,
                rows: Vec::new(),
            };
            Ok((run, row.get::<_, i64>(10)?))
        })?;
        let mut all = Vec::new();
        for run in found {
            let (mut run, id) = run?;
            let of_run = rows.query_map([id], |row| {
                Ok(Row {
                    job: row.get(0)?,
                    model: row.get(1)?,
                    kernel: row.get(2)?,
                    threads: row.get(3)?,
                    batch: row.get(4)?,
                    figure: row.get(5)?,
                    unit: row.get(6)?,
                    basis: row.get(7)?,
                    median: row.get(8)?,
                    low: row.get(9)?,
                    high: row.get(10)?,
                    rounds: row.get(11)?,
                    more_is_better: row.get(12)?,
                })
            })?;
            run.rows = of_run.collect::<rusqlite::Result<_>>()?;
            all.push(run);
        }
        Ok(all)
    }

    /// Every session of a build against itself, with the key of its machine.
    ///
    /// # Errors
    /// See [`HistoryError`].
    pub fn controls(&self) -> Result<Vec<(String, ControlRow)>, HistoryError> {
        self.read_controls().map_err(|source| self.error(source))
    }

    fn read_controls(&self) -> rusqlite::Result<Vec<(String, ControlRow)>> {
        let mut statement = self.connection.prepare(
            "SELECT host_key, suite, job, figure, ratio, rounds, at FROM controls
             ORDER BY at, host_key, suite, job, figure",
        )?;
        let found = statement.query_map([], |row| {
            let control = ControlRow {
                suite: row.get(1)?,
                job: row.get(2)?,
                figure: row.get(3)?,
                ratio: row.get(4)?,
                rounds: row.get(5)?,
                at: row.get(6)?,
            };
            Ok((row.get(0)?, control))
        })?;
        found.collect()
    }
}

/// Trends as a page that fetches nothing, with a drawing for each machine and suite.
///
/// # Errors
/// See [`RenderError`].
pub fn page(trends: &[Trend]) -> Result<String, RenderError> {
    render::history_page(trends)
}

/// Trends below each other in one SVG drawing.
///
/// # Errors
/// See [`RenderError`].
pub fn svg(trends: &[Trend]) -> Result<String, RenderError> {
    render::history_svg(trends)
}

/// Stores a run with its rows, or replaces those of a run that has grown.
fn put_run(transaction: &Transaction<'_>, run: &StoredRun) -> rusqlite::Result<Added> {
    let there = transaction
        .query_row(
            "SELECT id, lines, commit_id FROM runs WHERE key = ?1",
            [&run.key],
            |row| Ok((row.get::<_, i64>(0)?, row.get::<_, u32>(1)?, row.get(2)?)),
        )
        .optional()?;
    let mut added = Added {
        run: AddedRun::New,
        commit: run.commit.clone(),
        rows: run.rows.len(),
        controls: 0,
    };
    if let Some((id, lines, commit)) = there {
        // The first commit that was given stays; where none was, a later one is taken.
        let commit: Option<String> = commit;
        added.commit = commit.clone().or(added.commit);
        if commit.is_none() && run.commit.is_some() {
            transaction.execute(
                "UPDATE runs SET commit_id = ?2 WHERE id = ?1",
                params![id, run.commit],
            )?;
        }
        if lines >= run.lines {
            added.run = AddedRun::Same;
            let count = "SELECT count(*) FROM figures WHERE run = ?1";
            let rows: i64 = transaction.query_row(count, [id], |row| row.get(0))?;
            added.rows = usize::try_from(rows).unwrap_or(0);
            return Ok(added);
        }
        added.run = AddedRun::Grown;
        transaction.execute("DELETE FROM runs WHERE id = ?1", [id])?;
    }
    transaction.execute(
        "INSERT INTO runs (key, commit_id, at, bitbench, host_key, host, suite, suite_hash, quick, lines)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        params![
            run.key,
            added.commit,
            run.at,
            run.bitbench,
            run.host_key,
            run.host,
            run.suite,
            run.suite_hash,
            run.quick,
            run.lines
        ],
    )?;
    let id = transaction.last_insert_rowid();
    let mut insert = transaction.prepare_cached(
        "INSERT INTO figures (run, job, model, kernel, threads, batch, figure, unit, basis, median, low, high, rounds, more_is_better)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
    )?;
    for row in &run.rows {
        insert.execute(params![
            id,
            row.job,
            row.model,
            row.kernel,
            row.threads,
            row.batch,
            row.figure,
            row.unit,
            row.basis,
            row.median,
            row.low,
            row.high,
            row.rounds,
            row.more_is_better
        ])?;
    }
    Ok(added)
}

/// Stores one session of a build against itself, and gives how many were new: 1 or 0. A ratio that is no number above zero is
/// left out.
fn put_control(
    transaction: &Transaction<'_>,
    host_key: &str,
    control: &ControlRow,
) -> rusqlite::Result<usize> {
    if !(control.ratio.is_finite() && control.ratio > 0.0) {
        return Ok(0);
    }
    transaction.execute(
        "INSERT OR IGNORE INTO controls (host_key, suite, job, figure, ratio, rounds, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            host_key,
            control.suite,
            control.job,
            control.figure,
            twelve_digits(control.ratio),
            control.rounds,
            control.at
        ],
    )
}
