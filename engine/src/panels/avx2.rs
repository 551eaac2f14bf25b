//! The register tile of AVX2: `vpmaddubsw` of codes and broadcast activations, 16-bit sums.
//!
//! 16 rows are two vectors of eight 32-bit lanes. Two of them by six tokens are twelve sums, which with two vectors of codes,
//! one of activations and one product fill the sixteen registers. A step is then 12 multiply-adds and 12 additions, which is
//! what the four vector pipes of Zen take in six cycles, and eight loads.

use super::{Codes, TileStep};
use crate::cpu::x86_64::{load_i32x8, load_u8x32, store_i32x8};
use std::arch::x86_64::*;

/// Rows of a panel.
pub(crate) const ROWS: usize = 16;
/// Bytes of a step of a panel.
pub(crate) const BYTES: usize = 4 * ROWS;
/// Columns unpacked at a time: 8 KiB of codes, a quarter of the smallest first-level cache.
pub(crate) const CHUNK: usize = 512;
/// Tokens of a full tile.
pub(crate) const TOKENS: usize = 6;
/// Steps whose sums fit in 16 bits: each adds at most 2 * 2 * 128 = 512 in size, and only the negative side can reach the
/// 64 * 512 = 32768.
const STEPS_PER_SUM: usize = 64;

/// Adds the sums of `code * a` over the steps. A call of its own, so that the registers are its own too.
#[inline(never)]
#[target_feature(enable = "avx2")]
pub(crate) fn tile(
    codes: &[Codes<BYTES>],
    values: &[TileStep<TOKENS>],
    sums: &mut [[i32; ROWS]; TOKENS],
) {
    let values = &values[..codes.len()];
    for from in (0..codes.len()).step_by(STEPS_PER_SUM) {
        let to = codes.len().min(from + STEPS_PER_SUM);
        let mut words = [[_mm256_setzero_si256(); 2]; TOKENS];
        // Two steps at a time: the loop's own instructions are a tenth of what the core can take up in a step.
        let (pairs, last) = codes[from..to].as_chunks::<2>();
        let (value_pairs, last_values) = values[from..to].as_chunks::<2>();
        for (codes, values) in pairs.iter().zip(value_pairs) {
            words = add_step(words, &codes[0], &values[0]);
            words = add_step(words, &codes[1], &values[1]);
        }
        if let ([codes], [values]) = (last, last_values) {
            words = add_step(words, codes, values);
        }
        for token in 0..TOKENS {
            add_words(&mut sums[token], words[token]);
        }
    }
}

/// Adds the products of one step.
#[inline]
#[target_feature(enable = "avx2")]
fn add_step(
    mut words: [[__m256i; 2]; TOKENS],
    codes: &Codes<BYTES>,
    values: &TileStep<TOKENS>,
) -> [[__m256i; 2]; TOKENS] {
    let (halves, _) = codes.as_chunks::<32>();
    let w = [load_u8x32(&halves[0]), load_u8x32(&halves[1])];
    // Loops over constant ranges are unrolled; iterators over arrays of vectors are not, and the vectors stay in memory.
    for token in 0..TOKENS {
        let a = _mm256_set1_epi32(values[token]);
        for half in 0..2 {
            let product = _mm256_maddubs_epi16(w[half], a);
            words[token][half] = _mm256_add_epi16(words[token][half], product);
        }
    }
    words
}

/// Adds 16-bit sums, two neighbours to each row, to the 32-bit sums of the rows.
#[inline]
#[target_feature(enable = "avx2")]
fn add_words(sums: &mut [i32; ROWS], words: [__m256i; 2]) {
    let ones = _mm256_set1_epi16(1);
    let (halves, _) = sums.as_chunks_mut::<8>();
    for (sums, words) in halves.iter_mut().zip(words) {
        let total = _mm256_add_epi32(load_i32x8(sums), _mm256_madd_epi16(words, ones));
        store_i32x8(sums, total);
    }
}
