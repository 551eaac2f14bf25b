//! Whether a short series still rises or falls.

use super::order::median;

/// How many values are looked at: the newest.
pub const TREND_LENGTH: usize = 5;

/// Kendall's S from which five values count as ordered. Of the 120 orders of five values without a trend, 5 reach it in each
/// direction: one in twenty-four (Kendall, "A New Measure of Rank Correlation", Biometrika 30, 1938, table I).
const ORDERED: i32 = 8;

/// Change over the series, as a share of its median, that is not worth waiting for.
const NEGLIGIBLE: f64 = 0.01;

/// Whether the newest [`TREND_LENGTH`] values have no trend: they are not ordered, or what they change by in a straight line
/// (Theil-Sen: the median of the slopes of all pairs) is less than 1 % of their median. False for fewer values or ones that
/// are not finite.
pub fn flat(values: &[f64]) -> bool {
    let Some(newest) = values.len().checked_sub(TREND_LENGTH) else {
        return false;
    };
    let values = &values[newest..];
    let Some(middle) = median(values) else {
        return false;
    };
    let mut order = 0;
    let mut slopes = Vec::new();
    for (later, b) in values.iter().enumerate() {
        for (earlier, a) in values.iter().enumerate().take(later) {
            order += i32::from(b > a) - i32::from(b < a);
            slopes.push((b - a) / (later - earlier) as f64);
        }
    }
    let Some(slope) = median(&slopes) else {
        return false;
    };
    let change = slope * (TREND_LENGTH - 1) as f64;
    order.abs() < ORDERED || change.abs() < NEGLIGIBLE * middle.abs()
}
