//! The register tile of ARM's dot products: `sdot` by element of codes and activations, 32-bit sums.
//!
//! 16 rows are four vectors of four 32-bit lanes. Four of them by six tokens are 24 sums, which with two vectors of activations
//! and four of codes take 30 of the 32 registers. The activations of a step are six words; `sdot` by element picks one of them
//! for all rows: 24 dot products take six loads and no broadcast.

use super::{Codes, TileStep};
use crate::cpu::aarch64::{
    load_i32x2, load_i32x4, load_u8x16, sdot_lane, sdot_lane_of_half, store_i32x4,
};
use std::arch::aarch64::*;

/// Rows of a panel.
pub(crate) const ROWS: usize = 16;
/// Vectors of four rows.
pub(crate) const VECTORS: usize = ROWS / 4;
/// Bytes of a step of a panel.
pub(crate) const BYTES: usize = 4 * ROWS;
/// Tokens of a tile.
pub(crate) const TOKENS: usize = 6;

/// Adds the sums of `code * a` over the steps. A call of its own, so that the registers are its own too.
#[inline(never)]
#[target_feature(enable = "neon,dotprod")]
pub(crate) fn tile(
    codes: &[Codes<BYTES>],
    values: &[TileStep<TOKENS>],
    sums: &mut [[i32; ROWS]; TOKENS],
) {
    // Loops over constant ranges are unrolled; iterators over arrays of vectors are not, and the vectors stay in memory.
    let mut totals = [[vdupq_n_s32(0); VECTORS]; TOKENS];
    for (codes, values) in codes.iter().zip(values) {
        let (four, two) = values.split_at(4);
        let first = vreinterpretq_s8_s32(load_i32x4(&four.as_chunks::<4>().0[0]));
        let second = vreinterpret_s8_s32(load_i32x2(&two.as_chunks::<2>().0[0]));
        let (vectors, _) = codes.as_chunks::<16>();
        for vector in 0..VECTORS {
            let w = vreinterpretq_s8_u8(load_u8x16(&vectors[vector]));
            totals[0][vector] = sdot_lane::<0>(totals[0][vector], w, first);
            totals[1][vector] = sdot_lane::<1>(totals[1][vector], w, first);
            totals[2][vector] = sdot_lane::<2>(totals[2][vector], w, first);
            totals[3][vector] = sdot_lane::<3>(totals[3][vector], w, first);
            totals[4][vector] = sdot_lane_of_half::<0>(totals[4][vector], w, second);
            totals[5][vector] = sdot_lane_of_half::<1>(totals[5][vector], w, second);
        }
    }
    for token in 0..TOKENS {
        let (vectors, _) = sums[token].as_chunks_mut::<4>();
        for vector in 0..VECTORS {
            let total = vaddq_s32(load_i32x4(&vectors[vector]), totals[token][vector]);
            store_i32x4(&mut vectors[vector], total);
        }
    }
}
