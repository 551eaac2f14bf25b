//! The rows and their figures as JSON; `bitbench schema report` prints its JSON Schema.

use super::Format;
use crate::columns::{COLUMNS, Cell, Column, Kind, Row, Section, Spread};
use crate::compare::Against;
use crate::record::{EnergySourceInfo, Host, Job, Provenance, SuiteInfo};
use crate::render::RenderError;
use crate::report::Report;
use crate::round::EnergyBasis;
use crate::stats;
use crate::summary::{Ending, Status};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;

pub(super) static FORMAT: Format = Format {
    name: "json",
    file: "results.json",
    about: "rows and figures with spread, interval, basis and reasons, for programs; `bitbench schema report` says how",
    always: false,
    make: |_, report| make(report),
};

/// Number of the format of the document. Raised whenever an older reader would misread a newer document.
pub const FORMAT_NUMBER: u32 = 1;

/// What is derived from a record.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Document {
    /// Number of this format.
    pub format: u32,
    /// What was asked for, and where.
    pub run: RunFacts,
    /// How the run ended.
    pub ending: &'static str,
    /// Whether any energy was read from counters other than the machine's own: a test, never a result.
    pub simulated: bool,
    /// One sentence for each model: its fastest ternary row at decoding, held against its baseline.
    pub verdicts: Vec<String>,
    /// What a reader must know of the run as a whole.
    pub notes: Vec<String>,
    /// What the figures of a row are, by the ids that they have there.
    pub columns: BTreeMap<&'static str, ColumnFacts>,
    /// One for each job of the plan, in its order, those without figures included.
    pub rows: Vec<RowFacts>,
    /// The A/A controls: jobs that were measured a second time under another name.
    pub controls: Vec<ControlFacts>,
}

/// What was asked for, and where.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RunFacts {
    /// Number of the format of the record.
    pub record_format: u32,
    /// Start of the run, RFC 3339, UTC.
    pub started_at: String,
    /// Version of bitbench.
    pub bitbench: String,
    /// The command line, as given.
    pub command: Vec<String>,
    /// The suite.
    pub suite: SuiteInfo,
    /// Seed of the order of the rounds, and of what is resampled.
    pub seed: u64,
    /// The machine.
    pub host: Host,
    /// The energy source, or why there is none.
    pub energy: EnergySourceInfo,
}

/// What a column is.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ColumnFacts {
    /// Title for people.
    pub title: &'static str,
    /// Unit of its numbers; empty for words and plain counts.
    pub unit: &'static str,
    /// What it is and how it is measured.
    pub help: &'static str,
    /// How it follows from the record.
    pub derived: &'static str,
}

/// One job and its figures.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RowFacts {
    /// The job as the plan has it.
    pub job: Job,
    /// `measured`, `skipped`, `failed` or `not run`.
    pub status: &'static str,
    /// Why there are no figures; absent for a measured job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Rounds with a stored end, of those planned.
    pub finished_rounds: usize,
    /// What a reader must know of the figures.
    pub notes: Vec<String>,
    /// Every column by its id.
    pub figures: BTreeMap<&'static str, Figure>,
}

/// What one column says of one row.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Figure {
    /// A word.
    Text {
        /// The word.
        text: String,
    },
    /// A number in the unit of the column.
    Number(Box<Number>),
    /// There is none.
    Missing {
        /// Why.
        reason: String,
    },
}

/// A number in the unit of the column.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Number {
    /// The number: a fact, the median over rounds, or the estimate from pairs of rounds.
    pub value: f64,
    /// The spread over rounds; absent where it does not vary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spread: Option<SpreadFacts>,
    /// The exact signed-rank interval of a ratio; absent where there are too few rounds for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
    /// The same ratio from the medians of both rows, with its bootstrap interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of_medians: Option<OfMedians>,
    /// Id of the job that a ratio stands against.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline: Option<String>,
    /// What an energy figure rests on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basis: Option<Basis>,
    /// `baseline` of a ratio to itself, `disturbed` where something else ran, `simulated` where energy was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mark: Option<&'static str>,
}

/// The spread of a figure over rounds.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SpreadFacts {
    /// Median absolute deviation times 1.4826; absent for a single round.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mad: Option<f64>,
    /// The smallest round.
    pub min: f64,
    /// The largest round.
    pub max: f64,
    /// How many rounds.
    pub n: usize,
}

/// An interval.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Interval {
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
    /// The probability with which it covers the centre, from 0 to 1.
    pub level: f64,
}

/// A ratio of two medians.
#[derive(Debug, Serialize, JsonSchema)]
pub struct OfMedians {
    /// The ratio, in the unit of the column.
    pub value: f64,
    /// Its interval by a block bootstrap.
    pub interval: Interval,
}

/// What an energy figure rests on.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Basis {
    /// Where it comes from.
    pub provenance: Provenance,
    /// Name of the source.
    pub source: String,
    /// The domains that make up the total.
    pub domains: Vec<String>,
}

