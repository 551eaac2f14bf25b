//! Two-bit ternary weights times int8 activations with AVX2 (`vpmaddubsw`).
//!
//! Layout: panels of 16 rows in planes of two bits, see `panels/planes.rs`: a block is two vectors of eight rows by 16 columns,
//! 64 bytes, a cache line. Rows lie in lanes, so no sum crosses lanes.
//!
//! A thread reads one stream. Decode keeps the planes of bits 2-3 and 6-7 where the mask leaves them, four times too large, in
//! sums of their own: that saves a shift. The sum of `(w + 1) * a` less the sum of `a` is the sum of `w * a`.

use super::matrix::{Kernel, Pack, compiled_for};
use super::{Agreement, Family, KernelVariant, Packed};
use crate::activations::Activations;
use crate::cpu::Avx2;
use crate::cpu::x86_64::{broadcast_i8x4, load_u8x32, prefetch, store_i32x8, store_u8x32};
use crate::grid::Tile;
use crate::panels::avx2::{BYTES, CHUNK, ROWS, TOKENS, tile};
use crate::panels::planes::{self, COLUMNS};
use crate::panels::{self, Codes, STEP};
use std::arch::x86_64::*;

pub(super) static VARIANT: KernelVariant = KernelVariant {
    name: "i2s-avx2",
    family: Family::I2s,
    requires: Avx2::FEATURES,
    bits_per_weight: 2.0,
    agreement: Agreement::Exact,
    about: "AVX2 byte multiply-add, 16 rows in lanes, 16-bit partial sums",
    pack: |weights, cpu| KERNEL.pack(&VARIANT, weights, cpu),
};

static KERNEL: Kernel<Avx2> = Kernel {
    pack: Pack::Ternary(planes::pack::<BLOCK>),
    row_block: ROWS,
    multiply: compiled_for!(Avx2, multiply),
    unpack_row: planes::unpack_row::<BLOCK>,
};

/// Bytes of a block.
pub(super) const BLOCK: usize = ROWS * COLUMNS / 4;
/// Decode: blocks whose sums fit in 16 bits. A plane that is four times too large adds at most 2 * 8 * 128 = 2048 to a lane,
/// twice a block, and 16 * 2048 is 32768, which only the negative side can reach.
const BLOCKS_PER_SUM: usize = 8;
/// How far ahead decode asks for weights, in bytes: about the latency of memory at its bandwidth.
pub(super) const AHEAD: usize = 8 << 10;

#[target_feature(enable = "avx2")]
fn multiply(_: Avx2, packed: &Packed, activations: &Activations, out: &mut Tile<'_>) {
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
#[target_feature(enable = "avx2")]
fn dot(panel: &[[u8; BLOCK]], values: &[i8], sum: i32) -> [i32; ROWS] {
    let low = _mm256_set1_epi8(0x03);
    let high = _mm256_set1_epi8(0x0c);
    let ones = _mm256_set1_epi16(1);
    let values = &values.as_chunks::<COLUMNS>().0[..panel.len()];
    let mut totals = [_mm256_set1_epi32(-sum); 2];
    let mut totals4 = [_mm256_setzero_si256(); 2];
    for from in (0..panel.len()).step_by(BLOCKS_PER_SUM) {
        let to = panel.len().min(from + BLOCKS_PER_SUM);
        let mut sums = [_mm256_setzero_si256(); 2];
        let mut sums4 = [_mm256_setzero_si256(); 2];
        for k in from..to {
            let (block, values) = (&panel[k], &values[k]);
            prefetch(block, AHEAD);
            let (planes, _) = values.as_chunks::<STEP>();
            let a = [
                broadcast_i8x4(&planes[0]),
                broadcast_i8x4(&planes[1]),
                broadcast_i8x4(&planes[2]),
                broadcast_i8x4(&planes[3]),
            ];
            let (halves, _) = block.as_chunks::<32>();
            for half in 0..2 {
                let w = load_u8x32(&halves[half]);
                let shifted = _mm256_srli_epi16::<4>(w);
                let first = _mm256_maddubs_epi16(_mm256_and_si256(w, low), a[0]);
                let second = _mm256_maddubs_epi16(_mm256_and_si256(w, high), a[1]);
                let third = _mm256_maddubs_epi16(_mm256_and_si256(shifted, low), a[2]);
                let fourth = _mm256_maddubs_epi16(_mm256_and_si256(shifted, high), a[3]);
                sums[half] = _mm256_add_epi16(_mm256_add_epi16(sums[half], first), third);
                sums4[half] = _mm256_add_epi16(_mm256_add_epi16(sums4[half], second), fourth);
            }
        }
        for half in 0..2 {
            totals[half] = _mm256_add_epi32(totals[half], _mm256_madd_epi16(sums[half], ones));
            totals4[half] = _mm256_add_epi32(totals4[half], _mm256_madd_epi16(sums4[half], ones));
        }
    }
    let mut result = [0; ROWS];
    let (halves, _) = result.as_chunks_mut::<8>();
    for half in 0..2 {
        let total = _mm256_add_epi32(totals[half], _mm256_srai_epi32::<2>(totals4[half]));
        store_i32x8(&mut halves[half], total);
    }
    result
}

/// Writes `w + 1` of the columns of some blocks.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn unpack(blocks: &[[u8; BLOCK]], codes: &mut [Codes<BYTES>]) {
    let low = _mm256_set1_epi8(0x03);
    for (block, steps) in blocks.iter().zip(codes.as_chunks_mut::<4>().0) {
        let (halves, _) = block.as_chunks::<32>();
        for (half, bytes) in halves.iter().enumerate() {
            let w = load_u8x32(bytes);
            let planes = [
                _mm256_and_si256(w, low),
                _mm256_and_si256(_mm256_srli_epi16::<2>(w), low),
                _mm256_and_si256(_mm256_srli_epi16::<4>(w), low),
                _mm256_and_si256(_mm256_srli_epi16::<6>(w), low),
            ];
            for (step, plane) in steps.iter_mut().zip(planes) {
                store_u8x32(&mut step.as_chunks_mut::<32>().0[half], plane);
            }
        }
    }
}
