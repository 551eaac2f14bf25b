//! The test of paired differences by flipping their signs.

use super::order::finite;
use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::Rng;

/// Most values of which every combination of signs is tried: a million, some milliseconds.
pub const MOST_EXHAUSTIVE: usize = 20;

/// Combinations drawn where there are too many to try all.
pub const DRAWN: u32 = 20_000;

/// Which means speak against "no difference".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tail {
    /// Those far from 0 on either side.
    Both,
    /// Large ones.
    Upper,
    /// Small ones.
    Lower,
}

/// What the test says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SignFlip {
    /// The share of sign combinations with a mean at least as extreme as that of the values.
    pub p: f64,
    /// Whether every combination was tried; if not, [`DRAWN`] were drawn, and that of the values counts among them.
    pub exhaustive: bool,
}

/// Tests whether the values could as well have the opposite signs: the share of all combinations of signs whose mean is at
/// least as extreme. Exact where contenders were put in order by chance, whatever the distribution of the values; above
/// [`MOST_EXHAUSTIVE`] values the combinations are drawn from `seed`.
///
/// Nothing for no values, or when one is not finite.
pub fn sign_flip(values: &[f64], tail: Tail, seed: u64) -> Option<SignFlip> {
    if values.is_empty() || !finite(values) {
        return None;
    }
    let sizes: Vec<f64> = values.iter().map(|value| value.abs()).collect();
    let whole: f64 = sizes.iter().sum();
    let sum: f64 = values.iter().sum();
    let observed = match tail {
        Tail::Both => sum.abs(),
        Tail::Upper => sum,
        Tail::Lower => -sum,
    };
    // Sums that are equal but for the order of their additions are ties.
    let threshold = observed - 1e-12 * whole;
    let extreme = |sum: f64| match tail {
        Tail::Both => sum.abs() >= threshold,
        Tail::Upper | Tail::Lower => sum >= threshold,
    };
    if sizes.len() <= MOST_EXHAUSTIVE {
        let count = count_extreme(&sizes, 0.0, &extreme);
        let all = 1_u64 << sizes.len();
        return Some(SignFlip {
            p: count as f64 / all as f64,
            exhaustive: true,
        });
    }
    let mut random = Pcg64Mcg::new(u128::from(seed) << 1 | 1);
    let mut count = 1_u32;
    for _ in 1..DRAWN {
        let mut bits = 0;
        let mut sum = 0.0;
        for (index, size) in sizes.iter().enumerate() {
            if index % 64 == 0 {
                bits = random.next_u64();
            }
            sum += if bits & 1 == 0 { *size } else { -size };
            bits >>= 1;
        }
        count += u32::from(extreme(sum));
    }
    Some(SignFlip {
        p: f64::from(count) / f64::from(DRAWN),
        exhaustive: false,
    })
}

/// How many combinations of signs of the sizes, added to `sum`, are extreme. The depth is at most [`MOST_EXHAUSTIVE`].
fn count_extreme(sizes: &[f64], sum: f64, extreme: &impl Fn(f64) -> bool) -> u64 {
    match sizes.split_first() {
        None => u64::from(extreme(sum)),
        Some((size, rest)) => {
            count_extreme(rest, sum + size, extreme) + count_extreme(rest, sum - size, extreme)
        }
    }
}