/// An A/A control and what it showed.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ControlFacts {
    /// Its job.
    pub job: Job,
    /// Whether the same build differs from itself by more than chance allows.
    pub flagged: bool,
    /// Whether it was tried and gave no figures.
    pub failed: bool,
    /// What it showed, in a sentence.
    pub line: String,
}

fn make(report: &Report) -> Result<Vec<u8>, RenderError> {
    let text = serde_json::to_string_pretty(&document(report))?;
    let mut text = inert(&text);
    text.push('\n');
    Ok(text.into_bytes())
}

fn document(report: &Report) -> Document {
    let run = &report.run;
    Document {
        format: FORMAT_NUMBER,
        run: RunFacts {
            record_format: run.schema,
            started_at: run.started_at.clone(),
            bitbench: run.bitbench.clone(),
            command: run.command.clone(),
            suite: run.suite.clone(),
            seed: run.seed,
            host: run.host.clone(),
            energy: run.energy.clone(),
        },
        ending: match report.ending {
            Ending::Complete => "complete",
            Ending::Stopped(_) => "stopped by a budget",
            Ending::Interrupted => "interrupted",
            Ending::Missing => "no stored end",
        },
        simulated: report.simulated(),
        verdicts: report.verdicts(),
        notes: report.notes(),
        columns: COLUMNS
            .iter()
            .map(|column| (column.id, facts(column)))
            .collect(),
        rows: report.rows.iter().map(row).collect(),
        controls: report
            .controls
            .iter()
            .map(|control| ControlFacts {
                job: control.job.clone(),
                flagged: control.flagged(),
                failed: control.failed,
                line: control.line(),
            })
            .collect(),
    }
}

fn facts(column: &Column) -> ColumnFacts {
    ColumnFacts {
        title: column.title,
        unit: column.unit,
        help: column.help,
        derived: column.derived,
    }
}

fn row(row: &Row) -> RowFacts {
    let summary = &row.summary;
    RowFacts {
        job: summary.job.clone(),
        status: summary.status.word(),
        reason: summary.status.reason().map(ToOwned::to_owned),
        finished_rounds: match summary.status {
            Status::Failed {
                finished_rounds, ..
            } => finished_rounds,
            _ => summary.finished_rounds,
        },
        notes: summary.notes.clone(),
        figures: COLUMNS
            .iter()
            .map(|column| (column.id, figure(column, row)))
            .collect(),
    }
}

fn figure(column: &Column, row: &Row) -> Figure {
    match (column.cell)(row) {
        Cell::Text { text, .. } => Figure::Text { text },
        Cell::Missing(reason) => Figure::Missing { reason },
        // JSON has no word for it.
        Cell::Number { value, .. } if !value.is_finite() => Figure::Missing {
            reason: "not a finite number".to_owned(),
        },
        Cell::Number {
            value,
            spread,
            mark,
        } => Figure::Number(Box::new(Number {
            value,
            spread: spread.map(spread_of),
            interval: spread.and_then(|s| s.interval).map(interval),
            of_medians: spread.and_then(|s| s.of_medians).map(|of| OfMedians {
                value: of.ratio,
                interval: interval(of.interval),
            }),
            baseline: baseline(column, row),
            basis: basis(column, row),
            mark,
        })),
    }
}

fn spread_of(spread: Spread) -> SpreadFacts {
    SpreadFacts {
        mad: spread.mad,
        min: spread.min,
        max: spread.max,
        n: spread.n,
    }
}

fn interval(interval: stats::Interval) -> Interval {
    Interval {
        low: interval.low,
        high: interval.high,
        level: interval.level,
    }
}

/// The job that a ratio stands against; nothing for other columns and for the baseline itself.
fn baseline(column: &Column, row: &Row) -> Option<String> {
    let comparison = &row.comparison;
    let against = match column.id {
        _ if !matches!(column.kind, Kind::Ratio { .. }) => return None,
        "prefill_speedup" => &comparison.prefill_speedup,
        "multiply_speedup" => &comparison.multiply_speedup,
        "prefill_energy_saved_percent" => &comparison.prefill_energy_saved_percent,
        _ => &comparison.decode_speedup,
    };
    match against {
        Against::Baseline { job, .. } => Some(job.clone()),
        Against::IsBaseline | Against::Missing(_) => None,
    }
}

fn basis(column: &Column, row: &Row) -> Option<Basis> {
    let of = row.summary.energy_basis.as_ref();
    let of: &EnergyBasis = of.filter(|_| column.section == Section::Energy)?;
    Some(Basis {
        provenance: of.provenance,
        source: of.source.clone(),
        domains: of.domains.iter().cloned().collect(),
    })
}

/// The same document without characters that a terminal or a page would act on: within JSON they can only be part of a text,
/// where an escape stands for them.
fn inert(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '\n' => text.push('\n'),
            '<'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}' => text.push_str(&format!("\\u{:04x}", u32::from(c))),
            c if c.is_control() => text.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => text.push(c),
        }
    }
    text
}
