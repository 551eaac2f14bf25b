//! A hidden state in 16-bit fixed point, for heads whose weights are integers.
//!
//! One scale for the whole vector: a hidden state of 2560 values is off by 2^-16 of its largest value at most, which is finer
//! than the int8 blocks of ggml's Q8_0 as long as a row has fewer than some 8000 columns, and it needs no float operation
//! inside a row. Each value is also split into two signed bytes, `value = 256 * high + low`, for instruction sets that
//! multiply bytes. What the rounding costs is measured here, in double precision, because the screened head has to prove
//! something with it.

/// Columns of a block: everything that heads know of a part of the vector, they know of a block.
pub(super) const BLOCK: usize = 32;
/// Largest magnitude: 127 * 256, so that both bytes of any value are in -128..=127.
const LARGEST: f32 = 32512.0;
/// What a norm computed in double precision is raised by: above the rounding of sums of 2^20 terms and of a root.
const OUTWARDS: f64 = 1.0 + 1e-9;

/// A hidden state, padded with zeros to a multiple of two blocks.
#[derive(Debug, Default)]
pub(super) struct FixedPoint {
    cols: usize,
    /// What `values` are multiplied by.
    pub(super) scale: f32,
    /// `[column]`
    pub(super) values: Vec<i16>,
    /// `[column]`, the upper bytes
    pub(super) high: Vec<i8>,
    /// `[column]`, the lower bytes, signed
    pub(super) low: Vec<i8>,
    /// For each block and four columns of it: 15 times their sum.
    pub(super) fifteen_sums4: Vec<[i32; 8]>,
    /// For each block: 15 times the sum of its values.
    pub(super) fifteen_sums: Vec<i32>,
    /// For each half of a block: 32 times the sum of its values.
    pub(super) sums16_32: Vec<[i32; 2]>,
    /// At least the norm of each block of `scale * values`.
    pub(super) block_norms: Vec<f32>,
    /// At least the norm of the vector as it was given.
    pub(super) norm: f64,
    /// At least the norm of `scale * values`.
    pub(super) fixed_norm: f64,
    /// At least the norm of the difference.
    pub(super) rounding_norm: f64,
}

/// Rounds some vectors, `[tokens][cols]`, in memory that is kept.
pub(super) fn set_all<'a>(
    fixed: &'a mut Vec<FixedPoint>,
    x: &[f32],
    cols: usize,
) -> &'a [FixedPoint] {
    let tokens = x.len() / cols;
    fixed.resize_with(tokens.max(fixed.len()), FixedPoint::default);
    for (fixed, x) in fixed.iter_mut().zip(x.chunks_exact(cols)) {
        fixed.set(x);
    }
    &fixed[..tokens]
}

