//! Ternary weights by look-up with AVX2 (`vpshufb`), two to a 4-bit index.
//!
//! Layout: panels of 64 rows, blocks of 16 columns. Half a block holds eight groups of two columns of 32 rows, in four vectors of
//! nibbles. Which row a byte belongs to: [`crate::panels::lut_avx2`].
//!
//! ```text
//! panel, block k   | rows 0-31: 128 bytes | rows 32-63 |                         256 bytes
//! half a block     | groups 1,0 | 3,2 | 5,4 | 7,6 |                              4 vectors of 32 rows
//! byte             bit 7-4: group 2i+1 | 3-0: group 2i
//! ```
//!
//! The index is `(w0 + 1) + 3 (w1 + 1)`, 0 to 8. Prefill unpacks to codes and multiplies, as `tl2-avx2` does.

use super::matrix::{Kernel, Pack, compiled_for};
use super::{Agreement, Family, KernelVariant, PackError, Packed};
use crate::activations::Activations;
use crate::cpu::Avx2;
use crate::cpu::x86_64::broadcast_u8x16;
use crate::grid::Tile;
use crate::panels::avx2::{BYTES, ROWS as TILE_ROWS, TOKENS, tile};
use crate::panels::lut::{PAIRS, pair_index};
use crate::panels::lut_avx2::{
    Digits, HALF_ROWS, LOOK_UPS, ROWS, Table, byte_patterns, dot, place_of, row_of, split_nibbles,
    store_step, tables,
};
use crate::panels::{self, Codes, STEP};
use crate::weights::TernaryMatrix;
use std::arch::x86_64::*;
use std::ops::Range;

pub(super) static VARIANT: KernelVariant = KernelVariant {
    name: "tl1-avx2",
    family: Family::Tl1,
    requires: Avx2::FEATURES,
    bits_per_weight: 2.0,
    agreement: Agreement::Exact,
    about: "AVX2 byte permutes as tables of two activations, 32 rows in lanes, multiply-add in prefill",
    pack: |weights, cpu| KERNEL.pack(&VARIANT, weights, cpu),
};

static KERNEL: Kernel<Avx2> = Kernel {
    pack: Pack::Ternary(pack),
    row_block: ROWS,
    multiply: compiled_for!(Avx2, multiply),
    unpack_row,
};

/// Columns of a group.
const GROUP: usize = 2;
/// Columns of a block.
const COLUMNS: usize = LOOK_UPS * GROUP;
/// Bytes of half a block.
const HALF: usize = LOOK_UPS / 2 * HALF_ROWS;
/// Bytes of a block.
const BLOCK: usize = 2 * HALF;
/// Columns unpacked at a time in prefill: 8 KiB of codes for 16 rows.
const CHUNK: usize = 32 * COLUMNS;

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
                        let index = pair_index(*weights);
                        bytes[group / 2 * HALF_ROWS + position] |= index << (group % 2 * 4);
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
            for (pattern, out) in PAIRS.iter().zip(out) {
                *out = f32::from(pattern[usize::from(index)]) * packed.scale;
            }
        }
    }
}

#[target_feature(enable = "avx2")]
fn multiply(_: Avx2, packed: &Packed, activations: &Activations, out: &mut Tile<'_>) {
    if out.tokens().len() == 1 {
        let values = activations.int8(out.tokens().start);
        let tables = tables(values, packed.cols.div_ceil(COLUMNS), &PAIRS);
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

/// The sums of half a block.
#[inline]
#[target_feature(enable = "avx2")]
fn look_up(half: &[u8; HALF], tables: &[Table; LOOK_UPS]) -> Digits {
    let (vectors, _) = half.as_chunks::<32>();
    let mut sums = Digits::zero();
    for pair in 0..LOOK_UPS / 2 {
        let [first, second] = split_nibbles(&vectors[pair]);
        sums.add(&tables[2 * pair], first);
        sums.add(&tables[2 * pair + 1], second);
    }
    sums
}

/// Writes `w + 1` of some columns of half a panel, a multiple of a block from its start.
#[inline]
#[target_feature(enable = "avx2")]
fn unpack(panel: &[[u8; BLOCK]], half: usize, columns: Range<usize>, codes: &mut [Codes<BYTES>]) {
    let weights = const { byte_patterns(&PAIRS, 1) }
        .each_ref()
        .map(|table| broadcast_u8x16(table));
    let blocks = &panel[columns.start / COLUMNS..columns.end / COLUMNS];
    let (first, second) = codes.split_at_mut(blocks.len() * (COLUMNS / STEP));
    let (first, _) = first.as_chunks_mut::<{ COLUMNS / STEP }>();
    let (second, _) = second.as_chunks_mut::<{ COLUMNS / STEP }>();
    for ((block, first), second) in blocks.iter().zip(first).zip(second) {
        let (vectors, _) = block.as_chunks::<HALF>().0[half].as_chunks::<32>();
        let mut columns = [_mm256_setzero_si256(); COLUMNS];
        for (pair, nibbles) in vectors[..LOOK_UPS / 2].iter().enumerate() {
            for (index, indices) in split_nibbles(nibbles).into_iter().enumerate() {
                let group = 2 * pair + index;
                for (column, weights) in weights.iter().enumerate() {
                    columns[group * GROUP + column] = _mm256_shuffle_epi8(*weights, indices);
                }
            }
        }
        let (steps, _) = columns.as_chunks::<STEP>();
        for ((columns, first), second) in steps.iter().zip(first).zip(second) {
            store_step(columns, first, second);
        }
    }
}
