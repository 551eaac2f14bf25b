//! The register tile of AVX2: `vpmaddubsw` of codes and broadcast activations, 16-bit sums.
//!
//! 16 rows are two vectors of eight 32-bit lanes. Two of them by six tokens are twelve sums, which with two vectors of codes,
//! one of activations and one product fill the sixteen registers. A step is then 12 multiply-adds and 12 additions, which is
//! what the four vector pipes of Zen take in six cycles, and eight loads.

use super::{Codes, Tokens};
use crate::cpu::x86_64::{broadcast_i8x4, load_i32x8, load_u8x32, store_i32x8};
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

/// Adds the sums of `code * a` over the steps of `codes`, for as many tokens as there are `sums`.
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn tile(codes: &[Codes<BYTES>], tokens: Tokens<'_>, sums: &mut [[i32; ROWS]]) {
    let (tiles, rest) = sums.as_chunks_mut::<TOKENS>();
    let done = tiles.len() * TOKENS;
    for (index, sums) in tiles.iter_mut().enumerate() {
        tile_of(codes, tokens, index * TOKENS, sums);
    }
    match rest {
        [a] => tile_of(codes, tokens, done, std::array::from_mut(a)),
        _ => {
            let (pairs, last) = rest.as_chunks_mut::<2>();
            for (index, sums) in pairs.iter_mut().enumerate() {
                tile_of(codes, tokens, done + 2 * index, sums);
            }
            if let [a] = last {
                tile_of(
                    codes,
                    tokens,
                    done + 2 * pairs.len(),
                    std::array::from_mut(a),
                );
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn tile_of<const N: usize>(
    codes: &[Codes<BYTES>],
    tokens: Tokens<'_>,
    first: usize,
    sums: &mut [[i32; ROWS]; N],
) {
    let mut values = [&[][..]; N];
    for (index, values) in values.iter_mut().enumerate() {
        *values = &tokens.steps(first + index)[..codes.len()];
    }
    for from in (0..codes.len()).step_by(STEPS_PER_SUM) {
        let to = codes.len().min(from + STEPS_PER_SUM);
        run(&codes[from..to], values.map(|v| &v[from..to]), sums);
    }
}

/// At most [`STEPS_PER_SUM`] steps.
#[inline]
#[target_feature(enable = "avx2")]
fn run<const N: usize>(
    codes: &[Codes<BYTES>],
    values: [&[[i8; 4]]; N],
    sums: &mut [[i32; ROWS]; N],
) {
    let values = values.map(|v| &v[..codes.len()]);
    let mut words = [[_mm256_setzero_si256(); 2]; N];
    for (step, codes) in codes.iter().enumerate() {
        let (halves, _) = codes.as_chunks::<32>();
        let w = [load_u8x32(&halves[0]), load_u8x32(&halves[1])];
        for (words, values) in words.iter_mut().zip(values) {
            let a = broadcast_i8x4(&values[step]);
            words[0] = _mm256_add_epi16(words[0], _mm256_maddubs_epi16(w[0], a));
            words[1] = _mm256_add_epi16(words[1], _mm256_maddubs_epi16(w[1], a));
        }
    }
    for (sums, words) in sums.iter_mut().zip(words) {
        add_words(sums, words);
    }
}

/// Adds 16-bit sums, two neighbours to each row, to the 32-bit sums of the rows.
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn add_words(sums: &mut [i32; ROWS], words: [__m256i; 2]) {
    let ones = _mm256_set1_epi16(1);
    let (halves, _) = sums.as_chunks_mut::<8>();
    for (sums, words) in halves.iter_mut().zip(words) {
        let total = _mm256_add_epi32(load_i32x8(sums), _mm256_madd_epi16(words, ones));
        store_i32x8(sums, total);
    }
}
