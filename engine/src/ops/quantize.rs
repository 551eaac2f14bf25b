//! Absmax quantisation of activations, as in BitNet b1.58 (arXiv 2402.17764 and its training-tips FAQ).

use super::LANES;

/// Adding and subtracting 1.5 * 2^23 rounds a float below 2^22 to the nearest integer, ties to even, in two additions that
/// every instruction set has.
const ROUND: f32 = 12_582_912.0;

#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "rounded and at most 127 in size"
)]
pub(super) fn absmax(x: &[f32], smallest_absmax: f32, out: &mut [i8]) -> (f32, i32) {
    let mut lanes = [0.0f32; LANES];
    let mut nan = [false; LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    for chunk in chunks {
        for ((lane, nan), v) in lanes.iter_mut().zip(&mut nan).zip(chunk) {
            *lane = if v.abs() > *lane { v.abs() } else { *lane };
            *nan |= v.is_nan();
        }
    }
    for v in rest {
        lanes[0] = lanes[0].max(v.abs());
        nan[0] |= v.is_nan();
    }
    if nan.contains(&true) {
        // No integer stands for it, but the scale can carry it into every output.
        out.fill(0);
        return (f32::NAN, 0);
    }
    let largest = lanes
        .iter()
        .fold(smallest_absmax, |a, b| if *b > a { *b } else { a });
    let scale = 127.0 / largest;
    let mut sum = 0i32;
    for (out, x) in out.iter_mut().zip(x) {
        let quantized = ((x * scale + ROUND) - ROUND) as i32 as i8;
        *out = quantized;
        sum += i32::from(quantized);
    }
    (largest / 127.0, sum)
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
