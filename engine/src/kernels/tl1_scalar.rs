//! Ternary weights by look-up in portable Rust, two to a 4-bit index.
//!
//! Layout: rows one after the other, in blocks of 16 columns, eight groups of two, four bytes.
//!
//! ```text
//! byte i of a block   bit 7-4: index of group 2i+1 | 3-0: of group 2i
//! ```
//!
//! The index is `(w0 + 1) + 3 (w1 + 1)`, 0 to 8.

use super::matrix::{Kernel, Pack};
use super::{Agreement, Family, KernelVariant, PackError, Packed};
use crate::activations::Activations;
use crate::grid::Tile;
use crate::panels::blocks::pack_blocks;
use crate::panels::lut::{Groups, PAIRS, pair_index};
use crate::weights::TernaryMatrix;
use std::ops::Range;

pub(super) static VARIANT: KernelVariant = KernelVariant {
    name: "tl1-scalar",
    family: Family::Tl1,
    requires: &[],
    bits_per_weight: 2.0,
    agreement: Agreement::Exact,
    about: "portable Rust, tables of two activations, 16-bit partial sums",
    pack: |weights, cpu| KERNEL.pack(&VARIANT, weights, cpu),
};

static KERNEL: Kernel<()> = Kernel {
    pack: Pack::Ternary(pack),
    row_block: 1,
    multiply,
    unpack_row: |packed, row, out| packed.unpack_row::<COLUMNS, BLOCK, _>(1, row, out, weight),
};

/// Columns of a group.
const GROUP: usize = 2;
/// Groups of a block.
const GROUPS: usize = 8;
/// Columns of a block.
const COLUMNS: usize = GROUPS * GROUP;
/// Bytes of a block.
const BLOCK: usize = GROUPS / 2;

fn pack(matrix: &TernaryMatrix) -> Result<Packed, PackError> {
    pack_blocks::<COLUMNS, BLOCK>(matrix, 1, |rows, block| {
        let (pairs, _) = rows.row::<COLUMNS>(0).as_chunks::<{ 2 * GROUP }>();
        for ([a, b, c, d], byte) in pairs.iter().zip(block) {
            *byte = pair_index([*a, *b]) | pair_index([*c, *d]) << 4;
        }
    })
}

fn multiply((): (), packed: &Packed, activations: &Activations, out: &mut Tile<'_>) {
    let groups = Groups {
        patterns: &PAIRS,
        count: packed.cols.div_ceil(COLUMNS) * GROUPS,
        block: GROUPS,
    };
    groups.multiply(packed, activations, out, |index, groups, indices| {
        unpack(packed.blocks::<COLUMNS, BLOCK>(index), groups, indices);
    });
}

/// A weight of a block.
fn weight(block: &[u8; BLOCK], _: usize, column: usize) -> i16 {
    let group = column / GROUP;
    let index = block[group / 2] >> (group % 2 * 4) & 15;
    PAIRS[column % GROUP][usize::from(index)]
}

/// Writes the indices of some groups of a row.
fn unpack(row: &[[u8; BLOCK]], groups: Range<usize>, indices: &mut [u8]) {
    let (indices, _) = indices.as_chunks_mut::<GROUPS>();
    for (bytes, indices) in row[groups.start / GROUPS..].iter().zip(indices) {
        for (group, index) in indices.iter_mut().enumerate() {
            *index = bytes[group / 2] >> (group % 2 * 4) & 15;
        }
    }
}
