//! Two samples that are not paired: the shift between them, its interval by the rank-sum test of Wilcoxon, and the test itself.

use super::order::{finite, middle};
use super::signed_rank::Interval;

/// Most values of either sample for which the null distribution is computed.
pub const MOST_RANKED: usize = 64;

/// The null distribution of the statistic of Mann and Whitney: the probability that `u` of the `first * second` pairs have the
/// larger value in the first sample, for each `u`, when both are drawn alike.
///
/// # Panics
/// When either is above [`MOST_RANKED`], for which nobody should ask for thousands of probabilities.
pub fn rank_sum_distribution(first: usize, second: usize) -> Vec<f64> {
    assert!(
        first.max(second) <= MOST_RANKED,
        "the distribution of {first} and {second} values is too long"
    );
    // The largest value is of the first sample with the share of the first: it is then above all of the second.
    let mut shorter = vec![vec![1.0]; second + 1];
    for own in 1..=first {
        let mut rows = vec![vec![1.0]];
        for other in 1..=second {
            let all = (own + other) as f64;
            let mut row = vec![0.0; own * other + 1];
            for (u, probability) in shorter[other].iter().enumerate() {
                row[u + other] += probability * own as f64 / all;
            }
            for (u, probability) in rows[other - 1].iter().enumerate() {
                row[u] += probability * other as f64 / all;
            }
            rows.push(row);
        }
        shorter = rows;
    }
    shorter.swap_remove(second)
}

/// Every difference of a value of the first sample and one of the second, in rising order; nothing for samples that are empty,
/// too long or not finite.
fn differences(first: &[f64], second: &[f64]) -> Option<Vec<f64>> {
    let fits = |sample: &[f64]| finite(sample) && (1..=MOST_RANKED).contains(&sample.len());
    if !fits(first) || !fits(second) {
        return None;
    }
    let of_value = |a: &f64| second.iter().map(|b| a - b).collect::<Vec<f64>>();
    let mut all: Vec<f64> = first.iter().flat_map(of_value).collect();
    all.sort_by(f64::total_cmp);
    Some(all)
}

/// The estimate of Hodges and Lehmann for the shift of the first sample against the second: the median of all differences.
pub fn shift(first: &[f64], second: &[f64]) -> Option<f64> {
    middle(&differences(first, second)?)
}

/// The interval of the shift that has at least `level`, from 0 to 1, whatever the distribution that both samples have but for
/// it; nothing where so few values cannot give it.
pub fn shift_interval(first: &[f64], second: &[f64], level: f64) -> Option<Interval> {
    let differences = differences(first, second)?;
    let tail = (1.0 - level) / 2.0 * (1.0 + 1e-12);
    let mut below = 0.0;
    let mut found = None;
    for (u, probability) in rank_sum_distribution(first.len(), second.len())
        .iter()
        .enumerate()
    {
        below += probability;
        if below > tail {
            break;
        }
        found = Some((u, below));
    }
    let (u, below) = found?;
    Some(Interval {
        low: differences[u],
        high: differences[differences.len() - 1 - u],
        level: 1.0 - 2.0 * below,
    })
}

/// The probability of samples at least as far apart, in either direction, when both are drawn alike. Pairs of equal values
/// count as half a pair, and halves are counted towards the middle, so that ties never make a difference certain.
pub fn rank_sum(first: &[f64], second: &[f64]) -> Option<f64> {
    let differences = differences(first, second)?;
    let pairs = differences.len();
    let above = differences.iter().filter(|d| **d > 0.0).count();
    let ties = differences.iter().filter(|d| **d == 0.0).count();
    // From the nearer end.
    let u = (2 * above + ties)
        .min(2 * pairs - (2 * above + ties))
        .div_ceil(2);
    let tail: f64 = rank_sum_distribution(first.len(), second.len())[..=u]
        .iter()
        .sum();
    Some((2.0 * tail).min(1.0))
}
