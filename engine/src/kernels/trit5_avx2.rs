//! Ternary weights in 1.6 bits times int8 activations with AVX2.
//!
//! Layout: panels of 16 rows, blocks of 20 columns. A panel starts with the sum of `w + 1` of each row, 16 integers of 32 bits.
//! A block holds 32 bytes for the first eight rows and 32 for the others: a 32-bit lane belongs to a row, and each of its
//! bytes holds five columns as digits to the base of 3 (see [`crate::base3`]), less 128.
//!
//! ```text
//! panel                | 16 sums | block 0 | block 1 | ...
//! block k              | rows 0-7: 8 lanes of 4 bytes | rows 8-15 |     64 bytes
//! byte b of a lane     fraction 0.d0 d1 d2 d3 d4 to the base of 3, d_j = w`[4 j + b]` + 1, in 256ths, less 128
//! ```
//!
//! AVX2 multiplies no bytes and compares only signed ones. Less 128 a fraction is a signed byte, and three times it, by two
//! additions that wrap, is again a fraction less 128. Two comparisons, with a third and two thirds, give -1 each where the
//! digit is at least 1 and 2; their sum is the digit, negative. Activations plus 128 serve as the unsigned factors of
//! `vpmaddubsw`, and since the sum of the digits of a row is known, their excess is known too. That is 33 vector operations
//! for 160 weights, against 13 for 128 of the two-bit kernel: where memory is slow against the core this kernel wins, else
//! the other.

use super::matrix::{Kernel, Pack, compiled_for};
use super::{Agreement, Family, KernelVariant, PackError, Packed};
use crate::activations::Activations;
use crate::base3::{self, DIGITS};
use crate::cpu::Avx2;
use crate::cpu::x86_64::{
    broadcast_i8x4, load_u8x32, prefetch, store_i32x8, store_u8x32, triple_u8x32,
};
use crate::grid::Tile;
use crate::panels::avx2::{BYTES, CHUNK, ROWS, TOKENS, tile};
use crate::panels::{self, Codes, STEP};
use crate::weights::TernaryMatrix;
use std::arch::x86_64::*;
use std::ops::Range;

pub(super) static VARIANT: KernelVariant = KernelVariant {
    name: "trit5-avx2",
    family: Family::Trit5,
    requires: Avx2::FEATURES,
    bits_per_weight: 1.6,
    agreement: Agreement::Exact,
    about: "AVX2, five weights in a byte, digits by comparison, 16 rows in lanes",
    pack: |weights, cpu| KERNEL.pack(&VARIANT, weights, cpu),
};

static KERNEL: Kernel<Avx2> = Kernel {
    pack: Pack::Ternary(pack),
    row_block: ROWS,
    multiply: compiled_for!(Avx2, multiply),
    unpack_row,
};

/// Columns of a block.
const COLUMNS: usize = STEP * DIGITS;
/// Bytes of a block.
const BLOCK: usize = ROWS * STEP;
/// Bytes of the sums at the start of a panel.
const SUMS: usize = ROWS * 4;
/// Decode: blocks whose sums fit in 16 bits: each adds five products of at most 2 * 2 * 255 = 1020 to a lane.
const BLOCKS_PER_SUM: usize = 6;
/// Prefill: the columns of a chunk of the tile, in whole blocks.
const CHUNK_COLUMNS: usize = CHUNK / COLUMNS * COLUMNS;
/// How far ahead decode asks for weights, in bytes: about the latency of memory at its bandwidth.
const AHEAD: usize = 8 << 10;

fn pack(matrix: &TernaryMatrix) -> Result<Packed, PackError> {
    let blocks = matrix.cols().div_ceil(COLUMNS);
    let padded = blocks * COLUMNS;
    let panel_bytes = SUMS + blocks * BLOCK;
    panels::pack(matrix, ROWS, padded, panel_bytes, |weights, bytes| {
        let (sums, bytes) = bytes.split_at_mut(SUMS);
        for (sum, row) in sums.chunks_exact_mut(4).zip(weights.chunks_exact(padded)) {
            let total: i32 = row.iter().map(|w| i32::from(*w) + 1).sum();
            sum.copy_from_slice(&total.to_le_bytes());
        }
        for (k, block) in bytes.chunks_exact_mut(BLOCK).enumerate() {
            for (index, byte) in block.iter_mut().enumerate() {
                let (row, b) = (index / STEP, index % STEP);
                let columns = &weights[row * padded + k * COLUMNS..][..COLUMNS];
                let group = std::array::from_fn(|digit| columns[digit * STEP + b]);
                *byte = base3::encode(group) ^ 0x80;
            }
        }
    })
}

/// Sums of `w + 1` of the rows of a panel, and its blocks.
fn panel(packed: &Packed, index: usize) -> (&[[u8; 4]], &[[u8; BLOCK]]) {
    let panel_bytes = SUMS + packed.cols.div_ceil(COLUMNS) * BLOCK;
    let (sums, blocks) = packed.bytes.bytes()[index * panel_bytes..][..panel_bytes].split_at(SUMS);
    (sums.as_chunks().0, blocks.as_chunks().0)
}

