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
use crate::panels::blocks::pack_blocks;
use crate::panels::lut::{PAIRS, pair_index};
use crate::panels::lut_avx2::{
    self, Digits, HALF_ROWS, LOOK_UPS, ROWS, Table, byte_patterns, place_of, row_of, split_nibbles,
};
use crate::weights::TernaryMatrix;
use std::arch::x86_64::*;

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
    unpack_row: |packed, row, out| packed.unpack_row::<COLUMNS, BLOCK, _>(ROWS, row, out, weight),
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
    pack_blocks::<COLUMNS, BLOCK>(matrix, ROWS, |rows, block| {
        for (half, bytes) in block.chunks_exact_mut(HALF).enumerate() {
            for position in 0..HALF_ROWS {
                let row = half * HALF_ROWS + row_of(position);
                let columns = rows.row::<COLUMNS>(row);
                for (group, weights) in columns.as_chunks::<GROUP>().0.iter().enumerate() {
                    let index = pair_index(*weights);
                    bytes[group / 2 * HALF_ROWS + position] |= index << (group % 2 * 4);
                }
            }
        }
    })
}

/// A weight of a block.
fn weight(block: &[u8; BLOCK], row: usize, column: usize) -> i16 {
    let (half, position) = place_of(row);
    let group = column / GROUP;
    let byte = block[half * HALF + group / 2 * HALF_ROWS + position];
    PAIRS[column % GROUP][usize::from(byte >> (group % 2 * 4) & 15)]
}

#[target_feature(enable = "avx2")]
fn multiply(_: Avx2, packed: &Packed, activations: &Activations, out: &mut Tile<'_>) {
    lut_avx2::multiply::<GROUP, COLUMNS, BLOCK, HALF, CHUNK>(
        packed,
        activations,
        out,
        &PAIRS,
        |half, tables| look_up(half, tables),
        |half| unpack(half),
    );
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

/// `w + 1` of the columns of half a block.
#[inline]
#[target_feature(enable = "avx2")]
fn unpack(half: &[u8; HALF]) -> [__m256i; COLUMNS] {
    let weights = const { byte_patterns(&PAIRS, 1) }
        .each_ref()
        .map(|table| broadcast_u8x16(table));
    let (vectors, _) = half.as_chunks::<32>();
    let mut columns = [_mm256_setzero_si256(); COLUMNS];
    for (pair, nibbles) in vectors[..LOOK_UPS / 2].iter().enumerate() {
        for (index, indices) in split_nibbles(nibbles).into_iter().enumerate() {
            let group = 2 * pair + index;
            for (column, weights) in weights.iter().enumerate() {
                columns[group * GROUP + column] = _mm256_shuffle_epi8(*weights, indices);
            }
        }
    }
    columns
}
