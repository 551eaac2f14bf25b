//! Weights in bfloat16 times activations in bfloat16 with `vdpbf16ps`: two products a lane, single-precision sums.
//!
//! Layout: panels of 32 rows, a row in each 32-bit lane of two vectors; a lane holds two columns of its row, and such pairs of
//! columns follow one another, so a thread reads one stream. Columns are padded with zeros to a multiple of eight and the last
//! panel with rows of zeros. Ternary weights are stored as -1, 0 and +1 and their scale is applied to the sum, so that no weight
//! is rounded.
//!
//! ```text
//! panel, pair k        | row 0: columns 2k, 2k+1 | row 1 | ... | row 15 | rows 16-31 |     128 bytes
//! ```
//!
//! Nothing is unpacked: the instruction multiplies what memory holds. It wants both sides in bfloat16, so activations are
//! rounded, which other variants of the family do not do. Decode is bound by memory, prefill by the multiply-adds: two vectors
//! of rows by twelve tokens are 24 sums, and a chunk of a panel stays in the first-level cache for all tokens of a block.
//! The instruction takes subnormal numbers for zero, which changes a product by less than 2^-126 times its other factor.

use super::matrix::{Kernel, Pack, compiled_for};
use super::{Agreement, Family, KernelVariant, PackError, Packed};
use crate::activations::Activations;
use crate::cpu::Avx512Bf16;
use crate::cpu::x86_64::{broadcast_bf16x2, load_bf16x32, load_f32x16, prefetch, store_f32x16};
use crate::grid::Tile;
use crate::panels::dense;
use crate::panels::dense::avx512::{ROWS, TOKENS};
use crate::weights::{self, LinearWeights};
use std::arch::x86_64::*;

pub(super) static VARIANT: KernelVariant = KernelVariant {
    name: "bf16-avx512-bf16",
    family: Family::Bf16,
    requires: Avx512Bf16::FEATURES,
    bits_per_weight: 16.0,
    agreement: Agreement::RoundedToBf16(2.0),
    about: "bfloat16 dot products of pairs, activations rounded to bfloat16, 32 rows in lanes",
    pack: |weights, cpu| KERNEL.pack(&VARIANT, weights, cpu),
};

static KERNEL: Kernel<Avx512Bf16> = Kernel {
    pack: Pack::Linear(pack),
    row_block: ROWS,
    multiply: compiled_for!(Avx512Bf16, multiply),
    unpack_row,
};

/// Decode: pairs of columns whose sums are kept apart, so that no dot product waits for the one before it.
const APART: usize = 4;
/// Prefill: pairs of columns multiplied by all tokens of a block before the next; 20 KiB of a panel, which with those of twelve
/// tokens fit in a first-level cache of 32.
const CHUNK: usize = 160;
/// How far ahead weights are asked for, in bytes: about the latency of memory at its bandwidth.
const AHEAD: usize = 8 << 10;

/// Two columns of each row of a panel.
type Pairs = [[u16; 2]; ROWS];

fn pack(weights: &LinearWeights) -> Result<Packed, PackError> {
    dense::pack(weights, ROWS, weights::read_row_bf16, |rows, panel| {
        let columns = rows.len() / ROWS;
        let pairs: &mut [Pairs] = bytemuck::cast_slice_mut(panel);
        for (k, pairs) in pairs.iter_mut().enumerate() {
            for (row, pair) in pairs.iter_mut().enumerate() {
                let at = row * columns + 2 * k;
                *pair = [rows[at], rows[at + 1]];
            }
        }
    })
}

fn panel(packed: &Packed, index: usize) -> &[Pairs] {
    bytemuck::cast_slice(dense::panel::<ROWS>(packed, index))
}

/// Writes a row as it will be multiplied.
fn unpack_row(packed: &Packed, row: usize, out: &mut [f32]) {
    for (pairs, out) in panel(packed, row / ROWS).iter().zip(out.chunks_mut(2)) {
        for (out, bits) in out.iter_mut().zip(pairs[row % ROWS]) {
            *out = half::bf16::from_bits(bits).to_f32() * packed.scale;
        }
    }
}

#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512bf16")]
fn multiply(_: Avx512Bf16, packed: &Packed, activations: &Activations, out: &mut Tile<'_>) {
    if out.tokens().len() == 1 {
        let values = activations.bf16(out.tokens().start);
        dense::decode(packed, out, |index| dot(panel(packed, index), values));
    } else {
        dense::prefill::<ROWS, TOKENS, CHUNK, i32>(
            packed,
            dense::columns(packed) / 2,
            out,
            |token, slot, values| {
                let word = |pair: &[u16; 2]| i32::from_ne_bytes(bytemuck::cast(*pair));
                dense::lay(activations.bf16(token), slot, values, word);
            },
            |index, pairs, block, sums| {
                let next = dense::after::<ROWS>(packed, index, 2 * pairs.end, 2 * CHUNK);
                let weights = &panel(packed, index)[pairs];
                dense::for_tiles(&block, sums, next, |values, tokens, sums| match tokens {
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
                });
            },
        );
    }
}

/// Sums of the rows of a panel.
#[inline]
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512bf16")]
fn dot(panel: &[Pairs], values: &[[u16; 2]]) -> [f32; ROWS] {
    let (steps, _) = panel.as_chunks::<APART>();
    let values = &values.as_chunks::<APART>().0[..steps.len()];
    let mut sums = [[_mm512_setzero_ps(); 2]; APART];
    for (step, values) in steps.iter().zip(values) {
        let bytes: &[u8; 4 * APART * ROWS] = bytemuck::cast_ref(step);
        for line in 0..bytes.len() / 64 {
            prefetch(bytes, AHEAD + 64 * line);
        }
        for pair in 0..APART {
            let x = broadcast_bf16x2(i32::from_ne_bytes(bytemuck::cast(values[pair])));
            let (halves, _) = step[pair].as_chunks::<16>();
            for half in 0..2 {
                sums[pair][half] =
                    _mm512_dpbf16_ps(sums[pair][half], load_bf16x32(&halves[half]), x);
            }
        }
    }
    let mut result = [0.0; ROWS];
    let (halves, _) = result.as_chunks_mut::<16>();
    for half in 0..2 {
        let two = [
            _mm512_add_ps(sums[0][half], sums[1][half]),
            _mm512_add_ps(sums[2][half], sums[3][half]),
        ];
        store_f32x16(&mut halves[half], _mm512_add_ps(two[0], two[1]));
    }
    result
}

/// A tile of `N` tokens. A call of its own, so that the registers are its own too.
#[inline(never)]
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512bf16")]
fn tile_of<const N: usize>(
    weights: &[Pairs],
    values: &[[i32; TOKENS]],
    sums: &mut [[f32; ROWS]; TOKENS],
) {
    let values = &values[..weights.len()];
    let mut tile = [[_mm512_setzero_ps(); 2]; N];
    for step in 0..weights.len() {
        let (halves, _) = weights[step].as_chunks::<16>();
        let w = [load_bf16x32(&halves[0]), load_bf16x32(&halves[1])];
        for token in 0..N {
            let x = broadcast_bf16x2(values[step][token]);
            for half in 0..2 {
                tile[token][half] = _mm512_dpbf16_ps(tile[token][half], w[half], x);
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
