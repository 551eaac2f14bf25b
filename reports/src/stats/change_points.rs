//! Where a series changed its level, in the manner of E-divisive: the best split, tested by permutations, and again in all parts.
//!
//! What is split off is a stretch of the series, from its begin, up to its end or in the middle, so that a level that came and went
//! again is found as well as one that stayed (circular segmentation: Olshen and others, 2004). The statistic is that of ranks
//! (Pettitt, "A non-parametric approach to the change-point problem", 1979), weighted for the length of the stretch, so that one
//! stray value moves nothing. The test compares the best stretch of the series with the best ones of the same values in random
//! orders, so a series without a change is split with a probability of 5 %, whatever the distribution of its values, as long as
//! they do not depend on each other.

use super::order::{finite, median};
use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::Rng;

/// Fewest values on either side of a change.
pub const SHORTEST_SEGMENT: usize = 3;

/// Most values that are looked at: the newest. The work grows with their square.
pub const MOST_VALUES: usize = 256;

/// Probability of a change in a series that has none.
const LEVEL: f64 = 0.05;

/// Random orders that a split is held against.
const ORDERS: u32 = 999;

/// A change of level.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChangePoint {
    /// Index of the first value after it.
    pub at: usize,
    /// Median of the values before it, back to the change before.
    pub before: f64,
    /// Median of the values after it, up to the next change.
    pub after: f64,
    /// Probability of as good a split where there is no change, within the part of the series that it was found in.
    pub p: f64,
}

/// The changes of level in a series of values above zero, in its order: significant at 5 %, with at least [`SHORTEST_SEGMENT`]
/// values on both sides, and of at least `minimum_effect` as a share. Of more than [`MOST_VALUES`] values, those among the newest.
/// `seed` is that of the random orders.
///
/// Nothing for values that are not finite or not above zero. Fewer than eight values never have a change: even the clearest
/// split of so few comes about by chance too often.
pub fn change_points(values: &[f64], minimum_effect: f64, seed: u64) -> Vec<ChangePoint> {
    if !finite(values) || values.iter().any(|value| *value <= 0.0) {
        return Vec::new();
    }
    let left_out = values.len().saturating_sub(MOST_VALUES);
    let values = &values[left_out..];
    let mut random = Pcg64Mcg::new(u128::from(seed) << 1 | 1);
    let mut splits = Vec::new();
    split(values, 0, &mut random, &mut splits);
    splits.sort_by_key(|(at, _)| *at);
    drop_small(values, &mut splits, minimum_effect);
    refine(values, &mut splits);
    drop_small(values, &mut splits, minimum_effect);
    let mut changes = with_levels(values, &splits);
    for change in &mut changes {
        change.at += left_out;
    }
    changes
}

/// A split: the index of the first value after it, and how probable one is where there is none.
type Split = (usize, f64);

/// Takes away what is certain and too small to matter; the smallest goes first, for what is left may then be larger.
fn drop_small(values: &[f64], splits: &mut Vec<Split>, minimum_effect: f64) {
    loop {
        let sizes = with_levels(values, splits)
            .into_iter()
            .map(|change| (change.after / change.before).ln().abs());
        let smallest = sizes.enumerate().min_by(|(_, a), (_, b)| a.total_cmp(b));
        match smallest {
            Some((index, size)) if size < minimum_effect.ln_1p() => splits.remove(index),
            _ => return,
        };
    }
}

/// Puts each split where the values lie closest to the medians on its sides: ranks tell that there is a change and not quite
/// where, once there are several.
fn refine(values: &[f64], splits: &mut [Split]) {
    let distance = |part: &[f64]| {
        let middle = median(part).unwrap_or(0.0);
        part.iter().map(|value| (value - middle).abs()).sum::<f64>()
    };
    for index in 0..splits.len() {
        let from = index.checked_sub(1).map_or(0, |before| splits[before].0);
        let to = splits.get(index + 1).map_or(values.len(), |(at, _)| *at);
        let places = from + SHORTEST_SEGMENT..=to.saturating_sub(SHORTEST_SEGMENT);
        let distances =
            places.map(|at| (at, distance(&values[from..at]) + distance(&values[at..to])));
        if let Some((at, _)) = distances.min_by(|(_, a), (_, b)| a.total_cmp(b)) {
            splits[index].0 = at;
        }
    }
}

