//! From a record to what is kept of it.

use crate::control::Control;
use crate::record::{Host, Provenance, Records};
use crate::round::{Reading, Round};
use crate::summary::{Figure, Summary, summarise};
use serde::{Deserialize, Serialize};

/// A run as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredRun {
    /// Hash of what tells it from any other run: its start, seed, machine, suite, version and command.
    pub key: String,
    /// The revision that was measured; nothing where nobody said.
    pub commit: Option<String>,
    /// Start of the run, RFC 3339, UTC.
    pub at: String,
    /// Version of bitbench that measured.
    pub bitbench: String,
    /// [`host_key`] of its machine.
    pub host_key: String,
    /// The machine for readers.
    pub host: String,
    /// Name of the suite.
    pub suite: String,
    /// Hash of its text.
    pub suite_hash: String,
    /// Whether it was the shortened form.
    pub quick: bool,
    /// Lines of the record: a run that was resumed has more than before.
    pub lines: u32,
    /// Its figures.
    pub rows: Vec<Row>,
}

/// One figure of one job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Id of the job.
    pub job: String,
    /// Name of the model, or the shape of a layer alone.
    pub model: String,
    /// The kernel, and the head where it is not in half precision.
    pub kernel: String,
    /// Worker threads.
    pub threads: u32,
    /// Sequences, or tokens of a layer alone.
    pub batch: u32,
    /// What it is a figure of: a name of [`FIGURES`].
    pub figure: String,
    /// Its unit.
    pub unit: String,
    /// The counters that energy was read from; figures on another basis are another cell.
    pub basis: Option<String>,
    /// Median over the rounds.
    pub median: f64,
    /// The smallest round.
    pub low: f64,
    /// The largest round.
    pub high: f64,
    /// How many rounds.
    pub rounds: u32,
    /// Whether more of it is better.
    pub more_is_better: bool,
}

/// How far a build was from itself in one session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControlRow {
    /// Name of the suite.
    pub suite: String,
    /// Id of the job that was measured twice.
    pub job: String,
    /// What it is a figure of: a name of [`FIGURES`].
    pub figure: String,
    /// The one over the other: the estimate from the pairs of the session.
    pub ratio: f64,
    /// How many pairs.
    pub rounds: u32,
    /// When, RFC 3339, UTC.
    pub at: String,
}

/// A kind of figure that is kept.
#[derive(Debug)]
pub struct Kept {
    /// Its name.
    pub name: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// Whether more of it is better.
    pub more_is_better: bool,
    /// The figure of a job in that unit, where it has one.
    figure: fn(&Summary) -> Option<Figure>,
}

/// Every kind, in the order of the rows of a job.
pub static FIGURES: [Kept; 6] = [
    Kept {
        name: "decode",
        unit: "tok/s",
        more_is_better: true,
        figure: |summary| over_rounds(summary, 1.0, |round| &round.decode_tokens_per_second),
    },
    Kept {
        name: "prefill",
        unit: "tok/s",
        more_is_better: true,
        figure: |summary| over_rounds(summary, 1.0, |round| &round.prefill_tokens_per_second),
    },
    Kept {
        name: "multiply",
        unit: "GOP/s",
        more_is_better: true,
        figure: |summary| over_rounds(summary, 1.0, |round| &round.multiply_gop_per_second),
    },
    Kept {
        name: "peak memory",
        unit: "MB",
        more_is_better: false,
        figure: |summary| over_rounds(summary, 1e-6, |round| &round.peak_bytes),
    },
    Kept {
        name: "weights",
        unit: "MB",
        more_is_better: false,
        figure: weights,
    },
    Kept {
        name: "decode energy",
        unit: "J/token",
        more_is_better: false,
        figure: |summary| {
            basis(summary)?;
            over_rounds(summary, 1.0, |round| &round.decode_energy.joules_per_token)
        },
    },
];

fn over_rounds(summary: &Summary, scale: f64, reading: fn(&Round) -> &Reading) -> Option<Figure> {
    let figure = summary.figure(reading).ok()?;
    Some(Figure {
        median: figure.median * scale,
        min: figure.min * scale,
        max: figure.max * scale,
        ..figure
    })
}

/// Bytes of the weights, which every round has alike; of a layer alone, those of one copy.
fn weights(summary: &Summary) -> Option<Figure> {
    let loaded = summary.loaded.as_ref()?;
    let bytes = match summary.job.layer {
        Some(_) => loaded.linear_bytes,
        None => loaded.weights_bytes,
    };
    Figure::of(&[bytes as f64 * 1e-6])
}

/// The counters behind the energy figures of a job, where these were measured: a simulated figure is never kept.
fn basis(summary: &Summary) -> Option<String> {
    let basis = summary.energy_basis.as_ref()?;
    if summary.simulated || basis.provenance == Provenance::Simulated {
        return None;
    }
    let domains: Vec<&str> = basis.domains.iter().map(String::as_str).collect();
    Some(format!("{}: {}", basis.source, domains.join(", ")))
}

