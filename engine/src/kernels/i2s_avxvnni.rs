//! Two-bit ternary weights times int8 activations with 256-bit VNNI (`vpdpbusd`), as laptops have it without AVX-512.
//!
//! Layout: that of `i2s-avx2`, panels of 16 rows in planes of two bits: a block is two vectors of eight rows by 16 columns.
//!
//! Decode masks each plane where it lies, 1, 4, 16 and 64 times too large, and keeps a sum for each: no shifts, and eight
//! chains of multiply-adds hide their latency. The sum of `(w + 1) * a` less the sum of `a` is the sum of `w * a`.

use super::i2s_avx2::{AHEAD, BLOCK, unpack};
use super::matrix::{Kernel, Pack, compiled_for};
use super::{Agreement, Family, KernelVariant, Packed};
use crate::activations::Activations;
use crate::cpu::AvxVnni;
use crate::cpu::x86_64::{broadcast_i8x4, load_u8x32, prefetch, store_i32x8};
use crate::grid::Tile;
use crate::panels::avxvnni::{BYTES, CHUNK, ROWS, TOKENS, tile};
use crate::panels::planes::{self, COLUMNS};
use crate::panels::{self, STEP};
use std::arch::x86_64::*;

pub(super) static VARIANT: KernelVariant = KernelVariant {
    name: "i2s-avxvnni",
    family: Family::I2s,
    requires: AvxVnni::FEATURES,
    bits_per_weight: 2.0,
    agreement: Agreement::Exact,
    about: "256-bit int8 dot products, 16 rows in lanes, bit planes masked in place",
    pack: |weights, cpu| KERNEL.pack(&VARIANT, weights, cpu),
};

static KERNEL: Kernel<AvxVnni> = Kernel {
    pack: Pack::Ternary(planes::pack::<BLOCK>),
    row_block: ROWS,
    multiply: compiled_for!(AvxVnni, multiply),
    unpack_row: planes::unpack_row::<BLOCK>,
};

/// Decode: blocks whose sums fit in 32 bits. The plane of bits 6-7 adds at most 4 * 128 * 128 = 65536 to a lane.
const BLOCKS_PER_SUM: usize = 1 << 14;

#[target_feature(enable = "avx2,avxvnni")]
fn multiply(_: AvxVnni, packed: &Packed, activations: &Activations, out: &mut Tile<'_>) {
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
#[target_feature(enable = "avx2,avxvnni")]
fn dot(panel: &[[u8; BLOCK]], values: &[i8], sum: i32) -> [i32; ROWS] {
    let masks = [
        _mm256_set1_epi8(0x03),
        _mm256_set1_epi8(0x0c),
        _mm256_set1_epi8(0x30),
        _mm256_set1_epi8(0xc0_u8.cast_signed()),
    ];
    let values = &values.as_chunks::<COLUMNS>().0[..panel.len()];
    let mut totals = [_mm256_set1_epi32(-sum); 2];
    for from in (0..panel.len()).step_by(BLOCKS_PER_SUM) {
        let to = panel.len().min(from + BLOCKS_PER_SUM);
        let mut sums = [[_mm256_setzero_si256(); 2]; 4];
        for k in from..to {
            let (block, values) = (&panel[k], &values[k]);
            prefetch(block, AHEAD);
            let (planes, _) = values.as_chunks::<STEP>();
            let (halves, _) = block.as_chunks::<32>();
            let w = [load_u8x32(&halves[0]), load_u8x32(&halves[1])];
            for plane in 0..4 {
                let a = broadcast_i8x4(&planes[plane]);
                for half in 0..2 {
                    let codes = _mm256_and_si256(w[half], masks[plane]);
                    sums[plane][half] = _mm256_dpbusd_avx_epi32(sums[plane][half], codes, a);
                }
            }
        }
        for half in 0..2 {
            let low = _mm256_add_epi32(sums[0][half], _mm256_srai_epi32::<2>(sums[1][half]));
            let high = _mm256_add_epi32(
                _mm256_srai_epi32::<4>(sums[2][half]),
                _mm256_srai_epi32::<6>(sums[3][half]),
            );
            totals[half] = _mm256_add_epi32(totals[half], _mm256_add_epi32(low, high));
        }
    }
    let mut result = [0; ROWS];
    let (halves, _) = result.as_chunks_mut::<8>();
    for half in 0..2 {
        store_i32x8(&mut halves[half], totals[half]);
    }
    result
}
