//! The register tile of plain Advanced SIMD: `smlal` of codes and activations, columns in lanes, 16-bit sums.
//!
//! There is no multiplication of bytes by element, so rows in lanes would cost a broadcast for each column. Here the eight
//! lanes of a sum are columns: four rows by five tokens are twenty sums, which with five vectors of activations and some of
//! codes leave the 32 registers room. A step of 16 columns is 40 multiply-adds and nine loads. The sums of a chunk fit in 16
//! bits, so lanes are added once a chunk.

use super::{Codes, TileStep};
use crate::cpu::aarch64::{load_i32x4, load_u8x16, smlal_high, smlal_low, store_i32x4};
use std::arch::aarch64::*;

/// Rows of a panel.
pub(crate) const ROWS: usize = 4;
/// Bytes of a step of a panel.
pub(crate) const BYTES: usize = 4 * ROWS;
/// Most columns unpacked at a time. A lane gets two products of a vector of 16 columns, each at most 2 * 128 in size, and only
/// the negative side can reach the 64 * 2 * 256 = 32768 of a chunk.
pub(crate) const MOST_COLUMNS: usize = 1024;
/// Columns of a vector of codes. Four steps of [`Codes`] are one such vector for each of the four rows.
pub(crate) const COLUMNS: usize = 16;
/// Steps of a vector of codes.
pub(crate) const WIDE: usize = 4;
/// Tokens of a full tile.
pub(crate) const TOKENS: usize = 5;

/// Adds the sums of `code * a` over the columns, at most [`MOST_COLUMNS`]; four steps of activations are 16 columns of each
/// token. A call of its own, so that the registers are its own too.
#[inline(never)]
#[target_feature(enable = "neon")]
pub(crate) fn tile(
    codes: &[Codes<BYTES>],
    values: &[TileStep<TOKENS>],
    sums: &mut [[i32; ROWS]; TOKENS],
) {
    let (codes, _) = codes.as_chunks::<WIDE>();
    let values = &values.as_chunks::<WIDE>().0[..codes.len()];
    debug_assert!(codes.len() * COLUMNS <= MOST_COLUMNS, "16-bit sums");
    // Loops over constant ranges are unrolled; iterators over arrays of vectors are not, and the vectors stay in memory.
    let mut words = [[vdupq_n_s16(0); ROWS]; TOKENS];
    for (codes, values) in codes.iter().zip(values) {
        let (values, _) = values.as_flattened().as_chunks::<WIDE>();
        let mut a = [vdupq_n_s8(0); TOKENS];
        for token in 0..TOKENS {
            a[token] = vreinterpretq_s8_s32(load_i32x4(&values[token]));
        }
        for row in 0..ROWS {
            let w = vreinterpretq_s8_u8(load_u8x16(&codes[row]));
            for token in 0..TOKENS {
                words[token][row] = smlal_low(words[token][row], w, a[token]);
                words[token][row] = smlal_high(words[token][row], w, a[token]);
            }
        }
    }
    for token in 0..TOKENS {
        let [a, b, c, d] = words[token];
        let total = sum_lanes([
            vpaddlq_s16(a),
            vpaddlq_s16(b),
            vpaddlq_s16(c),
            vpaddlq_s16(d),
        ]);
        let total = vaddq_s32(load_i32x4(&sums[token]), total);
        store_i32x4(&mut sums[token], total);
    }
}

/// The sum of the four lanes of each of four vectors.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn sum_lanes(v: [int32x4_t; ROWS]) -> int32x4_t {
    vpaddq_s32(vpaddq_s32(v[0], v[1]), vpaddq_s32(v[2], v[3]))
}
