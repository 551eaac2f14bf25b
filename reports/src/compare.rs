//! Each row joined to its baseline: the fastest half-precision row of the same model, head, threads and sizes.
//!
//! The baseline is chosen for each phase by itself, so that neither phase is held against a kernel that is slow at it. Ratios
//! are formed round by round, because the rounds of a run are interleaved and what disturbs one round disturbs both rows of
//! it; the figure is the median of those ratios.

use crate::record::{Precision, Provenance};
use crate::round::{Reading, Round};
use crate::summary::{Figure, Summary};

/// One row held against its baseline.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// Prefill tokens/s over those of the baseline.
    pub prefill_speedup: Against,
    /// Decode tokens/s over those of the baseline.
    pub decode_speedup: Against,
    /// Gross energy per decoded token that the baseline takes and this row does not, in percent of the baseline's.
    pub energy_saved_percent: Against,
    /// What of it being faster would save at equal power, in percent of the baseline's.
    pub saved_by_speed_percent: Against,
}

/// A figure that stands against a baseline.
#[derive(Debug, Clone, PartialEq)]
pub enum Against {
    /// This row is the baseline itself.
    IsBaseline,
    /// It was compared.
    Baseline {
        /// Id of the job it was compared to.
        job: String,
        /// Kernel of that job.
        kernel: String,
        /// Median and spread over the rounds that both have.
        figure: Figure,
    },
    /// It could not be compared, and why.
    Missing(String),
}

/// Compares every row to its baseline.
pub fn compare(summaries: &[Summary]) -> Vec<Comparison> {
    let of_row = |row: &Summary| {
        let prefill_baseline = baseline(row, summaries, prefill);
        let decode_baseline = baseline(row, summaries, decode);
        Comparison {
            prefill_speedup: against(row, prefill_baseline, |row, baseline| {
                paired(row, baseline, prefill, |own, other| own / other)
            }),
            decode_speedup: against(row, decode_baseline, |row, baseline| {
                paired(row, baseline, decode, |own, other| own / other)
            }),
            energy_saved_percent: against(row, decode_baseline, energy_saved),
            saved_by_speed_percent: against(row, decode_baseline, |row, baseline| {
                // Only beside a saving: it explains one.
                energy_saved(row, baseline)?;
                paired(row, baseline, decode, |own, other| {
                    (1.0 - other / own) * 100.0
                })
            }),
        }
    };
    summaries.iter().map(of_row).collect()
}

fn prefill(round: &Round) -> &Reading {
    &round.prefill_tokens_per_second
}

fn decode(round: &Round) -> &Reading {
    &round.decode_tokens_per_second
}

fn decode_joules(round: &Round) -> &Reading {
    &round.decode_energy.joules_per_token
}

fn against(
    row: &Summary,
    baseline: Option<&Summary>,
    figure: impl Fn(&Summary, &Summary) -> Result<Figure, String>,
) -> Against {
    if let Some(reason) = row.status.reason() {
        return Against::Missing(format!("{}: {reason}", row.status.word()));
    }
    let Some(baseline) = baseline else {
        return Against::Missing(
            "no half-precision row of this model, threads and sizes was measured".to_owned(),
        );
    };
    // Also asked of the baseline itself, so that a figure it does not have is not given as no change.
    match figure(row, baseline) {
        Err(reason) => Against::Missing(reason),
        Ok(_) if row.job.id == baseline.job.id => Against::IsBaseline,
        Ok(figure) => Against::Baseline {
            job: baseline.job.id.clone(),
            kernel: baseline.job.kernel.clone(),
            figure,
        },
    }
}

/// The half-precision row that is fastest by `speed` among those of the same model name, head, threads and sizes.
fn baseline<'a>(
    row: &Summary,
    summaries: &'a [Summary],
    speed: fn(&Round) -> &Reading,
) -> Option<&'a Summary> {
    let same_work = |other: &Summary| {
        let (a, b) = (&row.job, &other.job);
        a.model.name == b.model.name
            && a.head == b.head
            && a.threads == b.threads
            && a.prefill_tokens == b.prefill_tokens
            && a.decode_tokens == b.decode_tokens
            && a.batch == b.batch
    };
    summaries
        .iter()
        .filter(|other| other.job.precision == Precision::Half && same_work(other))
        .filter_map(|other| Some((other, other.figure(speed).ok()?.median)))
        .reduce(|best, next| if next.1 > best.1 { next } else { best })
        .map(|(summary, _)| summary)
}

/// Combines the numbers of two rows round by round.
fn paired(
    row: &Summary,
    baseline: &Summary,
    reading: fn(&Round) -> &Reading,
    combine: impl Fn(f64, f64) -> f64,
) -> Result<Figure, String> {
    let mut numbers = Vec::new();
    for own in &row.rounds {
        let other = baseline.rounds.iter().find(|r| r.number == own.number);
        match (
            reading(own),
            other.and_then(|other| reading(other).as_ref()),
        ) {
            (Some(Ok(own)), Some(Ok(other))) if *other > 0.0 => numbers.push(combine(*own, *other)),
            (Some(Err(reason)), _) => return Err(reason.clone()),
            (_, Some(Err(reason))) => return Err(format!("baseline: {reason}")),
            _ => {}
        }
    }
    Figure::of(&numbers).ok_or_else(|| "no round in common with the baseline".to_owned())
}

fn energy_saved(row: &Summary, baseline: &Summary) -> Result<Figure, String> {
    let (Some(own), Some(other)) = (&row.energy_basis, &baseline.energy_basis) else {
        // One of the two has no energy; its own reason is the best answer.
        row.figure(decode_joules)?;
        return Err("the baseline has no energy figure".to_owned());
    };
    if row.simulated || baseline.simulated || own.provenance == Provenance::Simulated {
        return Err("simulated energy is never compared".to_owned());
    }
    if own != other {
        return Err("energy was read from other counters than the baseline's".to_owned());
    }
    paired(row, baseline, decode_joules, |own, other| {
        (1.0 - own / other) * 100.0
    })
}
