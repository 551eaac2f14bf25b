//! Each row joined to its baseline: the fastest half-precision row of the same model, head, threads and sizes.
//!
//! The baseline is chosen for each phase by itself, so that neither phase is held against a kernel that is slow at it. Ratios
//! are formed round by round, because the contenders of a round run one right after the other and what disturbs one disturbs
//! the next; see [`crate::paired`].

use crate::design::compete;
use crate::paired::{Pair, Paired};
use crate::record::{Job, Precision, Provenance};
use crate::round::{Reading, Round};
use crate::slices::{self, Slices};
use crate::summary::Summary;

/// One row held against its baseline.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// Prefill tokens/s over those of the baseline.
    pub prefill_speedup: Against,
    /// Decode tokens/s over those of the baseline.
    pub decode_speedup: Against,
    /// Of a layer alone: multiplications a second over those of the baseline.
    pub multiply_speedup: Against,
    /// Gross energy per decoded token that the baseline takes and this row does not, in percent of the baseline's.
    pub energy_saved_percent: Against,
    /// What of it being faster would save at equal power, in percent of the baseline's.
    pub saved_by_speed_percent: Against,
    /// Gross energy per token of the prompt that the baseline of prefill takes and this row does not, in percent of the
    /// baseline's.
    pub prefill_energy_saved_percent: Against,
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
        /// From the rounds that both have.
        figure: Paired,
    },
    /// It could not be compared, and why.
    Missing(String),
}

/// Compares every row to its baseline. `seed` is that of the bootstrap intervals.
pub fn compare(summaries: &[Summary], seed: u64) -> Vec<Comparison> {
    let of_row = |row: &Summary| {
        let prefill_baseline = baseline(row, summaries, prefill);
        let decode_baseline = baseline(row, summaries, decode);
        let multiply_baseline = baseline(row, summaries, multiply);
        Comparison {
            prefill_speedup: against(row, prefill_baseline, |row, baseline| {
                paired(row, baseline, Figure::PREFILL, |ratio| ratio, seed)
            }),
            decode_speedup: against(row, decode_baseline, |row, baseline| {
                paired(row, baseline, Figure::DECODE, |ratio| ratio, seed)
            }),
            multiply_speedup: against(row, multiply_baseline, |row, baseline| {
                paired(row, baseline, Figure::MULTIPLY, |ratio| ratio, seed)
            }),
            energy_saved_percent: against(row, decode_baseline, |row, baseline| {
                energy_saved(row, baseline, Figure::DECODE_JOULES, seed)
            }),
            saved_by_speed_percent: against(row, decode_baseline, |row, baseline| {
                // Only beside a saving: it explains one.
                energy_saved(row, baseline, Figure::DECODE_JOULES, seed)?;
                let saved = |ratio: f64| (1.0 - 1.0 / ratio) * 100.0;
                paired(row, baseline, Figure::DECODE, saved, seed)
            }),
            prefill_energy_saved_percent: against(row, prefill_baseline, |row, baseline| {
                energy_saved(row, baseline, Figure::PREFILL_JOULES, seed)
            }),
        }
    };
    summaries.iter().map(of_row).collect()
}

/// A number of a round that two jobs are compared by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figure {
    reading: fn(&Round) -> &Reading,
    /// The same in each slice, where jobs can take turns at it.
    slices: Option<fn(&Round) -> &Slices>,
}

impl Figure {
    /// Prefill tokens/s.
    pub(crate) const PREFILL: Figure = Figure {
        reading: prefill,
        slices: Some(|round| &round.prefill_slices),
    };
    /// Decode tokens/s.
    pub(crate) const DECODE: Figure = Figure {
        reading: decode,
        slices: Some(|round| &round.decode_slices),
    };
    /// Operations a second of a layer.
    pub(crate) const MULTIPLY: Figure = Figure {
        reading: multiply,
        slices: Some(|round| &round.multiply_slices),
    };
    /// Peak memory.
    pub(crate) const PEAK: Figure = Figure {
        reading: |round| &round.peak_bytes,
        slices: None,
    };
    /// The most that the allocator had handed out.
    pub(crate) const ALLOCATED: Figure = Figure {
        reading: |round| &round.allocated_bytes,
        slices: None,
    };
    /// Gross energy of a decoded token.
    const DECODE_JOULES: Figure = Figure {
        reading: |round| &round.decode_energy.joules_per_token,
        slices: None,
    };
    /// Gross energy of a token of the prompt.
    const PREFILL_JOULES: Figure = Figure {
        reading: |round| &round.prefill_energy.joules_per_token,
        slices: None,
    };

