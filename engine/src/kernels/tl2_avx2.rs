//! Ternary weights by look-up with AVX2 (`vpshufb`), three to a sign and a 4-bit index.
//!
//! Layout: panels of 64 rows, blocks of 24 columns. Half a block holds eight groups of three columns of 32 rows: the indices in
//! four vectors of nibbles, then the signs, a bit each. Which row a byte belongs to: [`crate::panels::lut_avx2`].
//!
//! ```text
//! panel, block k   | rows 0-31: 160 bytes | rows 32-63 |                         320 bytes
//! half a block     | groups 1,0 | 3,2 | 5,4 | 7,6 | signs |                      5 vectors of 32 rows
//! byte of indices  bit 7-4: group 2i+1 | 3-0: group 2i
//! byte of signs    bit 7: group 0 | 6: group 1 | ... | 0: group 7
//! ```
//!
//! The index is the size of `w0 + 3 w1 + 9 w2`, 0 to 13, and the sign is its sign: five bits for three weights. Decode shifts the
//! signs up one place for each group and lets `vpsignb` negate the two digits of the sum that was looked up.
//!
//! Prefill unpacks to codes and multiplies. Inner loops alone, all data in the first-level cache, on one core of Zen 3 (medians
//! of 15 runs in turn on a busy machine, trial loops, 1e9 weights times tokens a second): multiply-add 113, look-up by
//! `vpshufb` with the indices and signs unpacked beforehand 88, look-up in tables whose entries are vectors of 32 tokens 122, with the building of the tables 116.
//! The last leaves nothing for unpacking indices to bytes and for widening sums every 85 groups, which multiply-add does not need.

use super::matrix::{Kernel, Pack, compiled_for};
use super::{Agreement, Family, KernelVariant, PackError, Packed};
use crate::activations::Activations;
use crate::cpu::Avx2;
use crate::cpu::x86_64::{broadcast_u8x16, load_u8x32};
use crate::grid::Tile;
use crate::panels::avx2::{BYTES, ROWS as TILE_ROWS, TOKENS, tile};
use crate::panels::lut::{TRIPLES, triple_index};
use crate::panels::lut_avx2::{
    Digits, HALF_ROWS, LOOK_UPS, ROWS, Table, byte_patterns, dot, place_of, row_of, split_nibbles,
    store_step, tables,
};
use crate::panels::{self, Codes, STEP};
use crate::weights::TernaryMatrix;
use std::arch::x86_64::*;
use std::ops::Range;

pub(super) static VARIANT: KernelVariant = KernelVariant {
    name: "tl2-avx2",
    family: Family::Tl2,
    requires: Avx2::FEATURES,
    bits_per_weight: 5.0 / 3.0,
    agreement: Agreement::Exact,
    about: "AVX2 byte permutes as tables of three activations, 32 rows in lanes, multiply-add in prefill",
    pack: |weights, cpu| KERNEL.pack(&VARIANT, weights, cpu),
};

static KERNEL: Kernel<Avx2> = Kernel {
    pack: Pack::Ternary(pack),
    row_block: ROWS,
    multiply: compiled_for!(Avx2, multiply),
    unpack_row,
};

/// Columns of a group.
const GROUP: usize = 3;
/// Columns of a block.
const COLUMNS: usize = LOOK_UPS * GROUP;
/// Bytes of half a block.
const HALF: usize = 5 * HALF_ROWS;
/// Bytes of a block.
const BLOCK: usize = 2 * HALF;
/// Columns unpacked at a time in prefill: 8 KiB of codes for 16 rows.
const CHUNK: usize = 21 * COLUMNS;

fn pack(matrix: &TernaryMatrix) -> Result<Packed, PackError> {
    let blocks = matrix.cols().div_ceil(COLUMNS);
    let padded = blocks * COLUMNS;
    panels::pack(matrix, ROWS, padded, blocks * BLOCK, |weights, bytes| {
        for (k, block) in bytes.chunks_exact_mut(BLOCK).enumerate() {
            for (half, bytes) in block.chunks_exact_mut(HALF).enumerate() {
                for position in 0..HALF_ROWS {
                    let row = half * HALF_ROWS + row_of(position);
                    let columns = &weights[row * padded + k * COLUMNS..][..COLUMNS];
                    for (group, weights) in columns.as_chunks::<GROUP>().0.iter().enumerate() {
                        let (negative, index) = triple_index(*weights);
                        bytes[group / 2 * HALF_ROWS + position] |= index << (group % 2 * 4);
                        bytes[4 * HALF_ROWS + position] |= u8::from(negative) << (7 - group);
                    }
                }
            }
        }
    })
}

