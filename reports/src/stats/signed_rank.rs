//! The interval that Wilcoxon's signed-rank test gives, from its exact null distribution.

use super::hodges_lehmann::walsh_averages;

/// Most values for which the null distribution is computed; beyond it the normal distribution is as good to four digits.
const MOST_EXACT: usize = 200;

/// An interval for a centre, and the level it has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
    /// The probability with which such an interval covers the centre, from 0 to 1. Ranks are whole, so it is somewhat above
    /// what was asked for.
    pub level: f64,
}

/// Why there is no interval.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum NoInterval {
    /// Even the widest interval of so few values covers the centre too seldom.
    #[error(
        "{n} values give an interval of {:.1} % at most; {needed} are needed",
        reachable * 100.0
    )]
    TooFew {
        /// How many there are.
        n: usize,
        /// How many there must be.
        needed: usize,
        /// The level of the interval from the smallest to the largest, from 0 to 1.
        reachable: f64,
    },
    /// A value is not finite.
    #[error("a value is not finite")]
    NotFinite,
}

/// Fewest values that give an interval of this level: two to the power of one less must be at least one over what is left
/// out.
///
/// # Panics
/// When `level` is not between 0 and 1.
pub fn fewest_for(level: f64) -> usize {
    let left_out = left_out(level);
    let mut n = 1;
    while 2.0 * 0.5_f64.powi(n) > left_out && n < 1100 {
        n += 1;
    }
    usize::try_from(n).unwrap_or(usize::MAX)
}

fn left_out(level: f64) -> f64 {
    assert!(
        0.0 < level && level < 1.0,
        "a level lies between 0 and 1, not at {level}"
    );
    // 1 - 0.95 is a little above 0.05.
    (1.0 - level) * (1.0 + 1e-12)
}

/// The null distribution of the sum of the ranks with a positive sign: the probability of each sum from 0 to n(n + 1)/2, each
/// rank having either sign with equal probability.
///
/// # Panics
/// When `n` is above 200, for which nobody should ask for 20 000 probabilities.
pub fn signed_rank_distribution(n: usize) -> Vec<f64> {
    assert!(n <= MOST_EXACT, "the distribution of {n} ranks is too long");
    let mut probabilities = vec![0.0; n * (n + 1) / 2 + 1];
    probabilities[0] = 1.0;
    let mut largest = 0;
    for rank in 1..=n {
        largest += rank;
        // Downwards, so that what is added to a sum is the probability before this rank.
        for sum in (0..=largest).rev() {
            let without = probabilities[sum];
            let with = sum.checked_sub(rank).map_or(0.0, |s| probabilities[s]);
            probabilities[sum] = (without + with) / 2.0;
        }
    }
    probabilities
}

/// The largest rank sum that is unlikely enough, and the probability of one at most as large; nothing where even 0 is not.
fn critical(n: usize, tail: f64) -> Option<(usize, f64)> {
    if n > MOST_EXACT {
        return normal_critical(n, tail);
    }
    let mut below = 0.0;
    let mut critical = None;
    for (sum, probability) in signed_rank_distribution(n).iter().enumerate() {
        below += probability;
        if below > tail {
            break;
        }
        critical = Some((sum, below));
    }
    critical
}

/// The same by the normal distribution with the mean and the variance of the rank sum.
fn normal_critical(n: usize, tail: f64) -> Option<(usize, f64)> {
    let n = n as f64;
    let mean = n * (n + 1.0) / 4.0;
    let deviation = (n * (n + 1.0) * (2.0 * n + 1.0) / 24.0).sqrt();
    // The quantile by bisection: the distribution function is all there is.
    let (mut low, mut high) = (-40.0, 0.0);
    for _ in 0..200 {
        let middle = (low + high) / 2.0;
        if normal_below(middle) < tail {
            low = middle;
        } else {
            high = middle;
        }
    }
    let sum = (mean + low * deviation - 0.5).floor();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and the largest sum of ranks"
    )]
    (sum >= 0.0).then(|| (sum as usize, normal_below((sum + 0.5 - mean) / deviation)))
}

/// The standard normal distribution function below 0: the integral of the density by Simpson's rule.
fn normal_below(z: f64) -> f64 {
    const STEPS: u32 = 400;
    let z = z.max(-12.0);
    let width = (z + 12.0) / f64::from(STEPS);
    let density = |x: f64| (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let of_step = |step: u32| {
        let weight = match step {
            0 | STEPS => 1.0,
            odd if odd % 2 == 1 => 4.0,
            _ => 2.0,
        };
        weight * density(-12.0 + f64::from(step) * width)
    };
    (0..=STEPS).map(of_step).sum::<f64>() * width / 3.0
}

/// The interval of the centre by inverting Wilcoxon's signed-rank test: between two order statistics of the Walsh averages,
/// chosen from the exact null distribution (up to 200 values; beyond, the normal one).
///
/// It covers the centre of a symmetric distribution with at least `level` whatever its tails.
///
/// # Errors
/// When so few values cannot give that level, or one is not finite. A narrower interval is never given in its place.
///
/// # Panics
/// When `level` is not between 0 and 1.
pub fn signed_rank_interval(values: &[f64], level: f64) -> Result<Interval, NoInterval> {
    let n = values.len();
    let Some((sum, below)) = critical(n, left_out(level) / 2.0).filter(|_| n > 0) else {
        return Err(NoInterval::TooFew {
            n,
            needed: fewest_for(level),
            reachable: 1.0
                - 0.5_f64
                    .powi(i32::try_from(n).unwrap_or(i32::MAX) - 1)
                    .min(1.0),
        });
    };
    let averages = walsh_averages(values).ok_or(NoInterval::NotFinite)?;
    Ok(Interval {
        low: averages[sum],
        high: averages[averages.len() - 1 - sum],
        level: 1.0 - 2.0 * below,
    })
}
