//! Two-bit ternary weights times int8 activations with ARM's dot products (`sdot` by element).
//!
//! Layout: panels of 16 rows, blocks of 16 columns. A block is four vectors of four rows each: a 32-bit lane belongs to a row,
//! and its bytes are `w + 1` of four planes of four columns.
//!
//! ```text
//! panel, block k       | rows 0-3: 4 lanes of 4 bytes | rows 4-7 | rows 8-11 | rows 12-15 |     64 bytes
//! byte b of a lane     bit 7 6 | 5 4 | 3 2 | 1 0
//!                      w`[12+b]` | w`[8+b]` | w`[4+b]` | w`[b]`
//! ```
//!
//! One load brings the activations of a block, `sdot` by element picks the four of a plane: no broadcast, no addition across
//! lanes, one stream for a thread. Decode leaves the planes of bits 2-3 and 4-5 where the mask leaves them, 4 and 16 times too
//! large, in sums of their own: a mask for each plane and no shift but that of the highest, whose sign bit is in use. The sum
//! of `(w + 1) * a` less the sum of `a` is the sum of `w * a`.

use super::matrix::{Kernel, Pack, compiled_for};
use super::{Agreement, Family, KernelVariant, Packed};
use crate::activations::Activations;
use crate::cpu::NeonDotprod;
use crate::cpu::aarch64::{load_i8x16, load_u8x16, prefetch, sdot_lane, store_i32x4, store_u8x16};
use crate::grid::Tile;
use crate::panels::neon_dotprod::{BYTES, ROWS, TOKENS, VECTORS, tile};
use crate::panels::planes::{self, COLUMNS};
use crate::panels::{self, Codes};
use std::arch::aarch64::*;

pub(super) static VARIANT: KernelVariant = KernelVariant {
    name: "i2s-neon-dotprod",
    family: Family::I2s,
    requires: NeonDotprod::FEATURES,
    bits_per_weight: 2.0,
    agreement: Agreement::Exact,
    about: "int8 dot products by element, 16 rows in lanes, 32-bit sums",
    pack: |weights, cpu| KERNEL.pack(&VARIANT, weights, cpu),
};

static KERNEL: Kernel<NeonDotprod> = Kernel {
    pack: Pack::Ternary(planes::pack::<BLOCK>),
    row_block: ROWS,
    multiply: compiled_for!(NeonDotprod, multiply),
    unpack_row: planes::unpack_row::<BLOCK>,
};

/// Bytes of a block.
pub(super) const BLOCK: usize = ROWS * COLUMNS / 4;
/// Columns that prefill unpacks at a time: 8 KiB of codes.
const CHUNK: usize = 512;
/// How far ahead decode asks for weights, in bytes: about the latency of memory at its bandwidth.
const AHEAD: usize = 8 << 10;
/// Decode: blocks whose sums fit in 32 bits. The plane that is 16 times too large adds at most 4 * 32 * 128 = 16384 to a lane,
/// and 65536 * 16384 is half the range.
const BLOCKS_PER_SUM: usize = 1 << 16;

#[target_feature(enable = "neon,dotprod")]
fn multiply(_: NeonDotprod, packed: &Packed, activations: &Activations, out: &mut Tile<'_>) {
    panels::multiply::<ROWS, BYTES, COLUMNS, BLOCK, CHUNK, TOKENS, 1>(
        packed,
        activations,
        out,
        |panel, values, sum| dot(panel, values, sum),
        |blocks, codes| unpack(blocks, codes),
        |codes, values, sums| tile(codes, values, sums),
    );
}

/// Sums of `w * a` over the rows of a panel.
#[inline]
#[target_feature(enable = "neon,dotprod")]
pub(super) fn dot(panel: &[[u8; BLOCK]], values: &[i8], sum: i32) -> [i32; ROWS] {
    let (first, second, third) = (vdupq_n_u8(0x03), vdupq_n_u8(0x0c), vdupq_n_u8(0x30));
    let values = &values.as_chunks::<COLUMNS>().0[..panel.len()];
    let mut totals = [vdupq_n_s32(-sum); VECTORS];
    for from in (0..panel.len()).step_by(BLOCKS_PER_SUM) {
        let to = panel.len().min(from + BLOCKS_PER_SUM);
        let mut sums4 = [vdupq_n_s32(0); VECTORS];
        let mut sums16 = [vdupq_n_s32(0); VECTORS];
        for (block, values) in panel[from..to].iter().zip(&values[from..to]) {
            prefetch(block, AHEAD);
            let a = load_i8x16(values);
            let (vectors, _) = block.as_chunks::<16>();
            for vector in 0..VECTORS {
                let w = load_u8x16(&vectors[vector]);
                let [p0, p1, p2, p3] = [
                    vreinterpretq_s8_u8(vandq_u8(w, first)),
                    vreinterpretq_s8_u8(vandq_u8(w, second)),
                    vreinterpretq_s8_u8(vandq_u8(w, third)),
                    vreinterpretq_s8_u8(vshrq_n_u8::<6>(w)),
                ];
                totals[vector] = sdot_lane::<0>(totals[vector], p0, a);
                sums4[vector] = sdot_lane::<1>(sums4[vector], p1, a);
                sums16[vector] = sdot_lane::<2>(sums16[vector], p2, a);
                totals[vector] = sdot_lane::<3>(totals[vector], p3, a);
            }
        }
        for vector in 0..VECTORS {
            totals[vector] = vsraq_n_s32::<2>(totals[vector], sums4[vector]);
            totals[vector] = vsraq_n_s32::<4>(totals[vector], sums16[vector]);
        }
    }
    let mut result = [0; ROWS];
    let (vectors, _) = result.as_chunks_mut::<4>();
    for vector in 0..VECTORS {
        store_i32x4(&mut vectors[vector], totals[vector]);
    }
    result
}

/// `w + 1` of the four planes.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn split(bytes: &[u8; 16]) -> [uint8x16_t; 4] {
    let low = vdupq_n_u8(0x03);
    let bytes = load_u8x16(bytes);
    [
        vandq_u8(bytes, low),
        vandq_u8(vshrq_n_u8::<2>(bytes), low),
        vandq_u8(vshrq_n_u8::<4>(bytes), low),
        vshrq_n_u8::<6>(bytes),
    ]
}

/// Writes `w + 1` of the columns of some blocks.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn unpack(blocks: &[[u8; BLOCK]], codes: &mut [Codes<BYTES>]) {
    for (block, steps) in blocks.iter().zip(codes.as_chunks_mut::<4>().0) {
        let (vectors, _) = block.as_chunks::<16>();
        for vector in 0..VECTORS {
            let planes = split(&vectors[vector]);
            for plane in 0..4 {
                let (codes, _) = steps[plane].as_chunks_mut::<16>();
                store_u8x16(&mut codes[vector], planes[plane]);
            }
        }
    }
}
