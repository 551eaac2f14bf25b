//! Absmax quantisation of activations, as in BitNet b1.58 (arXiv 2402.17764 and its training-tips FAQ).

use crate::weights::round_bf16;

/// 1.5 * 2^23: floats of this size are integers, so an addition rounds, on every instruction set.
const ROUND: f32 = 12_582_912.0;

// Plain loops, one thing each: compilers make vectors of them, and the order of integer maxima and sums is free.
#[inline(always)]
pub(super) fn absmax(x: &[f32], smallest_absmax: f32, out: &mut [i8]) -> (f32, i32) {
    // Sizes in the order of their bits: that of numbers, and what is not a number lies above infinity.
    let mut largest = smallest_absmax.to_bits();
    for v in x {
        largest = largest.max(v.to_bits() & 0x7fff_ffff);
    }
    let largest = f32::from_bits(largest);
    if !largest.is_finite() {
        // No integer stands for that, but the scale can carry it into every output.
        out.fill(0);
        return (f32::NAN, 0);
    }
    let scale = 127.0 / largest;
    for (out, x) in out.iter_mut().zip(x) {
        // An integer of at most 127 in size, in the lowest byte once it is rounded.
        *out = (x * scale + ROUND).to_bits().to_le_bytes()[0].cast_signed();
    }
    let mut sum = 0;
    for v in &*out {
        sum += i32::from(*v);
    }
    (largest / 127.0, sum)
}

#[inline(always)]
pub(super) fn to_bf16(x: &[f32], out: &mut [u16]) {
    for (out, x) in out.iter_mut().zip(x) {
        *out = round_bf16(*x);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_becomes_127_and_ties_go_to_even() {
        let x = [-254.0f32, 127.0, 1.0, 3.0, 5.0, -1.0, 0.0];
        let mut out = [0i8; 7];
        let (scale, sum) = absmax(&x, 1e-5, &mut out);
        // x * 127 / 254: the halves 0.5, 1.5, 2.5, -0.5 and 63.5 round to even.
        assert_eq!(out, [-127, 64, 0, 2, 2, 0, 0]);
        assert_eq!(sum, -59);
        assert!((scale - 2.0).abs() < 1e-6);
    }

    #[test]
    fn not_a_number_reaches_the_scale() {
        for place in [0, 17, 39] {
            let mut x = [1.0f32; 40];
            x[place] = f32::NAN;
            assert!(absmax(&x, 1e-5, &mut [0; 40]).0.is_nan());
        }
    }

    #[test]
    fn zeros_stay_zeros() {
        let mut out = [1i8; 40];
        let (scale, sum) = absmax(&[0.0; 40], 1e-5, &mut out);
        assert_eq!((out, sum), ([0i8; 40], 0));
        assert!(scale > 0.0);
    }
}
