//! The register tile of ARM's int8 matrix multiplication: `smmla` of two tokens by two rows over eight columns, 32-bit sums.
//!
//! A vector of codes is two rows of eight columns, so two steps of [`Codes`] are eight such vectors, rows in order; two steps of
//! activations are three vectors of two tokens. Eight pairs of rows by three of tokens are 24 sums, which with three vectors of
//! activations and some of codes fill the registers. Eight columns are 24 `smmla`, each twice the work of a dot product, and
//! eleven loads.

use super::{Codes, TileStep};
use crate::cpu::aarch64::{load_i32x4, load_u8x16, smmla, store_i32x4};
use std::arch::aarch64::*;

/// Rows of a panel.
pub(crate) const ROWS: usize = super::neon_dotprod::ROWS;
/// Bytes of a step of a panel.
pub(crate) const BYTES: usize = 4 * ROWS;
/// Steps of a row in a vector of codes.
pub(crate) const WIDE: usize = 2;
/// Tokens of a tile.
pub(crate) const TOKENS: usize = 6;

/// Pairs of rows.
const ROW_PAIRS: usize = ROWS / 2;
/// Pairs of tokens.
const TOKEN_PAIRS: usize = TOKENS / 2;

/// Adds the sums of `code * a` over the columns; two steps of activations are eight columns of each token. A call of its own,
/// so that the registers are its own too.
#[inline(never)]
#[target_feature(enable = "neon,dotprod,i8mm")]
pub(crate) fn tile(
    codes: &[Codes<BYTES>],
    values: &[TileStep<TOKENS>],
    sums: &mut [[i32; ROWS]; TOKENS],
) {
    let (codes, _) = codes.as_chunks::<WIDE>();
    let (values, _) = values.as_chunks::<WIDE>();
    // Loops over constant ranges are unrolled; iterators over arrays of vectors are not, and the vectors stay in memory.
    let mut totals = [[vdupq_n_s32(0); ROW_PAIRS]; TOKEN_PAIRS];
    for (codes, values) in codes.iter().zip(values) {
        let (tokens, _) = values.as_flattened().as_chunks::<4>();
        let mut a = [vdupq_n_s8(0); TOKEN_PAIRS];
        for pair in 0..TOKEN_PAIRS {
            a[pair] = vreinterpretq_s8_s32(load_i32x4(&tokens[pair]));
        }
        let (rows, _) = codes.as_flattened().as_chunks::<16>();
        for pair in 0..ROW_PAIRS {
            let w = vreinterpretq_s8_u8(load_u8x16(&rows[pair]));
            for tokens in 0..TOKEN_PAIRS {
                totals[tokens][pair] = smmla(totals[tokens][pair], a[tokens], w);
            }
        }
    }
    let (pairs, _) = sums.as_chunks_mut::<2>();
    for tokens in 0..TOKEN_PAIRS {
        let [first, second] = &mut pairs[tokens];
        let (first, _) = first.as_chunks_mut::<4>();
        let (second, _) = second.as_chunks_mut::<4>();
        for vector in 0..ROWS / 4 {
            let low = vreinterpretq_s64_s32(totals[tokens][2 * vector]);
            let high = vreinterpretq_s64_s32(totals[tokens][2 * vector + 1]);
            let of_first = vreinterpretq_s32_s64(vzip1q_s64(low, high));
            let of_second = vreinterpretq_s32_s64(vzip2q_s64(low, high));
            let (first, second) = (&mut first[vector], &mut second[vector]);
            store_i32x4(first, vaddq_s32(load_i32x4(first), of_first));
            store_i32x4(second, vaddq_s32(load_i32x4(second), of_second));
        }
    }
}