/// Writes a row as it will be multiplied.
fn unpack_row(packed: &Packed, row: usize, out: &mut [f32]) {
    let (_, blocks) = panel(packed, row / ROWS);
    for (block, out) in blocks.iter().zip(out.chunks_mut(COLUMNS)) {
        let lane = &block[row % ROWS * STEP..][..STEP];
        for (column, out) in out.iter_mut().enumerate() {
            let weight = base3::decode(lane[column % STEP] ^ 0x80, column / STEP);
            *out = f32::from(weight) * packed.scale;
        }
    }
}

#[target_feature(enable = "avx2")]
fn multiply(_: Avx2, packed: &Packed, activations: &Activations, out: &mut Tile<'_>) {
    if out.tokens().len() == 1 {
        let token = out.tokens().start;
        let sum = activations.sum(token);
        // Plus 128, as unsigned bytes.
        let unsigned: Vec<i8> = activations
            .int8(token)
            .iter()
            .map(|a| a ^ i8::MIN)
            .collect();
        panels::decode(packed, activations, out, |index| {
            dot(panel(packed, index), &unsigned, sum)
        });
    } else {
        panels::prefill::<ROWS, BYTES, 1, CHUNK_COLUMNS, TOKENS, 1>(
            packed,
            packed.cols.next_multiple_of(COLUMNS),
            activations,
            out,
            |index, columns, codes| unpack(panel(packed, index).1, columns, codes),
            |codes, values, sums| tile(codes, values, sums),
        );
    }
}

/// The first digits of some fractions, negative: 0, -1 or -2.
#[inline]
#[target_feature(enable = "avx2")]
fn first_digits(fractions: __m256i) -> __m256i {
    let one = _mm256_cmpgt_epi8(fractions, _mm256_set1_epi8(-43));
    let two = _mm256_cmpgt_epi8(fractions, _mm256_set1_epi8(42));
    _mm256_add_epi8(one, two)
}

/// Sums of `w * a` over the rows of a panel; `values` are the activations plus 128, as unsigned bytes.
#[inline]
#[target_feature(enable = "avx2")]
fn dot((sums, blocks): (&[[u8; 4]], &[[u8; BLOCK]]), values: &[i8], sum: i32) -> [i32; ROWS] {
    let ones = _mm256_set1_epi16(1);
    let values = &values.as_chunks::<COLUMNS>().0[..blocks.len()];
    let mut totals = [_mm256_setzero_si256(); 2];
    for from in (0..blocks.len()).step_by(BLOCKS_PER_SUM) {
        let to = blocks.len().min(from + BLOCKS_PER_SUM);
        let mut words = [_mm256_setzero_si256(); 2];
        for k in from..to {
            let (block, values) = (&blocks[k], &values[k]);
            prefetch(block, AHEAD);
            let (halves, _) = block.as_chunks::<32>();
            let (steps, _) = values.as_chunks::<STEP>();
            let mut fractions = [load_u8x32(&halves[0]), load_u8x32(&halves[1])];
            for step in steps {
                let a = broadcast_i8x4(step);
                for half in 0..2 {
                    let product = _mm256_maddubs_epi16(a, first_digits(fractions[half]));
                    words[half] = _mm256_add_epi16(words[half], product);
                    fractions[half] = triple_u8x32(fractions[half]);
                }
            }
        }
        for half in 0..2 {
            totals[half] = _mm256_add_epi32(totals[half], _mm256_madd_epi16(words[half], ones));
        }
    }
    let mut result = [0; ROWS];
    let (halves, _) = result.as_chunks_mut::<8>();
    for half in 0..2 {
        store_i32x8(&mut halves[half], totals[half]);
    }
    // The totals are those of -(a + 128) * (w + 1).
    for (result, digits) in result.iter_mut().zip(sums) {
        *result = -*result - 128 * i32::from_le_bytes(*digits) - sum;
    }
    result
}

/// Writes `w + 1` of some columns of a panel, a multiple of a block from its start.
#[inline]
#[target_feature(enable = "avx2")]
fn unpack(blocks: &[[u8; BLOCK]], columns: Range<usize>, codes: &mut [Codes<BYTES>]) {
    let blocks = &blocks[columns.start / COLUMNS..];
    for (block, steps) in blocks.iter().zip(codes.as_chunks_mut::<DIGITS>().0) {
        let (halves, _) = block.as_chunks::<32>();
        for (half, bytes) in halves.iter().enumerate() {
            let mut fractions = load_u8x32(bytes);
            for step in steps.iter_mut() {
                let digits = _mm256_abs_epi8(first_digits(fractions));
                store_u8x32(&mut step.as_chunks_mut::<32>().0[half], digits);
                fractions = triple_u8x32(fractions);
            }
        }
    }
}
