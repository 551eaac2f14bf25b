//! Ternary weights by look-up in portable Rust, three to a sign and a 4-bit index.
//!
//! Layout: rows one after the other, in blocks of 24 columns, eight groups of three, five bytes.
//!
//! ```text
//! byte of a block   0: groups 1,0 | 1: 3,2 | 2: 5,4 | 3: 7,6 | 4: signs
//! bytes 0-3         bit 7-4: index of group 2i+1 | 3-0: of group 2i
//! byte 4            bit g: whether the weights of group g are the negative of their pattern
//! ```
//!
//! The index is the size of `w0 + 3 w1 + 9 w2`, 0 to 13. Sign and index together name an entry of a table of 32.

use super::matrix::{Kernel, Pack};
use super::{Agreement, Family, KernelVariant, PackError, Packed};
use crate::activations::Activations;
use crate::grid::Tile;
use crate::panels::blocks::pack_blocks;
use crate::panels::lut::{ENTRIES, Groups, SIGNED_TRIPLES, triple_index};
use crate::weights::TernaryMatrix;
use std::ops::Range;

pub(super) static VARIANT: KernelVariant = KernelVariant {
    name: "tl2-scalar",
    family: Family::Tl2,
    requires: &[],
    bits_per_weight: 5.0 / 3.0,
    agreement: Agreement::Exact,
    about: "portable Rust, tables of three activations, 16-bit partial sums",
    pack: |weights, cpu| KERNEL.pack(&VARIANT, weights, cpu),
};

static KERNEL: Kernel<()> = Kernel {
    pack: Pack::Ternary(pack),
    row_block: 1,
    multiply,
    unpack_row: |packed, row, out| packed.unpack_row::<COLUMNS, BLOCK, _>(1, row, out, weight),
};

/// Columns of a group.
const GROUP: usize = 3;
/// Groups of a block.
const GROUPS: usize = 8;
/// Columns of a block.
const COLUMNS: usize = GROUPS * GROUP;
/// Bytes of a block.
const BLOCK: usize = 5;

fn pack(matrix: &TernaryMatrix) -> Result<Packed, PackError> {
    pack_blocks::<COLUMNS, BLOCK>(matrix, 1, |rows, block| {
        let (groups, _) = rows.row::<COLUMNS>(0).as_chunks::<GROUP>();
        for (group, weights) in groups.iter().enumerate() {
            let (negative, index) = triple_index(*weights);
            block[group / 2] |= index << (group % 2 * 4);
            block[4] |= u8::from(negative) << group;
        }
    })
}

fn multiply((): (), packed: &Packed, activations: &Activations, out: &mut Tile<'_>) {
    let groups = Groups {
        patterns: &SIGNED_TRIPLES,
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
    let negative = block[4] >> group & 1;
    let index = negative << 4 | block[group / 2] >> (group % 2 * 4) & 15;
    SIGNED_TRIPLES[column % GROUP][usize::from(index)]
}

/// Writes sign and index of some groups of a row as indices into tables of twice [`ENTRIES`].
fn unpack(row: &[[u8; BLOCK]], groups: Range<usize>, indices: &mut [u8]) {
    const { assert!(ENTRIES == 16) };
    let (indices, _) = indices.as_chunks_mut::<GROUPS>();
    for (bytes, indices) in row[groups.start / GROUPS..].iter().zip(indices) {
        for (group, index) in indices.iter_mut().enumerate() {
            let negative = bytes[4] >> group & 1;
            *index = negative << 4 | bytes[group / 2] >> (group % 2 * 4) & 15;
        }
    }
}
