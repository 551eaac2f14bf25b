//! One line for each repetition, for data frames.
//!
//! Columns that begin with `window_` are of the whole window and the same in each of its repetitions: take them from one. An
//! empty field is unknown; `reason` says why `window_joules` is.

use super::Format;
use crate::record::{Energy, Job, Provenance, Record, Records, Sample, WeightsOrigin};
use crate::render::csv::{inert, line};
use crate::render::plain;
use crate::report::Report;
use crate::summary::{Used, used};
use std::collections::HashMap;

pub(super) static FORMAT: Format = Format {
    name: "samples",
    file: "samples.csv",
    about: "one line for each repetition of each window, for data frames",
    always: false,
    make: |records, _: &Report| Ok(make(records)),
};

/// One repetition and what it belongs to.
struct Line<'a> {
    records: &'a Records,
    job: Option<&'a Job>,
    sample: &'a Sample,
    used: bool,
    /// Number of the window's line in the record file, from 1.
    line: usize,
    repetition: usize,
    duration_ns: u64,
}

/// What one column says of a line; an empty text is unknown.
type Field = fn(&Line<'_>) -> String;

/// Every column, in order.
const FIELDS: &[(&str, Field)] = &[
    ("run_started_at", |l| text(&l.records.run.started_at)),
    ("suite", |l| text(&l.records.run.suite.name)),
    ("job", |l| text(&l.sample.place.job)),
    ("control_of", |l| {
        of_job(l, |job| {
            job.control_of.as_deref().map_or(String::new(), text)
        })
    }),
    ("model", |l| of_job(l, |job| text(&job.model.name))),
    ("layer_rows", |l| {
        of_job(l, |job| number(job.layer.map(|layer| layer.rows)))
    }),
    ("layer_columns", |l| {
        of_job(l, |job| number(job.layer.map(|layer| layer.columns)))
    }),
    ("weights", |l| {
        of_job(l, |job| match &job.model.weights {
            WeightsOrigin::Synthetic { .. } => "synthetic".to_owned(),
            WeightsOrigin::File { path, .. } => text(path),
        })
    }),
    ("ternarized", |l| of_job(l, |job| yes(job.model.ternarized))),
    ("engine", |l| of_job(l, |job| text(&job.engine.name))),
    ("kernel", |l| of_job(l, |job| text(&job.kernel))),
    ("head", |l| of_job(l, |job| text(&job.head))),
    ("precision", |l| of_job(l, |job| word(&job.precision))),
    ("threads", |l| of_job(l, |job| job.threads.to_string())),
    ("batch", |l| of_job(l, |job| job.batch.to_string())),
    ("prefill_tokens", |l| {
        of_job(l, |job| job.prefill_tokens.to_string())
    }),
    ("decode_tokens", |l| {
        of_job(l, |job| job.decode_tokens.to_string())
    }),
    ("round", |l| l.sample.place.round.to_string()),
    ("process", |l| l.sample.place.process.to_string()),
    ("phase", |l| word(&l.sample.phase)),
    ("slice", |l| number(l.sample.slice.map(u64::from))),
    ("window", |l| l.line.to_string()),
    ("used", |l| yes(l.used)),
    ("repetition", |l| l.repetition.to_string()),
    ("seconds", |l| seconds(l.duration_ns)),
    ("tokens", |l| match l.sample.tokens {
        0 => String::new(),
        tokens => tokens.to_string(),
    }),
    ("matrices", |l| number(l.sample.matrices.map(u64::from))),
    ("bytes", |l| number(l.sample.bytes)),
    ("operations", |l| number(l.sample.operations)),
    ("window_start_seconds", |l| seconds(l.sample.at_ns)),
    ("window_repetitions", |l| {
        l.sample.durations_ns.len().to_string()
    }),
    ("window_joules", |l| {
        joules(l.sample).map_or(String::new(), |j| j.to_string())
    }),
    ("window_energy_seconds", |l| match &l.sample.energy {
        Energy::Measured(window) => seconds(window.window_ns),
        Energy::Unavailable { .. } => String::new(),
    }),
    ("window_energy_source", |l| match &l.sample.energy {
        Energy::Measured(window) => text(&window.source),
        Energy::Unavailable { .. } => String::new(),
    }),
    ("window_energy_provenance", |l| {
        provenance(l.sample).map_or(String::new(), |p| word(&p))
    }),
    ("window_others_cores", |l| around(l, |s| s.others_cores())),
    ("window_stolen_cores", |l| around(l, |s| s.stolen_cores())),
    ("window_throttles", |l| {
        around(l, |s| s.throttles.map(|n| n as f64))
    }),
    ("window_celsius", |l| {
        around(l, |s| s.temperature_millicelsius.map(|t| t as f64 / 1e3))
    }),
    ("window_mhz", |l| {
        around(l, |s| s.cpufreq_khz.map(|khz| khz as f64 / 1e3))
    }),
    ("digest", |l| {
        l.sample.digest.as_deref().map_or(String::new(), text)
    }),
    ("reason", |l| {
        joules(l.sample)
            .err()
            .map_or(String::new(), |reason| text(&reason))
    }),
];

fn make(records: &Records) -> Vec<u8> {
    let mut jobs: HashMap<&str, &Job> = HashMap::new();
    for job in &records.run.jobs {
        jobs.entry(&job.id).or_insert(job);
    }
    let used: Used<'_> = used(records);
    let mut table = line(FIELDS.iter().map(|(name, _)| name));
    for (index, record) in records.lines.iter().enumerate() {
        let Record::Sample(sample) = record else {
            continue;
        };
        for (repetition, duration_ns) in sample.durations_ns.iter().enumerate() {
            let of = Line {
                records,
                job: jobs.get(sample.place.job.as_str()).copied(),
                sample,
                used: used.has(sample),
                // The run is line 1.
                line: index + 2,
                repetition,
                duration_ns: *duration_ns,
            };
            table.push_str(&line(FIELDS.iter().map(|(_, field)| field(&of))));
        }
    }
    table.into_bytes()
}

/// Of a job that the plan does not have, nothing is known but its id.
fn of_job(line: &Line<'_>, field: impl Fn(&Job) -> String) -> String {
    line.job.map_or(String::new(), field)
}

fn text(text: &str) -> String {
    inert(&plain(text))
}

/// The word that the record has for it.
fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

fn yes(yes: bool) -> String {
    if yes { "yes" } else { "no" }.to_owned()
}

fn number(number: Option<u64>) -> String {
    number.map_or(String::new(), |number| number.to_string())
}

/// Nanoseconds as seconds with all of their digits.
fn seconds(ns: u64) -> String {
    format!("{}.{:09}", ns / 1_000_000_000, ns % 1_000_000_000)
}

fn joules(sample: &Sample) -> Result<f64, String> {
    match &sample.energy {
        Energy::Measured(window) => window.total_joules(),
        Energy::Unavailable { reason } => Err(reason.clone()),
    }
}

fn provenance(sample: &Sample) -> Option<Provenance> {
    match &sample.energy {
        Energy::Measured(window) => Some(window.provenance),
        Energy::Unavailable { .. } => None,
    }
}

fn around(line: &Line<'_>, of: fn(&crate::record::Surroundings) -> Option<f64>) -> String {
    let surroundings = line.sample.surroundings.as_ref();
    let number = surroundings
        .and_then(of)
        .filter(|number| number.is_finite());
    number.map_or(String::new(), |number| number.to_string())
}