    fn pair(self, round: &Round, other_round: &Round, own: f64, other: f64) -> Pair {
        let in_slices = self
            .slices
            .and_then(|of| slices::ratio(of(round), of(other_round)));
        Pair {
            ratio: in_slices.unwrap_or(own / other),
            own,
            other,
        }
    }
}

fn prefill(round: &Round) -> &Reading {
    &round.prefill_tokens_per_second
}

fn decode(round: &Round) -> &Reading {
    &round.decode_tokens_per_second
}

/// Of the same layer and as many tokens, operations a second are multiplications a second.
pub(crate) fn multiply(round: &Round) -> &Reading {
    &round.multiply_gop_per_second
}

/// The rate that [`crate::columns::Row::speedup`] is a ratio of.
pub(crate) fn rate(job: &Job) -> fn(&Round) -> &Reading {
    match job.layer {
        None => decode,
        Some(_) => multiply,
    }
}

fn against(
    row: &Summary,
    baseline: Option<&Summary>,
    figure: impl Fn(&Summary, &Summary) -> Result<Paired, String>,
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
    summaries
        .iter()
        .filter(|other| other.job.precision == Precision::Half && compete(&row.job, &other.job))
        .filter_map(|other| Some((other, other.figure(speed).ok()?.median)))
        .reduce(|best, next| if next.1 > best.1 { next } else { best })
        .map(|(summary, _)| summary)
}

/// The ratio of two rows, from their pairs.
fn paired(
    row: &Summary,
    baseline: &Summary,
    figure: Figure,
    unit: impl Fn(f64) -> f64,
    seed: u64,
) -> Result<Paired, String> {
    Paired::of(&pairs(row, baseline, figure)?, unit, seed)
}

/// The numbers of two rows in the rounds that both have.
///
/// # Errors
/// When there is no such round, or one of them gives no number.
pub(crate) fn pairs(
    row: &Summary,
    baseline: &Summary,
    figure: Figure,
) -> Result<Vec<Pair>, String> {
    let mut pairs = Vec::new();
    for own in &row.rounds {
        let Some(other) = baseline.rounds.iter().find(|r| r.number == own.number) else {
            if let Some(Err(reason)) = (figure.reading)(own) {
                return Err(reason.clone());
            }
            continue;
        };
        match ((figure.reading)(own), (figure.reading)(other)) {
            (Some(Ok(number)), Some(Ok(of_other))) => {
                pairs.push(figure.pair(own, other, *number, *of_other));
            }
            (Some(Err(reason)), _) => return Err(reason.clone()),
            (_, Some(Err(reason))) => return Err(format!("baseline: {reason}")),
            _ => {}
        }
    }
    if pairs.is_empty() {
        return Err("no round in common with the baseline".to_owned());
    }
    Ok(pairs)
}

/// Gross energy of a decoded token of two rows in the rounds that both have; nothing where the energy of either is no
/// measurement, or not of the same counters.
pub(crate) fn joules_pairs(row: &Summary, other: &Summary) -> Option<Result<Vec<Pair>, String>> {
    comparable_energy(row, other, Figure::DECODE_JOULES).ok()?;
    Some(pairs(row, other, Figure::DECODE_JOULES))
}

fn energy_saved(
    row: &Summary,
    baseline: &Summary,
    joules: Figure,
    seed: u64,
) -> Result<Paired, String> {
    comparable_energy(row, baseline, joules)?;
    let saved = |ratio: f64| (1.0 - ratio) * 100.0;
    paired(row, baseline, joules, saved, seed)
}

/// Whether the energy of two rows can be held against each other.
fn comparable_energy(row: &Summary, baseline: &Summary, joules: Figure) -> Result<(), String> {
    let (Some(own), Some(other)) = (&row.energy_basis, &baseline.energy_basis) else {
        // One of the two has no energy; its own reason is the best answer.
        row.figure(joules.reading)?;
        return Err("the baseline has no energy figure".to_owned());
    };
    if row.simulated || baseline.simulated || own.provenance == Provenance::Simulated {
        return Err("simulated energy is never compared".to_owned());
    }
    if own != other {
        return Err("energy was read from other counters than the baseline's".to_owned());
    }
    Ok(())
}
