//! Figures of two jobs, paired round by round, as one ratio.
//!
//! A pair is what two jobs gave in the same round: two processes close to each other in time, so that most of what disturbs the
//! one disturbs the other. Rounds come in mirrored rows ([`crate::design`]), so that a drift has the one sign in one round and
//! the other in the next.

use crate::design::ROUNDS_OF_BLOCK;
use crate::report::count;
use crate::stats::{self, Interval, NoInterval, RatioOfMedians};

/// Level that an interval has at least.
pub const LEVEL: f64 = 0.95;

/// The figures of two jobs in one round.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    /// Of the one.
    pub own: f64,
    /// Of the other.
    pub other: f64,
    /// The one over the other. Where they took turns in slices it is the median over these ([`crate::slices`]), and differs from
    /// that of the two numbers.
    pub ratio: f64,
}

impl Pair {
    /// Two numbers and their ratio.
    pub fn of(own: f64, other: f64) -> Pair {
        Pair {
            own,
            other,
            ratio: own / other,
        }
    }
}

/// A ratio of paired figures, or what is computed from one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Paired {
    /// The estimate of Hodges and Lehmann from the logarithms of the ratios.
    pub estimate: f64,
    /// The exact signed-rank interval of the same, of at least [`LEVEL`], or why there is none.
    pub interval: Result<Interval, NoInterval>,
    /// Median absolute deviation of the pairs times 1.4826; nothing for a single pair.
    pub mad: Option<f64>,
    /// The smallest pair.
    pub min: f64,
    /// The largest pair.
    pub max: f64,
    /// How many pairs: one for each round that both have.
    pub n: usize,
    /// The ratio of the two medians with its bootstrap interval, for display; nothing for a single pair.
    pub of_medians: Option<RatioOfMedians>,
}

impl Paired {
    /// The ratio of the first of each pair to the second, in the form that `unit` gives a ratio, which must rise or fall with
    /// it. `seed` is that of the bootstrap.
    ///
    /// # Errors
    /// When there is no pair, or a figure is not positive.
    pub fn of(pairs: &[Pair], unit: impl Fn(f64) -> f64, seed: u64) -> Result<Paired, String> {
        let none = || "no round in common with the baseline".to_owned();
        let logarithms = logarithms(pairs)?;
        let logarithm = stats::hodges_lehmann(&logarithms).ok_or_else(none)?;
        let values: Vec<f64> = pairs.iter().map(|pair| unit(pair.ratio)).collect();
        let between = |a: f64, b: f64, level: f64| Interval {
            low: a.min(b),
            high: a.max(b),
            level,
        };
        let interval = stats::signed_rank_interval(&logarithms, LEVEL)
            .map(|i| between(unit(i.low.exp()), unit(i.high.exp()), i.level));
        let (own, other): (Vec<f64>, Vec<f64>) =
            pairs.iter().map(|pair| (pair.own, pair.other)).unzip();
        let of_medians = (pairs.len() > 1)
            .then(|| stats::ratio_of_medians(&own, &other, ROUNDS_OF_BLOCK as usize, LEVEL, seed))
            .flatten()
            .map(|found| RatioOfMedians {
                ratio: unit(found.ratio),
                interval: between(
                    unit(found.interval.low),
                    unit(found.interval.high),
                    found.interval.level,
                ),
            });
        Ok(Paired {
            estimate: unit(logarithm.exp()),
            interval,
            mad: if values.len() > 1 {
                stats::mad(&values)
            } else {
                None
            },
            min: stats::min(&values).ok_or_else(none)?,
            max: stats::max(&values).ok_or_else(none)?,
            n: values.len(),
            of_medians,
        })
    }

    /// The interval, or where there is none the range of the pairs: `3.99 to 4.17, 95 %`, `3.72 to 3.77 in 3 rounds`, `1 round`.
    pub fn within(&self, decimals: usize) -> String {
        match self.interval {
            Ok(i) => format!(
                "{:.decimals$} to {:.decimals$}, {}",
                i.low,
                i.high,
                percent(i.level)
            ),
            Err(_) if self.n == 1 => count(1, "round"),
            Err(_) => format!(
                "{:.decimals$} to {:.decimals$} in {}",
                self.min,
                self.max,
                count(self.n, "round")
            ),
        }
    }
}

/// The logarithms of the ratios of pairs.
///
/// # Errors
/// When a figure is not positive.
pub fn logarithms(pairs: &[Pair]) -> Result<Vec<f64>, String> {
    let of_pair = |pair: &Pair| {
        if pair.own > 0.0 && pair.other > 0.0 && pair.ratio > 0.0 {
            Ok(pair.ratio.ln())
        } else {
            Err("a figure of a round is not above zero, so it has no ratio".to_owned())
        }
    };
    pairs.iter().map(of_pair).collect()
}

/// A level in whole percent, never rounded up: `95 %`.
fn percent(level: f64) -> String {
    format!("{:.0} %", (level * 100.0 + 1e-9).floor())
}
