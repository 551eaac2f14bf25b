//! The runs of a gate, and what each says of a job.

use super::figures::GateFigure;
use super::verdict::{GateCell, Verdict};
use crate::paired::{self, Pair};
use crate::record::{Build, GateInfo, Job, Phase, Precision, Record, Records};
use crate::report::Report;
use crate::stats::median;
use crate::summary::{Status, Summary, summarise};
use std::collections::BTreeSet;

/// Why runs are no gate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GateError {
    /// There is no run.
    #[error("no run of a gate")]
    Nothing,
    /// A run is of no gate.
    #[error("the run of {started_at} is of no gate: it has no two builds")]
    NoGate {
        /// When it started.
        started_at: String,
    },
}

/// A run of a gate with what was derived from it.
pub(super) struct Run<'a> {
    pub(super) records: &'a Records,
    pub(super) info: &'a GateInfo,
    pub(super) summaries: Vec<Summary>,
}

impl Run<'_> {
    pub(super) fn of(records: &Records) -> Result<Run<'_>, GateError> {
        let info = records.run.gate.as_ref().ok_or_else(|| GateError::NoGate {
            started_at: records.run.started_at.clone(),
        })?;
        Ok(Run {
            records,
            info,
            summaries: summarise(records),
        })
    }

    pub(super) fn find(&self, name: &str, build: Build) -> Option<&Summary> {
        self.summaries.iter().find(|summary| {
            let job = &summary.job;
            job.build == Some(build) && job.control_of.is_none() && name_of(job) == name
        })
    }
}

/// Id of a job of a gate, and which build it is of.
pub fn id_of(name: &str, build: Build) -> String {
    format!("{name}@{}", build.word())
}

/// The same without its build.
pub fn name_of(job: &Job) -> &str {
    let id = job.control_of.as_ref().unwrap_or(&job.id);
    let ending = job.build.map_or("", Build::word);
    id.strip_suffix(ending)
        .and_then(|id| id.strip_suffix('@'))
        .unwrap_or(id)
}

/// A cell of a run: costs of its rounds and what is known without a test.
pub(super) struct Measured {
    pub(super) medians: (f64, f64),
    /// Logarithms of new over base, above 0 for worse.
    pub(super) costs: Vec<f64>,
}

/// Ids of the jobs of a run without their builds, in its order.
pub(super) fn names(run: &Run<'_>) -> Vec<String> {
    let base = run
        .records
        .run
        .jobs
        .iter()
        .filter(|job| job.build == Some(Build::Base) && job.control_of.is_none());
    base.map(|job| name_of(job).to_owned()).collect()
}

/// What is made of a job that a build gave no figures for; nothing where both did.
pub(super) fn not_measured(
    name: &str,
    base: &Summary,
    new: &Summary,
    screen: &Run<'_>,
    left_out: &mut Vec<String>,
) -> Option<Option<GateCell>> {
    let empty = |verdict, reason: String| GateCell {
        reason: Some(reason),
        ..GateCell::without_figure(name, screen.info.stage, verdict)
    };
    match (&base.status, &new.status) {
        (Status::Measured, Status::Measured) => None,
        (Status::Skipped { reason }, _) | (_, Status::Skipped { reason }) => {
            left_out.push(format!("{name}: skipped: {reason}"));
            Some(None)
        }
        (_, Status::Failed { reason, .. }) => Some(Some(empty(
            Verdict::Incorrect,
            format!("the new build failed: {reason}"),
        ))),
        (Status::Failed { reason, .. }, _) => Some(Some(empty(
            Verdict::Inconclusive,
            format!("the base build failed: {reason}"),
        ))),
        (base, new) => {
            let reason = base.reason().or(new.reason()).unwrap_or("no figures");
            Some(Some(empty(
                Verdict::Inconclusive,
                format!("not measured: {reason}"),
            )))
        }
    }
}

/// A figure of both builds; nothing where jobs of this kind have none.
pub(super) fn measured(
    base: &Summary,
    new: &Summary,
    figure: &GateFigure,
) -> Option<Result<Measured, String>> {
    let pairs = figure.pairs(new, base)?;
    Some(pairs.and_then(|pairs| {
        let logarithms = paired::logarithms(&pairs)?;
        let cost = |logarithm: &f64| match figure.more_is_better {
            true => -logarithm,
            false => *logarithm,
        };
        let middle = |number: fn(&Pair) -> f64| {
            let numbers: Vec<f64> = pairs.iter().map(number).collect();
            median(&numbers).map(|median| median * figure.scale)
        };
        let medians = middle(|pair| pair.other).zip(middle(|pair| pair.own));
        Ok(Measured {
            medians: medians.ok_or("no round that both builds have")?,
            costs: logarithms.iter().map(cost).collect(),
        })
    }))
}

/// Why the tokens of the builds are not the same; nothing where they are, or where a kernel may round otherwise.
pub(super) fn other_answer(name: &str, phase: Option<Phase>, runs: &[Run<'_>]) -> Option<String> {
    let phase = phase?;
    let digests = |run: &Run<'_>, build: Build| -> BTreeSet<String> {
        let id = id_of(name, build);
        let lines = run.records.lines.iter();
        let digests = lines.filter_map(|line| match line {
            Record::Sample(s) if s.phase == phase && s.place.job == id => s.digest.clone(),
            _ => None,
        });
        digests.collect()
    };
    for run in runs {
        let Some(base) = run.find(name, Build::Base) else {
            continue;
        };
        let (a, b) = (digests(run, Build::Base), digests(run, Build::New));
        let exact = base.job.precision == Precision::Ternary;
        if exact && !a.is_empty() && !b.is_empty() && a != b {
            return Some("other tokens came out".to_owned());
        }
    }
    None
}

/// What a reader must know of the runs.
pub(super) fn notes(runs: &[Run<'_>]) -> Vec<String> {
    let mut notes: Vec<String> = Vec::new();
    for run in runs {
        let report = Report::new(run.records);
        let note = crate::disturbance::validity(&report.rows);
        notes.extend(note.filter(|note| !notes.contains(note)));
    }
    notes
}
