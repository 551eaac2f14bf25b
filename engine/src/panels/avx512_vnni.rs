//! The register tile of AVX-512 VNNI: `vpdpbusd` of codes and broadcast activations, 32-bit sums.
//!
//! 32 rows are two vectors of 16 lanes. Two of them by twelve tokens are 24 sums, which with two vectors of codes and one of
//! activations leave five of the 32 registers free. A step is then 24 multiply-adds for 14 loads, so the loads hide behind
//! the two multiply-adds that a core can start in a cycle, and 24 chains hide their latency of four or five cycles.

use super::{Codes, TileStep};
use crate::cpu::avx512::{load_i32x16, load_u8x64, store_i32x16};
use std::arch::x86_64::*;

/// Rows of a panel.
pub(crate) const ROWS: usize = 32;
/// Bytes of a step of a panel.
pub(crate) const BYTES: usize = 4 * ROWS;
/// Columns unpacked at a time: 16 KiB of codes, which with 6 KiB of activations fit in the first-level cache.
pub(crate) const CHUNK: usize = 512;
/// Tokens of a full tile.
pub(crate) const TOKENS: usize = 12;

/// Adds the sums of `code * a` over the steps. A call of its own, so that the registers are its own too.
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(crate) fn tile(
    codes: &[Codes<BYTES>],
    values: &[TileStep<TOKENS>],
    sums: &mut [[i32; ROWS]; TOKENS],
) {
    let values = &values[..codes.len()];
    let mut totals = [[_mm512_setzero_si512(); 2]; TOKENS];
    for step in 0..codes.len() {
        totals = add_step(totals, &codes[step], &values[step]);
    }
    for token in 0..TOKENS {
        let (halves, _) = sums[token].as_chunks_mut::<16>();
        for half in 0..2 {
            let total = _mm512_add_epi32(load_i32x16(&halves[half]), totals[token][half]);
            store_i32x16(&mut halves[half], total);
        }
    }
}

/// Adds the products of one step.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn add_step(
    mut totals: [[__m512i; 2]; TOKENS],
    codes: &Codes<BYTES>,
    values: &TileStep<TOKENS>,
) -> [[__m512i; 2]; TOKENS] {
    let (halves, _) = codes.as_chunks::<64>();
    let w = [load_u8x64(&halves[0]), load_u8x64(&halves[1])];
    for token in 0..TOKENS {
        let a = _mm512_set1_epi32(values[token]);
        for half in 0..2 {
            totals[token][half] = _mm512_dpbusd_epi32(totals[token][half], w[half], a);
        }
    }
    totals
}
