//! Minimum, maximum, quantiles and the median.

/// The smallest value.
pub fn min(values: &[f64]) -> Option<f64> {
    sorted(values)?.first().copied()
}

/// The largest value.
pub fn max(values: &[f64]) -> Option<f64> {
    sorted(values)?.last().copied()
}

/// The middle value; the mean of the two middle values of an even count.
pub fn median(values: &[f64]) -> Option<f64> {
    quantile(values, 0.5)
}

/// The quantile at `probability` (0 to 1), linearly interpolated between the order statistics.
///
/// This is type 7 of Hyndman and Fan, "Sample Quantiles in Statistical Packages" (1996), the one that R and NumPy use when
/// nothing else is asked for.
///
/// # Panics
/// When `probability` is not between 0 and 1.
pub fn quantile(values: &[f64], probability: f64) -> Option<f64> {
    assert!(
        (0.0..=1.0).contains(&probability),
        "a probability lies between 0 and 1, not at {probability}"
    );
    let sorted = sorted(values)?;
    let position = probability * (sorted.len() - 1) as f64;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "between 0 and the length of the slice"
    )]
    let below = position as usize;
    let above = (below + 1).min(sorted.len() - 1);
    let share = position - below as f64;
    if share == 0.0 || sorted[below] == sorted[above] {
        return Some(sorted[below]);
    }
    // Weighted rather than `low + share * (high - low)`: the difference of two large values of opposite sign overflows.
    let between = (1.0 - share) * sorted[below] + share * sorted[above];
    Some(between.clamp(sorted[below], sorted[above]))
}

/// Whether every value is finite.
pub(super) fn finite(values: &[f64]) -> bool {
    values.iter().all(|value| value.is_finite())
}

/// The median of values that are in rising order.
pub(super) fn middle(sorted: &[f64]) -> Option<f64> {
    let (below, above) = (sorted.len().checked_sub(1)? / 2, sorted.len() / 2);
    Some(if below == above {
        sorted[below]
    } else {
        sorted[below] / 2.0 + sorted[above] / 2.0
    })
}

/// The values in rising order, or nothing when there are none or one is not finite.
fn sorted(values: &[f64]) -> Option<Vec<f64>> {
    if values.is_empty() || !finite(values) {
        return None;
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    Some(sorted)
}
