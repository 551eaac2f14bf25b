//! Advanced SIMD: panels of 16 rows, four vectors; register tiles of six tokens.
//!
//! A step is four columns: `fmla` by element takes their activations from one vector. 16 rows by six tokens are 24 sums, which
//! with six vectors of activations and two of weights fill the 32 registers.

use crate::activations::Activations;
use crate::cpu::aarch64::{load_f32x4, prefetch, store_f32x4};
use crate::grid::Tile;
use crate::kernels::Packed;
use std::arch::aarch64::*;

/// Rows of a panel.
pub(crate) const ROWS: usize = 16;
/// Vectors of a column.
pub(crate) const VECTORS: usize = ROWS / 4;
/// Columns of a step.
const STEP: usize = 4;
/// Steps that are widened together, 16 KiB.
const CHUNK: usize = 64;
/// Tokens of a full tile.
const TOKENS: usize = 6;
/// Decode: how far ahead weights are asked for, in bytes: about the latency of memory at its bandwidth.
const AHEAD: usize = 8 << 10;

/// Multiplies the rows of `out` by its tokens. `widen` gives a column in single precision.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn multiply(
    packed: &Packed,
    activations: &Activations,
    out: &mut Tile<'_>,
    widen: impl Fn(&[u16; ROWS]) -> [float32x4_t; VECTORS],
) {
    super::multiply::<ROWS, TOKENS, CHUNK, [f32; STEP]>(
        packed,
        activations,
        out,
        |panel, values| dot(panel, values, &widen),
        |columns, widened| {
            for (from, to) in columns.iter().zip(widened) {
                let (vectors, _) = to.as_chunks_mut::<4>();
                let w = widen(from);
                for vector in 0..VECTORS {
                    store_f32x4(&mut vectors[vector], w[vector]);
                }
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

/// Sums of the rows of a panel, each column of a step in sums of its own: sixteen chains of additions, which hide the latency
/// of four.
#[inline]
#[target_feature(enable = "neon")]
fn dot(
    panel: &[[u16; ROWS]],
    values: &[f32],
    widen: impl Fn(&[u16; ROWS]) -> [float32x4_t; VECTORS],
) -> [f32; ROWS] {
    let mut sums = [[vdupq_n_f32(0.0); VECTORS]; STEP];
    let (steps, _) = panel.as_chunks::<STEP>();
    for (step, x) in steps.iter().zip(values.as_chunks::<STEP>().0) {
        let bytes: &[u8] = bytemuck::cast_slice(step);
        prefetch(bytes, AHEAD);
        prefetch(bytes, AHEAD + 64);
        let x = load_f32x4(x);
        sums[0] = add_column::<0>(sums[0], widen(&step[0]), x);
        sums[1] = add_column::<1>(sums[1], widen(&step[1]), x);
        sums[2] = add_column::<2>(sums[2], widen(&step[2]), x);
        sums[3] = add_column::<3>(sums[3], widen(&step[3]), x);
    }
    let mut result = [0.0; ROWS];
    let (vectors, _) = result.as_chunks_mut::<4>();
    for vector in 0..VECTORS {
        let even = vaddq_f32(sums[0][vector], sums[2][vector]);
        let odd = vaddq_f32(sums[1][vector], sums[3][vector]);
        store_f32x4(&mut vectors[vector], vaddq_f32(even, odd));
    }
    result
}

#[inline]
#[target_feature(enable = "neon")]
fn add_column<const C: i32>(
    mut sums: [float32x4_t; VECTORS],
    w: [float32x4_t; VECTORS],
    x: float32x4_t,
) -> [float32x4_t; VECTORS] {
    for vector in 0..VECTORS {
        sums[vector] = vfmaq_laneq_f32::<C>(sums[vector], w[vector], x);
    }
    sums
}

/// A tile of `N` tokens. A call of its own, so that the registers are its own too.
#[inline(never)]
#[target_feature(enable = "neon")]
fn tile_of<const N: usize>(
    weights: &[[f32; ROWS]],
    values: &[[[f32; STEP]; TOKENS]],
    sums: &mut [[f32; ROWS]; TOKENS],
) {
    // Loops over constant ranges are unrolled; iterators over arrays of vectors are not, and the vectors stay in memory.
    let mut tile = [[vdupq_n_f32(0.0); VECTORS]; N];
    for (columns, values) in weights.as_chunks::<STEP>().0.iter().zip(values) {
        let mut x = [vdupq_n_f32(0.0); N];
        for token in 0..N {
            x[token] = load_f32x4(&values[token]);
        }
        tile_column::<0, N>(&columns[0], x, &mut tile);
        tile_column::<1, N>(&columns[1], x, &mut tile);
        tile_column::<2, N>(&columns[2], x, &mut tile);
        tile_column::<3, N>(&columns[3], x, &mut tile);
    }
    for token in 0..N {
        let (vectors, _) = sums[token].as_chunks_mut::<4>();
        for vector in 0..VECTORS {
            let total = vaddq_f32(load_f32x4(&vectors[vector]), tile[token][vector]);
            store_f32x4(&mut vectors[vector], total);
        }
    }
}

#[inline]
#[target_feature(enable = "neon")]
fn tile_column<const C: i32, const N: usize>(
    column: &[f32; ROWS],
    x: [float32x4_t; N],
    tile: &mut [[float32x4_t; VECTORS]; N],
) {
    let (vectors, _) = column.as_chunks::<4>();
    for vector in 0..VECTORS {
        let w = load_f32x4(&vectors[vector]);
        for token in 0..N {
            tile[token][vector] = vfmaq_laneq_f32::<C>(tile[token][vector], w, x[token]);
        }
    }
}
