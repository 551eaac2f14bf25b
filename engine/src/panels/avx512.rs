//! The register tile of AVX-512 BW, for CPUs without VNNI: `vpmaddubsw` of codes and broadcast activations, 16-bit sums.
//!
//! 32 rows are two vectors of 16 lanes. Two of them by twelve tokens are 24 sums, which with two vectors of codes, one of
//! activations and two products leave three of the 32 registers free.

use super::{Codes, TileStep};
use crate::cpu::avx512::{load_i32x16, load_u8x64, store_i32x16};
use std::arch::x86_64::*;

pub(crate) use super::avx512_vnni::{BYTES, CHUNK, ROWS, TOKENS};

/// Steps whose sums fit in 16 bits: each adds at most 2 * 2 * 128 = 512 in size, and only the negative side can reach the
/// 64 * 512 = 32768.
const STEPS_PER_SUM: usize = 64;

/// Adds the sums of `code * a` over the steps. A call of its own, so that the registers are its own too.
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw")]
pub(crate) fn tile(
    codes: &[Codes<BYTES>],
    values: &[TileStep<TOKENS>],
    sums: &mut [[i32; ROWS]; TOKENS],
) {
    let values = &values[..codes.len()];
    let ones = _mm512_set1_epi16(1);
    for from in (0..codes.len()).step_by(STEPS_PER_SUM) {
        let to = codes.len().min(from + STEPS_PER_SUM);
        let mut words = [[_mm512_setzero_si512(); 2]; TOKENS];
        for step in from..to {
            words = add_step(words, &codes[step], &values[step]);
        }
        for token in 0..TOKENS {
            let (halves, _) = sums[token].as_chunks_mut::<16>();
            for half in 0..2 {
                let pairs = _mm512_madd_epi16(words[token][half], ones);
                let total = _mm512_add_epi32(load_i32x16(&halves[half]), pairs);
                store_i32x16(&mut halves[half], total);
            }
        }
    }
}

/// Adds the products of one step.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn add_step(
    mut words: [[__m512i; 2]; TOKENS],
    codes: &Codes<BYTES>,
    values: &TileStep<TOKENS>,
) -> [[__m512i; 2]; TOKENS] {
    let (halves, _) = codes.as_chunks::<64>();
    let w = [load_u8x64(&halves[0]), load_u8x64(&halves[1])];
    for token in 0..TOKENS {
        let a = _mm512_set1_epi32(values[token]);
        for half in 0..2 {
            let product = _mm512_maddubs_epi16(w[half], a);
            words[token][half] = _mm512_add_epi16(words[token][half], product);
        }
    }
    words
}
