//! One figure over the commits of a project, and where it changed.

use super::{History, HistoryError, Row, StoredRun};
use crate::stats::{ChangePoint, change_points, max, median, min};
use std::collections::BTreeMap;

/// Smallest change that is marked, as a share.
pub const MINIMUM_CHANGE: f64 = 0.02;

/// Seed of the permutations behind a mark: the same history has the same marks.
const SEED: u64 = 7;

/// One figure of one job of a suite on one machine, commit by commit.
#[derive(Debug, Clone, PartialEq)]
pub struct Trend {
    /// The machine for readers.
    pub host: String,
    /// Key of the machine.
    pub host_key: String,
    /// Name of the suite.
    pub suite: String,
    /// Hash of its text.
    pub suite_hash: String,
    /// Whether it was the shortened form.
    pub quick: bool,
    /// Id of the job.
    pub job: String,
    /// What it is a figure of.
    pub figure: String,
    /// Its unit.
    pub unit: String,
    /// The counters that energy was read from.
    pub basis: Option<String>,
    /// Whether more of it is better.
    pub more_is_better: bool,
    /// The commits, in the order in which they were first measured.
    pub points: Vec<Point>,
    /// Where it changed for good: [`change_points`].
    pub changes: Vec<ChangePoint>,
}

/// A figure of one commit.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// The commit; a run that nobody gave one is a point of its own.
    pub commit: Option<String>,
    /// When it was first measured.
    pub at: String,
    /// Median over its runs of their medians over rounds: one commit, one number.
    pub median: f64,
    /// The smallest round of all its runs.
    pub low: f64,
    /// The largest round of all its runs.
    pub high: f64,
    /// Runs.
    pub runs: usize,
    /// Rounds of all its runs.
    pub rounds: u64,
}

/// Which trends are wanted; what is not said is no condition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// Parts of the id of a job, in this order, with `*` between them.
    pub job: Option<String>,
    /// The figure.
    pub figure: Option<String>,
    /// Part of the machine for readers, or the beginning of its key.
    pub host: Option<String>,
    /// The suite.
    pub suite: Option<String>,
}

impl Wanted {
    fn has(&self, run: &StoredRun, row: &Row) -> bool {
        let is = |wanted: &Option<String>, name: &str| wanted.as_ref().is_none_or(|w| w == name);
        let host = self.host.as_ref().is_none_or(|wanted| {
            let key = run.host_key.trim_start_matches("blake3:");
            run.host.contains(wanted) || key.starts_with(wanted.trim_start_matches("blake3:"))
        });
        let job = self.job.as_ref();
        host && is(&self.figure, &row.figure)
            && is(&self.suite, &run.suite)
            && job.is_none_or(|pattern| parts_in(&row.job, pattern))
    }
}

/// Whether a name has the parts of a pattern, in their order.
fn parts_in(name: &str, pattern: &str) -> bool {
    let mut rest = name;
    pattern.split('*').all(|part| match rest.find(part) {
        Some(at) => {
            rest = &rest[at + part.len()..];
            true
        }
        None => false,
    })
}

impl Point {
    /// The commit in ten characters, or the day of a run that has none.
    pub fn label(&self) -> String {
        match &self.commit {
            Some(commit) => commit.chars().take(10).collect(),
            None => self.at.chars().take(10).collect(),
        }
    }
}

impl Trend {
    /// Suite and machine in a line: what trends have in common that can be held against each other.
    pub fn title(&self) -> String {
        let short = |hash: &str| {
            let digits = hash.strip_prefix("blake3:").unwrap_or(hash);
            digits.chars().take(8).collect::<String>()
        };
        format!(
            "suite {}{} ({}) on {} ({})",
            self.suite,
            if self.quick { ", quick" } else { "" },
            short(&self.suite_hash),
            self.host,
            short(&self.host_key),
        )
    }

    /// The new value over the old one, and whether that is better.
    pub fn effect(&self, change: &ChangePoint) -> (f64, bool) {
        let ratio = change.after / change.before;
        (ratio, (ratio > 1.0) == self.more_is_better)
    }
}

/// What tells one trend from another.
type Cell<'a> = (
    &'a str,
    &'a str,
    &'a str,
    bool,
    &'a str,
    &'a str,
    Option<&'a str>,
);

/// The rows of one commit.
struct Commit<'a> {
    run: &'a StoredRun,
    rows: Vec<&'a Row>,
}

impl History {
    /// The trends that are wanted, by machine, suite, job and figure.
    ///
    /// # Errors
    /// See [`HistoryError`].
    pub fn trends(&self, wanted: &Wanted) -> Result<Vec<Trend>, HistoryError> {
        let runs = self.runs()?;
        let mut cells: BTreeMap<Cell<'_>, Vec<Commit<'_>>> = BTreeMap::new();
        for run in &runs {
            for row in run.rows.iter().filter(|row| wanted.has(run, row)) {
                let cell = (
                    run.host_key.as_str(),
                    run.suite.as_str(),
                    run.suite_hash.as_str(),
                    run.quick,
                    row.job.as_str(),
                    row.figure.as_str(),
                    row.basis.as_deref(),
                );
                let commits = cells.entry(cell).or_default();
                let same = |commit: &&mut Commit<'_>| {
                    run.commit.is_some() && commit.run.commit == run.commit
                };
                match commits.iter_mut().find(same) {
                    Some(commit) => commit.rows.push(row),
                    None => commits.push(Commit {
                        run,
                        rows: vec![row],
                    }),
                }
            }
        }
        Ok(cells
            .into_values()
            .filter_map(|commits| of(&commits))
            .collect())
    }
}

fn of(commits: &[Commit<'_>]) -> Option<Trend> {
    let newest = commits.last()?;
    let row = newest.rows.first()?;
    let points: Vec<Point> = commits.iter().filter_map(point).collect();
    let medians: Vec<f64> = points.iter().map(|point| point.median).collect();
    Some(Trend {
        host: newest.run.host.clone(),
        host_key: newest.run.host_key.clone(),
        suite: newest.run.suite.clone(),
        suite_hash: newest.run.suite_hash.clone(),
        quick: newest.run.quick,
        job: row.job.clone(),
        figure: row.figure.clone(),
        unit: row.unit.clone(),
        basis: row.basis.clone(),
        more_is_better: row.more_is_better,
        changes: change_points(&medians, MINIMUM_CHANGE, SEED),
        points,
    })
}

fn point(commit: &Commit<'_>) -> Option<Point> {
    let all = |of: fn(&Row) -> f64| commit.rows.iter().map(|row| of(row)).collect::<Vec<f64>>();
    Some(Point {
        commit: commit.run.commit.clone(),
        at: commit.run.at.clone(),
        median: median(&all(|row| row.median))?,
        low: min(&all(|row| row.low))?,
        high: max(&all(|row| row.high))?,
        runs: commit.rows.len(),
        rounds: commit.rows.iter().map(|row| u64::from(row.rounds)).sum(),
    })
}
