//! The register tile of AVX2 with FMA: 16 rows by six tokens.
//!
//! Two vectors of eight rows by six tokens are twelve sums, which with two vectors of weights and one activation fill fifteen
//! of the sixteen registers. A column is then twelve multiply-adds, six cycles of two such units, and eight loads, of which
//! two units take eight in four cycles.

use super::Block;
use crate::cpu::x86_64::{load_f32x8, store_f32x8};
use crate::panels::ahead::{ask_to_read, share};
use std::arch::x86_64::*;

/// Rows of a panel.
pub(crate) const ROWS: usize = 16;
/// Columns widened at a time: 16 KiB of single precision, half of the smallest first-level cache.
pub(crate) const CHUNK: usize = 256;
/// Tokens of a full tile.
pub(crate) const TOKENS: usize = 6;

/// Adds the products of widened weights and the tokens of a block to the sums of its tiles. Meanwhile it asks for `next`, the
/// weights that will be widened after these.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
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
            _ => tile_of::<TOKENS>(weights, values, sums),
        }
    }
}

/// A tile of `N` tokens. A call of its own, so that the registers are its own too.
#[inline(never)]
#[target_feature(enable = "avx2,fma,f16c")]
fn tile_of<const N: usize>(
    weights: &[[f32; ROWS]],
    values: &[[f32; TOKENS]],
    sums: &mut [[f32; ROWS]; TOKENS],
) {
    let values = &values[..weights.len()];
    let mut tile = [[_mm256_setzero_ps(); 2]; N];
    for step in 0..weights.len() {
        let (halves, _) = weights[step].as_chunks::<8>();
        let w = [load_f32x8(&halves[0]), load_f32x8(&halves[1])];
        for token in 0..N {
            let x = _mm256_set1_ps(values[step][token]);
            for half in 0..2 {
                tile[token][half] = _mm256_fmadd_ps(w[half], x, tile[token][half]);
            }
        }
    }
    for token in 0..N {
        let (halves, _) = sums[token].as_chunks_mut::<8>();
        for half in 0..2 {
            let total = _mm256_add_ps(load_f32x8(&halves[half]), tile[token][half]);
            store_f32x8(&mut halves[half], total);
        }
    }
}
