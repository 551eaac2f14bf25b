//! The median absolute deviation.

use super::order::median;

/// Makes the median absolute deviation of normally distributed values an estimate of their standard deviation: 1 / Φ⁻¹(3/4).
pub const MAD_TO_SIGMA: f64 = 1.4826;

/// The median absolute deviation from the median, times [`MAD_TO_SIGMA`].
pub fn mad(values: &[f64]) -> Option<f64> {
    let middle = median(values)?;
    let distances: Vec<f64> = values.iter().map(|value| (value - middle).abs()).collect();
    Some(median(&distances)? * MAD_TO_SIGMA)
}
