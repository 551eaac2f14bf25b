//! Root mean square normalisation (arXiv 1910.07467) and the residual addition.

use super::{LANES, sum_lanes};

/// What every value is multiplied by: one over the root of the mean square.
#[inline(always)]
#[expect(
    clippy::cast_precision_loss,
    reason = "a row has far fewer than 2^24 elements"
)]
fn scale_of(x: &[f32], epsilon: f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, v) in lanes.iter_mut().zip(chunk) {
            *lane += v * v;
        }
    }
    for (lane, v) in lanes.iter_mut().zip(rest) {
        *lane += v * v;
    }
    let mean = sum_lanes(lanes) / x.len() as f32;
    1.0 / (mean + epsilon).sqrt()
}

#[inline(always)]
pub(super) fn rms_norm(x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) {
    let scale = scale_of(x, epsilon);
    for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
        *out = x * scale * weight;
    }
}

#[inline(always)]
pub(super) fn rms_norm_in_place(x: &mut [f32], weight: &[f32], epsilon: f32) {
    let scale = scale_of(x, epsilon);
    for (x, weight) in x.iter_mut().zip(weight) {
        *x = *x * scale * weight;
    }
}

#[inline(always)]
pub(super) fn add(x: &mut [f32], y: &[f32]) {
    for (x, y) in x.iter_mut().zip(y) {
        *x += y;
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_root_mean_square_becomes_one() {
        let x: Vec<f32> = (0..100u8).map(|i| f32::from(i) - 30.5).collect();
        let mut out = vec![0.0; 100];
        super::rms_norm(&x, &[1.0; 100], 0.0, &mut out);
        let mean = out.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / 100.0;
        assert!((mean - 1.0).abs() < 1e-6, "{mean}");
    }
}