/// Splits a part of the series that begins at `from`, and its parts.
fn split(values: &[f64], from: usize, random: &mut Pcg64Mcg, splits: &mut Vec<Split>) {
    let Some((begin, end, p)) = best_stretch(values, random) else {
        return;
    };
    for at in [begin, end] {
        if at > 0 && at < values.len() {
            splits.push((from + at, p));
        }
    }
    for (begin, end) in [(0, begin), (begin, end), (end, values.len())] {
        split(&values[begin..end], from + begin, random, splits);
    }
}

/// The stretch that stands out most and how probable as good a one is in a random order, where that is at most [`LEVEL`].
fn best_stretch(values: &[f64], random: &mut Pcg64Mcg) -> Option<(usize, usize, f64)> {
    let most = f64::from(ORDERS + 1) * LEVEL;
    let mut ranks = centred_ranks(values);
    let (begin, end, observed) = strongest(&ranks)?;
    // Statistics that are equal but for the order of their additions are ties.
    let threshold = observed * (1.0 - 1e-12);
    let mut as_good = 1_u32;
    for _ in 0..ORDERS {
        shuffle(&mut ranks, random);
        as_good += u32::from(strongest(&ranks).is_some_and(|(.., other)| other >= threshold));
        if f64::from(as_good) > most {
            return None;
        }
    }
    Some((begin, end, f64::from(as_good) / f64::from(ORDERS + 1)))
}

/// The stretch with the largest statistic, and that: the sum of its centred ranks over its standard deviation in random orders, but
/// for a constant. No part is shorter than [`SHORTEST_SEGMENT`]; nothing where there is no such stretch.
fn strongest(ranks: &[f64]) -> Option<(usize, usize, f64)> {
    let n = ranks.len();
    let mut sums = vec![0.0; n + 1];
    for (index, rank) in ranks.iter().enumerate() {
        sums[index + 1] = sums[index] + rank;
    }
    let mut best: Option<(usize, usize, f64)> = None;
    for begin in (0..n).filter(|begin| *begin == 0 || *begin >= SHORTEST_SEGMENT) {
        for end in begin + SHORTEST_SEGMENT..n {
            // What is left of it up to the end is the same split as from the begin.
            if n - end < SHORTEST_SEGMENT {
                break;
            }
            let length = end - begin;
            let sum: f64 = sums[end] - sums[begin];
            let statistic = sum * sum / (length * (n - length)) as f64;
            if best.is_none_or(|(.., other)| statistic > other) {
                best = Some((begin, end, statistic));
            }
        }
    }
    best
}

/// The rank of each value less the mean rank; equal values share theirs.
fn centred_ranks(values: &[f64]) -> Vec<f64> {
    let rank = |value: &f64| {
        let below = values.iter().filter(|other| *other < value).count() as f64;
        let equal = values.iter().filter(|other| *other == value).count() as f64;
        below + (equal + 1.0) / 2.0
    };
    let middle = (values.len() as f64 + 1.0) / 2.0;
    values.iter().map(|value| rank(value) - middle).collect()
}

fn shuffle(values: &mut [f64], random: &mut Pcg64Mcg) {
    for last in (1..values.len()).rev() {
        // The bias of the remainder is one over 2^64 / length.
        let other = random.next_u64() % (last as u64 + 1);
        values.swap(last, usize::try_from(other).unwrap_or(last));
    }
}

/// The splits with the medians of the parts beside them.
fn with_levels(values: &[f64], splits: &[Split]) -> Vec<ChangePoint> {
    let end_after = |index: usize| splits.get(index + 1).map_or(values.len(), |(at, _)| *at);
    let begin_before = |index: usize| index.checked_sub(1).map_or(0, |index| splits[index].0);
    let change = |(index, (at, p)): (usize, &Split)| {
        Some(ChangePoint {
            at: *at,
            before: median(&values[begin_before(index)..*at])?,
            after: median(&values[*at..end_after(index)])?,
            p: *p,
        })
    };
    splits.iter().enumerate().filter_map(change).collect()
}