/// The hash of the facts of a machine that stay: equal where rows can be held against each other.
pub fn host_key(host: &Host) -> String {
    let facts = host.stable_facts().into_iter();
    let lines: String = facts
        .map(|(name, fact)| format!("{name}: {fact}\n"))
        .collect();
    hash(&lines)
}

fn hash(text: &str) -> String {
    format!("blake3:{}", blake3::hash(text.as_bytes()).to_hex())
}

/// The machine for readers: its CPU, how much of it, and under what.
fn readable(host: &Host) -> String {
    let cpu = host.cpu.as_deref().unwrap_or(&host.arch);
    let cpus = host.logical_cpus;
    let under = host.virtualisation.as_deref();
    let under = under.map_or(String::new(), |under| format!(", {under}"));
    format!(
        "{cpu}, {cpus} CPU{}{under}",
        if cpus == 1 { "" } else { "s" }
    )
}

/// A number in twelve significant digits: more than any figure is worth, and few enough that every reader of JSON gives back the
/// same one.
pub(super) fn twelve_digits(value: f64) -> f64 {
    format!("{value:.11e}").parse().unwrap_or(value)
}

/// The revision in a version of bitbench, such as `0123456789` of `0.1.0 (0123456789)`, with `-dirty` behind it where the
/// sources had been changed.
pub fn revision(bitbench: &str) -> Option<String> {
    let (_, revision) = bitbench.split_once('(')?;
    let revision = revision.strip_suffix(')')?;
    let (revision, changed) = match revision.split_once(", ") {
        Some((revision, "changed")) => (revision, "-dirty"),
        Some(_) => return None,
        None => (revision, ""),
    };
    let is_hash = revision.len() >= 7 && revision.bytes().all(|b| b.is_ascii_hexdigit());
    is_hash.then(|| format!("{revision}{changed}"))
}

/// What is kept of a run: the figures of its jobs but for controls, and the ratios of its controls but for those that were slowed
/// down on purpose.
pub(super) fn of_records(records: &Records, commit: Option<&str>) -> (StoredRun, Vec<ControlRow>) {
    let run = &records.run;
    let (controls, summaries): (Vec<Summary>, Vec<Summary>) = summarise(records)
        .into_iter()
        .partition(|summary| summary.job.control_of.is_some());
    let host_key = host_key(&run.host);
    let identity = [
        run.started_at.as_str(),
        &run.seed.to_string(),
        &host_key,
        &run.suite.hash,
        &run.bitbench,
        &run.command.join("\0"),
    ];
    let stored = StoredRun {
        key: hash(&identity.join("\n")),
        commit: commit.map(ToOwned::to_owned),
        at: run.started_at.clone(),
        bitbench: run.bitbench.clone(),
        host_key,
        host: readable(&run.host),
        suite: run.suite.name.clone(),
        suite_hash: run.suite.hash.clone(),
        quick: run.suite.quick,
        lines: u32::try_from(records.lines.len()).unwrap_or(u32::MAX),
        // A run of a gate has two builds, one of which at most is that of the commit.
        rows: summaries
            .iter()
            .filter(|summary| summary.job.build.is_none())
            .flat_map(rows_of)
            .collect(),
    };
    let judged = controls
        .iter()
        .filter(|control| control.job.injected_percent.is_none())
        .flat_map(|control| controls_of(control, &summaries, run.seed, &stored));
    let judged = judged.collect();
    (stored, judged)
}

fn rows_of(summary: &Summary) -> Vec<Row> {
    if !summary.measured() {
        return Vec::new();
    }
    let job = &summary.job;
    let row = |kept: &Kept| {
        let figure = (kept.figure)(summary)?;
        let finite = [figure.median, figure.min, figure.max];
        finite.iter().all(|value| value.is_finite()).then(|| Row {
            job: job.id.clone(),
            model: job.model.name.clone(),
            kernel: job.kernel_and_head(),
            threads: job.threads,
            batch: job.batch,
            figure: kept.name.to_owned(),
            unit: kept.unit.to_owned(),
            basis: (kept.name == "decode energy")
                .then(|| basis(summary))
                .flatten(),
            median: twelve_digits(figure.median),
            low: twelve_digits(figure.min),
            high: twelve_digits(figure.max),
            rounds: u32::try_from(figure.n).unwrap_or(u32::MAX),
            more_is_better: kept.more_is_better,
        })
    };
    FIGURES.iter().filter_map(row).collect()
}

fn controls_of(
    control: &Summary,
    summaries: &[Summary],
    seed: u64,
    run: &StoredRun,
) -> Vec<ControlRow> {
    let judged = Control::of(control, summaries, seed).judged;
    let row = |judged: crate::judge::Judged| ControlRow {
        suite: run.suite.clone(),
        job: control.job.control_of.clone().unwrap_or_default(),
        figure: match judged.what {
            "multiplication" => "multiply",
            what => what,
        }
        .to_owned(),
        ratio: judged.paired.estimate,
        rounds: u32::try_from(judged.paired.n).unwrap_or(u32::MAX),
        at: run.at.clone(),
    };
    judged.unwrap_or_default().into_iter().map(row).collect()
}
