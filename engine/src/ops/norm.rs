//! Root mean square normalisation (arXiv 1910.07467), layer normalisation (arXiv 1607.06450), the residual addition.

use super::{LANES, SharedIsa, sum_lanes};
use crate::model::NormKind;

/// The norms of a network: all are of one kind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Norm {
    pub(crate) isa: SharedIsa,
    pub(crate) kind: NormKind,
    pub(crate) epsilon: f32,
}

impl Norm {
    /// Normalises one token; all are of the same length.
    pub(crate) fn of(self, x: &[f32], weight: &[f32], out: &mut [f32]) {
        match self.kind {
            NormKind::Rms => super::rms_norm(self.isa, x, weight, self.epsilon, out),
            NormKind::Layer => {
                out.copy_from_slice(x);
                super::layer_norm_in_place(self.isa, out, weight, self.epsilon);
            }
        }
    }

    /// The same, in the place of `x`.
    pub(crate) fn in_place(self, x: &mut [f32], weight: &[f32]) {
        match self.kind {
            NormKind::Rms => super::rms_norm_in_place(self.isa, x, weight, self.epsilon),
            NormKind::Layer => super::layer_norm_in_place(self.isa, x, weight, self.epsilon),
        }
    }
}

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
#[expect(
    clippy::cast_precision_loss,
    reason = "a row has far fewer than 2^24 elements"
)]
pub(super) fn layer_norm_in_place(x: &mut [f32], weight: &[f32], epsilon: f32) {
    let mut lanes = [0.0f32; LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, v) in lanes.iter_mut().zip(chunk) {
            *lane += v;
        }
    }
    for (lane, v) in lanes.iter_mut().zip(rest) {
        *lane += v;
    }
    let mean = sum_lanes(lanes) / x.len() as f32;
    for v in x.iter_mut() {
        *v -= mean;
    }
    rms_norm_in_place(x, weight, epsilon);
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

    #[test]
    fn the_mean_becomes_zero_and_the_deviation_one() {
        let mut x: Vec<f32> = (0..101u8).map(|i| f32::from(i) * 0.5 + 7.0).collect();
        super::layer_norm_in_place(&mut x, &[1.0; 101], 0.0);
        let mean = x.iter().map(|v| f64::from(*v)).sum::<f64>() / 101.0;
        let square = x.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / 101.0;
        assert!(
            mean.abs() < 1e-6 && (square - 1.0).abs() < 1e-6,
            "{mean}, {square}"
        );
    }
}