impl FixedPoint {
    /// Rounds a vector. Infinities and NaN give a norm that is not finite.
    pub(super) fn set(&mut self, x: &[f32]) {
        let padded = x.len().next_multiple_of(2 * BLOCK);
        self.cols = x.len();
        let largest = x.iter().fold(0.0f32, |largest, v| largest.max(v.abs()));
        let scale = largest / LARGEST;
        // A vector this small would divide by a number that has few bits left; all of it counts as rounding.
        self.scale = if scale.is_normal() { scale } else { 0.0 };
        let inverse = if self.scale > 0.0 {
            1.0 / self.scale
        } else {
            0.0
        };
        self.values.resize(padded, 0);
        self.high.resize(padded, 0);
        self.low.resize(padded, 0);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "clamped to 16 bits; NaN becomes 0"
        )]
        for (value, x) in self.values.iter_mut().zip(x) {
            *value = (x * inverse).round_ties_even().clamp(-LARGEST, LARGEST) as i16;
        }
        self.values[x.len()..].fill(0);
        for ((value, high), low) in self.values.iter().zip(&mut self.high).zip(&mut self.low) {
            *low = value.to_le_bytes()[0].cast_signed();
            *high = (value.wrapping_sub(i16::from(*low))).to_le_bytes()[1].cast_signed();
        }
        self.sum_blocks();
        self.norms(x);
    }

    /// Columns, without the padding.
    pub(super) fn cols(&self) -> usize {
        self.cols
    }

    /// Blocks that hold columns.
    pub(super) fn blocks(&self) -> usize {
        self.cols.div_ceil(BLOCK)
    }

    fn sum_blocks(&mut self) {
        let blocks = self.values.len() / BLOCK;
        self.fifteen_sums4.resize(blocks, [0; 8]);
        self.fifteen_sums.resize(blocks, 0);
        self.sums16_32.resize(blocks, [0; 2]);
        for (index, block) in self.values.as_chunks::<BLOCK>().0.iter().enumerate() {
            let sum = |values: &[i16]| values.iter().map(|v| i32::from(*v)).sum::<i32>();
            for (to, values) in self.fifteen_sums4[index]
                .iter_mut()
                .zip(block.as_chunks::<4>().0)
            {
                *to = 15 * sum(values);
            }
            self.fifteen_sums[index] = 15 * sum(block);
            self.sums16_32[index] = [32 * sum(&block[..16]), 32 * sum(&block[16..])];
        }
    }

    fn norms(&mut self, x: &[f32]) {
        let scale = f64::from(self.scale);
        let (mut norm, mut fixed, mut rounding) = (0.0, 0.0, 0.0);
        self.block_norms.clear();
        let mut xs = x.chunks(BLOCK);
        for block in self.values.as_chunks::<BLOCK>().0 {
            let mut square = 0.0;
            for (value, x) in block.iter().zip(xs.next().unwrap_or_default()) {
                let (x, value) = (f64::from(*x), scale * f64::from(*value));
                norm += x * x;
                square += value * value;
                rounding += (x - value) * (x - value);
            }
            fixed += square;
            self.block_norms.push(up(square.sqrt() * OUTWARDS));
        }
        self.norm = norm.sqrt() * OUTWARDS;
        self.fixed_norm = fixed.sqrt() * OUTWARDS;
        self.rounding_norm = rounding.sqrt() * OUTWARDS;
    }
}

/// The least single-precision number that is not below `value`.
#[expect(clippy::cast_possible_truncation, reason = "the point")]
pub(super) fn up(value: f64) -> f32 {
    let near = value as f32;
    if f64::from(near) < value {
        near.next_up()
    } else {
        near
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_norms_are_those_of_the_values() {
        let x: Vec<f32> = (0..77u16)
            .map(|i| (f32::from(i * 37 % 101) - 50.0) * 0.37)
            .collect();
        let mut fixed = FixedPoint::default();
        fixed.set(&x);
        assert_eq!(
            (fixed.cols(), fixed.blocks(), fixed.values.len()),
            (77, 3, 128)
        );
        let mut difference = 0.0;
        for (i, x) in x.iter().enumerate() {
            let bytes = 256 * i32::from(fixed.high[i]) + i32::from(fixed.low[i]);
            assert_eq!(bytes, i32::from(fixed.values[i]), "{x}");
            difference += (f64::from(*x) - f64::from(fixed.scale) * f64::from(bytes)).powi(2);
        }
        assert!(fixed.rounding_norm >= difference.sqrt());
        assert!(fixed.rounding_norm <= difference.sqrt() * 1.001);
        assert!(fixed.rounding_norm <= 77f64.sqrt() * 0.51 * f64::from(fixed.scale));
        assert_eq!(
            fixed.values.iter().map(|v| v.unsigned_abs()).max(),
            Some(32512)
        );
    }

    #[test]
    fn every_value_splits_into_two_signed_bytes() {
        let mut x: Vec<f32> = (-32512..=32512i16).map(f32::from).collect();
        x.truncate(65025);
        let mut fixed = FixedPoint::default();
        fixed.set(&x);
        for (i, value) in fixed.values.iter().enumerate() {
            assert_eq!(
                256 * i32::from(fixed.high[i]) + i32::from(fixed.low[i]),
                i32::from(*value)
            );
        }
    }

    #[test]
    fn nothing_and_next_to_nothing_are_zero_with_an_honest_rounding() {
        for x in [[0.0f32; 5], [1e-42; 5]] {
            let mut fixed = FixedPoint::default();
            fixed.set(&x);
            assert!(fixed.values.iter().all(|v| *v == 0));
            let norm = (5.0 * f64::from(x[0]).powi(2)).sqrt();
            assert!(fixed.rounding_norm >= norm);
        }
        let mut fixed = FixedPoint::default();
        fixed.set(&[1.0, f32::INFINITY]);
        assert!(!fixed.norm.is_finite());
        fixed.set(&[1.0, f32::NAN]);
        assert!(!fixed.norm.is_finite());
    }
}