/// Writes a row as it will be multiplied.
fn unpack_row(packed: &Packed, row: usize, out: &mut [f32]) {
    let (half, position) = place_of(row % ROWS);
    for (block, out) in packed
        .panel::<COLUMNS, BLOCK>(row / ROWS)
        .iter()
        .zip(out.chunks_mut(COLUMNS))
    {
        let bytes = &block[half * HALF..][..HALF];
        for (group, out) in out.chunks_mut(GROUP).enumerate() {
            let index = bytes[group / 2 * HALF_ROWS + position] >> (group % 2 * 4) & 15;
            let negative = bytes[4 * HALF_ROWS + position] >> (7 - group) & 1 != 0;
            let sign = if negative { -1 } else { 1 };
            for (pattern, out) in TRIPLES.iter().zip(out) {
                let w = sign * pattern[usize::from(index)];
                *out = f32::from(w) * packed.scale;
            }
        }
    }
}

#[target_feature(enable = "avx2")]
fn multiply(_: Avx2, packed: &Packed, activations: &Activations, out: &mut Tile<'_>) {
    if out.tokens().len() == 1 {
        let values = activations.int8(out.tokens().start);
        let tables = tables(values, packed.cols.div_ceil(COLUMNS), &TRIPLES);
        panels::decode(packed, activations, out, |panel| {
            dot(
                packed.panel::<COLUMNS, BLOCK>(panel),
                &tables,
                |half, tables| look_up(half, tables),
            )
        });
    } else {
        panels::prefill::<TILE_ROWS, BYTES, 2, CHUNK, TOKENS>(
            packed,
            packed.cols.next_multiple_of(COLUMNS),
            activations,
            out,
            |half, columns, codes| {
                unpack(
                    packed.panel::<COLUMNS, BLOCK>(half / 2),
                    half % 2,
                    columns,
                    codes,
                )
            },
            |codes, values, sums| tile(codes, values, sums),
        );
    }
}

/// The signs of eight groups in turn, one in the top bit of each byte, no byte zero. Shifts of 16 bits do: what enters the
/// upper byte lies below its top bit.
#[inline]
#[target_feature(enable = "avx2")]
fn signs(bits: &[u8; 32]) -> [__m256i; LOOK_UPS] {
    let bits = load_u8x32(bits);
    let one = _mm256_set1_epi8(1);
    let marked = _mm256_or_si256(bits, one);
    [
        marked,
        _mm256_slli_epi16::<1>(marked),
        _mm256_slli_epi16::<2>(marked),
        _mm256_slli_epi16::<3>(marked),
        _mm256_slli_epi16::<4>(marked),
        _mm256_slli_epi16::<5>(marked),
        _mm256_slli_epi16::<6>(marked),
        _mm256_or_si256(_mm256_slli_epi16::<7>(bits), one),
    ]
}

/// The sums of half a block.
#[inline]
#[target_feature(enable = "avx2")]
fn look_up(half: &[u8; HALF], tables: &[Table; LOOK_UPS]) -> Digits {
    let (vectors, _) = half.as_chunks::<32>();
    let signs = signs(&vectors[4]);
    let mut sums = Digits::zero();
    for pair in 0..LOOK_UPS / 2 {
        let [first, second] = split_nibbles(&vectors[pair]);
        sums.add_signed(&tables[2 * pair], first, signs[2 * pair]);
        sums.add_signed(&tables[2 * pair + 1], second, signs[2 * pair + 1]);
    }
    sums
}

/// Writes `w + 1` of some columns of half a panel, a multiple of a block from its start.
#[inline]
#[target_feature(enable = "avx2")]
fn unpack(panel: &[[u8; BLOCK]], half: usize, columns: Range<usize>, codes: &mut [Codes<BYTES>]) {
    let one = _mm256_set1_epi8(1);
    let weights = const { byte_patterns(&TRIPLES, 0) }
        .each_ref()
        .map(|table| broadcast_u8x16(table));
    let blocks = &panel[columns.start / COLUMNS..columns.end / COLUMNS];
    let (first, second) = codes.split_at_mut(blocks.len() * (COLUMNS / STEP));
    let (first, _) = first.as_chunks_mut::<{ COLUMNS / STEP }>();
    let (second, _) = second.as_chunks_mut::<{ COLUMNS / STEP }>();
    for ((block, first), second) in blocks.iter().zip(first).zip(second) {
        let (vectors, _) = block.as_chunks::<HALF>().0[half].as_chunks::<32>();
        let signs = signs(&vectors[4]);
        let mut columns = [one; COLUMNS];
        for (pair, nibbles) in vectors[..LOOK_UPS / 2].iter().enumerate() {
            for (index, indices) in split_nibbles(nibbles).into_iter().enumerate() {
                let group = 2 * pair + index;
                for (column, weights) in weights.iter().enumerate() {
                    let size = _mm256_shuffle_epi8(*weights, indices);
                    let w = _mm256_sign_epi8(size, signs[group]);
                    columns[group * GROUP + column] = _mm256_add_epi8(w, one);
                }
            }
        }
        let (steps, _) = columns.as_chunks::<STEP>();
        for ((columns, first), second) in steps.iter().zip(first).zip(second) {
            store_step(columns, first, second);
        }
    }
}
