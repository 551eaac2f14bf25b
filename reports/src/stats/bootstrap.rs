//! A block bootstrap of the ratio of two medians.

use super::order::{finite, median, quantile};
use super::signed_rank::Interval;
use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::Rng;

/// Resamples of a bootstrap.
pub const RESAMPLES: u32 = 2_000;

/// The ratio of two medians and its percentile interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RatioOfMedians {
    /// The median of the one over the median of the other.
    pub ratio: f64,
    /// The percentile interval of the resamples. Its level is the one asked for; of few values it covers less.
    pub interval: Interval,
}

/// The ratio of the medians of paired values with a percentile interval by the circular block bootstrap of Politis and Romano
/// (1992): runs of `block` neighbouring pairs, the last followed by the first, are drawn with replacement from `seed` until
/// there are as many pairs again.
///
/// For display: readers know medians. Of few pairs the interval is too narrow, and where the machine drifts it is too wide, for
/// it does not use the pairing. Nothing is decided by it.
///
/// Nothing when there are no pairs, a slice is longer than the other, or a value is not finite and positive.
///
/// # Panics
/// When `level` is not between 0 and 1, or `block` is 0.
pub fn ratio_of_medians(
    own: &[f64],
    other: &[f64],
    block: usize,
    level: f64,
    seed: u64,
) -> Option<RatioOfMedians> {
    assert!(block > 0, "a block holds something");
    assert!(
        0.0 < level && level < 1.0,
        "a level lies between 0 and 1, not at {level}"
    );
    let usable = |values: &[f64]| finite(values) && values.iter().all(|value| *value > 0.0);
    let n = own.len();
    if n == 0 || n != other.len() || !usable(own) || !usable(other) {
        return None;
    }
    let mut random = Pcg64Mcg::new(u128::from(seed) << 1 | 1);
    let mut ratios = Vec::with_capacity(RESAMPLES as usize);
    let (mut of_own, mut of_other) = (Vec::with_capacity(n), Vec::with_capacity(n));
    for _ in 0..RESAMPLES {
        of_own.clear();
        of_other.clear();
        while of_own.len() < n {
            let start = usize::try_from(random.next_u64() % n as u64).unwrap_or(0);
            for step in 0..block.min(n - of_own.len()) {
                let pair = (start + step) % n;
                of_own.push(own[pair]);
                of_other.push(other[pair]);
            }
        }
        ratios.push(median(&of_own)? / median(&of_other)?);
    }
    let tail = (1.0 - level) / 2.0;
    Some(RatioOfMedians {
        ratio: median(own)? / median(other)?,
        interval: Interval {
            low: quantile(&ratios, tail)?,
            high: quantile(&ratios, 1.0 - tail)?,
            level,
        },
    })
}
