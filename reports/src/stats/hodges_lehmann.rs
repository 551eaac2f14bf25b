//! The estimate of Hodges and Lehmann for one sample.

use super::order::{finite, middle};

/// Every mean of two values, a value with itself included, in rising order; nothing for values that are not finite.
pub(super) fn walsh_averages(values: &[f64]) -> Option<Vec<f64>> {
    if !finite(values) {
        return None;
    }
    let mut averages = Vec::with_capacity(values.len() * (values.len() + 1) / 2);
    for (index, a) in values.iter().enumerate() {
        // Halved before they are added: the sum of two large values overflows.
        averages.extend(values[index..].iter().map(|b| a / 2.0 + b / 2.0));
    }
    averages.sort_by(f64::total_cmp);
    Some(averages)
}

/// The estimate of Hodges and Lehmann (1963): the median of the means of every two values, a value with itself included.
///
/// It estimates the centre of a symmetric distribution nearly as well as the mean where that is normal, and far better where
/// it has heavy tails. Of logarithms of ratios it gives the logarithm of a ratio.
pub fn hodges_lehmann(values: &[f64]) -> Option<f64> {
    middle(&walsh_averages(values)?)
}
