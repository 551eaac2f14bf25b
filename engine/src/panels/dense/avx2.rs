//! AVX2 with FMA: panels of 16 rows, two vectors; register tiles of six tokens.
//!
//! Two vectors of eight rows by six tokens are twelve sums, which with two vectors of weights and one activation fill fifteen
//! of the sixteen registers. A column is then twelve multiply-adds, six cycles of two such units, and eight loads, of which
//! two units take eight in four cycles.

use crate::activations::Activations;
use crate::cpu::x86_64::{load_f32x8, prefetch, store_f32x8};
use crate::grid::Tile;
use crate::kernels::Packed;
use std::arch::x86_64::*;

/// Rows of a panel.
pub(crate) const ROWS: usize = 16;
/// Columns widened at a time: 16 KiB of single precision, half of the smallest first-level cache.
const CHUNK: usize = 256;
/// Tokens of a full tile.
const TOKENS: usize = 6;

/// Decode: columns whose sums are kept apart, so that no multiply-add waits for the one before it.
const APART: usize = 4;
/// Decode: how far ahead weights are asked for, in bytes: about the latency of memory at its bandwidth.
const AHEAD: usize = 8 << 10;

/// Multiplies the rows of `out` by its tokens. `widen` gives a column in single precision, the first half of the rows, then the
/// other.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn multiply(
    packed: &Packed,
    activations: &Activations,
    out: &mut Tile<'_>,
    widen: impl Fn(&[u16; ROWS]) -> [__m256; 2],
) {
    super::multiply::<ROWS, TOKENS, CHUNK, f32>(
        packed,
        activations,
        out,
        |panel, values| dot(panel, values, &widen),
        |columns, widened| {
            for (from, to) in columns.iter().zip(widened) {
                let (halves, _) = to.as_chunks_mut::<8>();
                let w = widen(from);
                store_f32x8(&mut halves[0], w[0]);
                store_f32x8(&mut halves[1], w[1]);
            }
        },
        |weights, values, tokens, sums| match tokens {
            1 => tile_of::<1>(weights, values, sums),
            2 => tile_of::<2>(weights, values, sums),
            3 => tile_of::<3>(weights, values, sums),
            4 => tile_of::<4>(weights, values, sums),
            5 => tile_of::<5>(weights, values, sums),
            _ => tile_of::<TOKENS>(weights, values, sums),
        },
    );
}

/// Sums of the rows of a panel.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn dot(
    panel: &[[u16; ROWS]],
    values: &[f32],
    widen: impl Fn(&[u16; ROWS]) -> [__m256; 2],
) -> [f32; ROWS] {
    let (steps, _) = panel.as_chunks::<APART>();
    let values = &values.as_chunks::<APART>().0[..steps.len()];
    let mut sums = [[_mm256_setzero_ps(); 2]; APART];
    for (step, values) in steps.iter().zip(values) {
        let bytes: &[u8; 2 * APART * ROWS] = bytemuck::cast_ref(step);
        for line in 0..bytes.len() / 64 {
            prefetch(bytes, AHEAD + 64 * line);
        }
        for column in 0..APART {
            let x = _mm256_set1_ps(values[column]);
            let w = widen(&step[column]);
            sums[column][0] = _mm256_fmadd_ps(w[0], x, sums[column][0]);
            sums[column][1] = _mm256_fmadd_ps(w[1], x, sums[column][1]);
        }
    }
    let mut result = [0.0; ROWS];
    let (halves, _) = result.as_chunks_mut::<8>();
    for half in 0..2 {
        let pairs = [
            _mm256_add_ps(sums[0][half], sums[1][half]),
            _mm256_add_ps(sums[2][half], sums[3][half]),
        ];
        store_f32x8(&mut halves[half], _mm256_add_ps(pairs[0], pairs[1]));
    }
    result
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
