//! The register tile of 256-bit VNNI: `vpdpbusd` of codes and broadcast activations, 32-bit sums.
//!
//! 16 rows are two vectors of eight lanes, as for AVX2. Two of them by six tokens are twelve sums, which with two vectors of
//! codes and one of activations leave one of the sixteen registers free. A step is 12 multiply-adds for eight loads.

use super::{Codes, TileStep};
use crate::cpu::x86_64::{load_i32x8, load_u8x32, store_i32x8};
use std::arch::x86_64::*;

pub(crate) use super::avx2::{BYTES, CHUNK, ROWS, TOKENS};

/// Adds the sums of `code * a` over the steps. A call of its own, so that the registers are its own too.
#[inline(never)]
#[target_feature(enable = "avx2,avxvnni")]
pub(crate) fn tile(
    codes: &[Codes<BYTES>],
    values: &[TileStep<TOKENS>],
    sums: &mut [[i32; ROWS]; TOKENS],
) {
    let values = &values[..codes.len()];
    let mut totals = [[_mm256_setzero_si256(); 2]; TOKENS];
    for step in 0..codes.len() {
        totals = add_step(totals, &codes[step], &values[step]);
    }
    for token in 0..TOKENS {
        let (halves, _) = sums[token].as_chunks_mut::<8>();
        for half in 0..2 {
            let total = _mm256_add_epi32(load_i32x8(&halves[half]), totals[token][half]);
            store_i32x8(&mut halves[half], total);
        }
    }
}

/// Adds the products of one step.
#[inline]
#[target_feature(enable = "avx2,avxvnni")]
fn add_step(
    mut totals: [[__m256i; 2]; TOKENS],
    codes: &Codes<BYTES>,
    values: &TileStep<TOKENS>,
) -> [[__m256i; 2]; TOKENS] {
    let (halves, _) = codes.as_chunks::<32>();
    let w = [load_u8x32(&halves[0]), load_u8x32(&halves[1])];
    for token in 0..TOKENS {
        let a = _mm256_set1_epi32(values[token]);
        for half in 0..2 {
            totals[token][half] = _mm256_dpbusd_avx_epi32(totals[token][half], w[half], a);
        }
    }
    totals
}
