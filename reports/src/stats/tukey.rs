//! Tukey's fences: values far from the others are marked. None is dropped.

use super::order::quantile;

/// Where a value lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// Between the inner fences.
    Inside,
    /// Beyond an inner fence: more than 1.5 interquartile ranges from the nearer quartile.
    Outside,
    /// Beyond an outer fence: more than 3 of them.
    FarOutside,
}

/// Marks each value by the fences of Tukey, "Exploratory Data Analysis" (1977), with the quartiles of [`quantile`]. Nothing for
/// no values, or when one is not finite. Of fewer than four values none can lie outside.
pub fn tukey(values: &[f64]) -> Option<Vec<Mark>> {
    let (low, high) = (quantile(values, 0.25)?, quantile(values, 0.75)?);
    let range = high - low;
    let beyond =
        |value: f64, ranges: f64| value < low - ranges * range || value > high + ranges * range;
    let mark = |value: &f64| match *value {
        far if beyond(far, 3.0) => Mark::FarOutside,
        outside if beyond(outside, 1.5) => Mark::Outside,
        _ => Mark::Inside,
    };
    Some(values.iter().map(mark).collect())
}
