//! The 8-bit copy of a row, and how far it is off.

use super::super::fixed_point::{BLOCK, up};
use super::bounds::{OUTWARDS, Row};

/// A row in 8 bits, its norms and those of its errors.
pub(super) struct Copy {
    pub(super) row: Row,
    /// `s` of each block, of two blocks at a time.
    pub(super) scales: Vec<u8>,
    /// `t` of each block.
    pub(super) errors: Vec<u8>,
    /// `16 u + v` of each column.
    pub(super) codes: Vec<u8>,
}

impl Copy {
    /// Copies a row of `cols` columns, padded with zeros, as half precision holds it.
    pub(super) fn of(row: &[f32], cols: usize) -> Copy {
        let blocks = row.len() / BLOCK;
        let weights: Vec<f64> = row
            .iter()
            .map(|w| half::f16::from_f32(*w).to_f64())
            .collect();
        let largest = |block: &[f64]| block.iter().fold(0.0f64, |largest, w| largest.max(w.abs()));
        // The steps of a block reach 7.5 times as far as d: the largest weight is on the end of the last one.
        let scale = up(largest(&weights) / 7.5 / 255.0);
        let mut copy = Copy {
            row: Row {
                scale,
                error: 0.0,
                refined_error: 0.0,
                norm: 0.0,
            },
            scales: vec![0; blocks],
            errors: vec![0; blocks],
            codes: vec![0; row.len()],
        };
        let mut errors = vec![0.0f64; blocks];
        let mut squares = [0.0f64; 4];
        for (block, weights) in weights.chunks_exact(BLOCK).enumerate() {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "0 to 255"
            )]
            let s = (largest(weights) / 7.5 / f64::from(scale))
                .ceil()
                .clamp(0.0, 255.0) as u8;
            copy.scales[block] = s;
            let d = f64::from(scale) * f64::from(s);
            let mut square = 0.0;
            for (at, weight) in weights.iter().enumerate() {
                let column = block * BLOCK + at;
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "0 to 255"
                )]
                let code = if d > 0.0 {
                    (16.0 * weight / d + 127.5)
                        .round_ties_even()
                        .clamp(0.0, 255.0) as u8
                } else {
                    0
                };
                copy.codes[column] = code;
                // Padding is copied as something, but meets zeros of the hidden state.
                if column < cols {
                    let coarse = d * (f64::from(code >> 4) - 7.5);
                    let fine = d * (f64::from(code) - 127.5) / 16.0;
                    square += (weight - coarse).powi(2);
                    for (sum, v) in squares
                        .iter_mut()
                        .zip([*weight, coarse, fine, weight - fine])
                    {
                        *sum += v * v;
                    }
                }
            }
            errors[block] = square.sqrt() * OUTWARDS;
        }
        copy.row.error = up(largest(&errors) / 255.0);
        for (t, error) in copy.errors.iter_mut().zip(&errors) {
            *t = certified(*error, f64::from(copy.row.error));
        }
        let [weight, coarse, fine, rest] = squares.map(|square| up(square.sqrt() * OUTWARDS));
        copy.row.norm = weight.max(coarse).max(fine);
        copy.row.refined_error = rest;
        copy
    }
}

/// The least byte `t` with `t * unit >= value`, where 255 units are at least `value`.
pub(super) fn certified(value: f64, unit: f64) -> u8 {
    let mut t = 0;
    if unit > 0.0 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "0 to 255"
        )]
        let near = (value / unit).floor().clamp(0.0, 255.0) as u8;
        t = near;
    }
    // A unit has 24 bits and a byte 8: the product is exact.
    while f64::from(t) * unit < value && t < u8::MAX {
        t += 1;
    }
    t
}
