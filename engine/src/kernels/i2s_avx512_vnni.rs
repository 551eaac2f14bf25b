//! Two-bit ternary weights times int8 activations with AVX-512 VNNI (`vpdpbusd`).
//!
//! Layout: that of `i2s-avx512`, panels of 32 rows in planes of two bits: a block is two vectors of 16 rows by 16 columns.
//!
//! Decode masks each plane where it lies, 1, 4, 16 and 64 times too large, and keeps a sum for each: no shifts, and eight
//! chains of multiply-adds hide their latency. The sum of `(w + 1) * a` less the sum of `a` is the sum of `w * a`.

use super::i2s_avx512::{AHEAD, BLOCK, unpack};
use super::matrix::{Kernel, Pack, compiled_for};
use super::{Agreement, Family, KernelVariant, Packed};
use crate::activations::Activations;
use crate::cpu::Avx512Vnni;
use crate::cpu::avx512::{broadcast_i8x4_512, load_u8x64, store_i32x16};
use crate::cpu::x86_64::prefetch;
use crate::grid::Tile;
use crate::panels::avx512_vnni::{BYTES, CHUNK, ROWS, TOKENS, tile};
use crate::panels::planes::{self, COLUMNS};
use crate::panels::{self, STEP};
use std::arch::x86_64::*;

pub(super) static VARIANT: KernelVariant = KernelVariant {
    name: "i2s-avx512-vnni",
    family: Family::I2s,
    requires: Avx512Vnni::FEATURES,
    bits_per_weight: 2.0,
    agreement: Agreement::Exact,
    about: "AVX-512 int8 dot products, 32 rows in lanes, bit planes masked in place",
    pack: |weights, cpu| KERNEL.pack(&VARIANT, weights, cpu),
};

static KERNEL: Kernel<Avx512Vnni> = Kernel {
    pack: Pack::Ternary(planes::pack::<BLOCK>),
    row_block: ROWS,
    multiply: compiled_for!(Avx512Vnni, multiply),
    unpack_row: planes::unpack_row::<BLOCK>,
};

/// Decode: blocks whose sums fit in 32 bits. The plane of bits 6-7 adds at most 4 * 128 * 128 = 65536 to a lane.
const BLOCKS_PER_SUM: usize = 1 << 14;

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn multiply(_: Avx512Vnni, packed: &Packed, activations: &Activations, out: &mut Tile<'_>) {
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
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn dot(panel: &[[u8; BLOCK]], values: &[i8], sum: i32) -> [i32; ROWS] {
    let masks = [
        _mm512_set1_epi8(0x03),
        _mm512_set1_epi8(0x0c),
        _mm512_set1_epi8(0x30),
        _mm512_set1_epi8(0xc0_u8.cast_signed()),
    ];
    let values = &values.as_chunks::<COLUMNS>().0[..panel.len()];
    let mut totals = [_mm512_set1_epi32(-sum); 2];
    for from in (0..panel.len()).step_by(BLOCKS_PER_SUM) {
        let to = panel.len().min(from + BLOCKS_PER_SUM);
        let mut sums = [[_mm512_setzero_si512(); 2]; 4];
        for k in from..to {
            let (block, values) = (&panel[k], &values[k]);
            prefetch(block, AHEAD);
            prefetch(block, AHEAD + 64);
            let (planes, _) = values.as_chunks::<STEP>();
            let (halves, _) = block.as_chunks::<64>();
            let w = [load_u8x64(&halves[0]), load_u8x64(&halves[1])];
            for plane in 0..4 {
                let a = broadcast_i8x4_512(&planes[plane]);
                for half in 0..2 {
                    let codes = _mm512_and_si512(w[half], masks[plane]);
                    sums[plane][half] = _mm512_dpbusd_epi32(sums[plane][half], codes, a);
                }
            }
        }
        for half in 0..2 {
            let low = _mm512_add_epi32(sums[0][half], _mm512_srai_epi32::<2>(sums[1][half]));
            let high = _mm512_add_epi32(
                _mm512_srai_epi32::<4>(sums[2][half]),
                _mm512_srai_epi32::<6>(sums[3][half]),
            );
            totals[half] = _mm512_add_epi32(totals[half], _mm512_add_epi32(low, high));
        }
    }
    let mut result = [0; ROWS];
    let (halves, _) = result.as_chunks_mut::<16>();
    for half in 0..2 {
        store_i32x16(&mut halves[half], totals[half]);
    }
    result
}
