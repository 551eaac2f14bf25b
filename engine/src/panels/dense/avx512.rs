//! The register tile of AVX-512: 32 rows by twelve tokens.
//!
//! Two vectors of 16 rows by twelve tokens are 24 sums, which with two vectors of weights and one activation fill 27 of the 32
//! registers. A column is then 24 multiply-adds, twelve cycles of two such units, and 14 loads.

use super::Block;
use crate::cpu::x86_64::{load_f32x16, store_f32x16};
use crate::panels::ahead::{ask_to_read, share};
use std::arch::x86_64::*;

/// Rows of a panel.
pub(crate) const ROWS: usize = 32;
/// Columns widened at a time: 20 KiB of single precision, which with those of twelve tokens fit in a first-level cache of 32.
pub(crate) const CHUNK: usize = 160;
/// Tokens of a full tile.
pub(crate) const TOKENS: usize = 12;

/// Adds the products of widened weights and the tokens of a block to the sums of its tiles. Meanwhile it asks for `next`, the
/// weights that will be widened after these.
#[inline]
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw")]
pub(crate) fn tiles(
    weights: &[[f32; ROWS]],
    block: &Block<'_, f32, TOKENS>,
    sums: &mut [[[f32; ROWS]; TOKENS]],
    next: &[u8],
) {
    let count = sums.len();
    for (index, sums) in sums.iter_mut().enumerate() {
        ask_to_read(share(next, index, count));
        let (values, tokens) = block.tile(index);
        match tokens {
            1 => tile_of::<1>(weights, values, sums),
            2 => tile_of::<2>(weights, values, sums),
            3 => tile_of::<3>(weights, values, sums),
            4 => tile_of::<4>(weights, values, sums),
            5 => tile_of::<5>(weights, values, sums),
            6 => tile_of::<6>(weights, values, sums),
            7 => tile_of::<7>(weights, values, sums),
            8 => tile_of::<8>(weights, values, sums),
            9 => tile_of::<9>(weights, values, sums),
            10 => tile_of::<10>(weights, values, sums),
            11 => tile_of::<11>(weights, values, sums),
            _ => tile_of::<TOKENS>(weights, values, sums),
        }
    }
}

/// A tile of `N` tokens. A call of its own, so that the registers are its own too.
#[inline(never)]
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw")]
fn tile_of<const N: usize>(
    weights: &[[f32; ROWS]],
    values: &[[f32; TOKENS]],
    sums: &mut [[f32; ROWS]; TOKENS],
) {
    let values = &values[..weights.len()];
    let mut tile = [[_mm512_setzero_ps(); 2]; N];
    for step in 0..weights.len() {
        let (halves, _) = weights[step].as_chunks::<16>();
        let w = [load_f32x16(&halves[0]), load_f32x16(&halves[1])];
        for token in 0..N {
            let x = _mm512_set1_ps(values[step][token]);
            for half in 0..2 {
                tile[token][half] = _mm512_fmadd_ps(w[half], x, tile[token][half]);
            }
        }
    }
    for token in 0..N {
        let (halves, _) = sums[token].as_chunks_mut::<16>();
        for half in 0..2 {
            let total = _mm512_add_ps(load_f32x16(&halves[half]), tile[token][half]);
            store_f32x16(&mut halves[half], total);
        }
    }
}
