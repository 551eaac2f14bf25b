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
use crate::panels;
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
    unpack_row,
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
    let blocks = matrix.cols().div_ceil(COLUMNS);
    panels::pack(
        matrix,
        1,
        blocks * COLUMNS,
        blocks * BLOCK,
        |weights, bytes| {
            let (pairs, _) = weights.as_chunks::<{ 2 * GROUP }>();
            for (columns, byte) in pairs.iter().zip(bytes) {
                let [a, b, c, d] = *columns;
                *byte = pair_index([a, b]) | pair_index([c, d]) << 4;
            }
        },
    )
}

/// The blocks of a row.
fn row(packed: &Packed, index: usize) -> &[[u8; BLOCK]] {
    packed.panel::<COLUMNS, BLOCK>(index)
}

fn multiply((): (), packed: &Packed, activations: &Activations, out: &mut Tile<'_>) {
    let groups = Groups {
        patterns: &PAIRS,
        count: packed.cols.div_ceil(COLUMNS) * GROUPS,
        block: GROUPS,
    };
    groups.multiply(packed, activations, out, |index, groups, indices| {
        unpack(row(packed, index), groups, indices);
    });
}

/// Writes a row as it will be multiplied.
fn unpack_row(packed: &Packed, index: usize, out: &mut [f32]) {
    let mut indices = vec![0; packed.cols.div_ceil(COLUMNS) * GROUPS];
    unpack(row(packed, index), 0..indices.len(), &mut indices);
    for (index, out) in indices.into_iter().zip(out.chunks_mut(GROUP)) {
        for (pattern, out) in PAIRS.iter().zip(out) {
            *out = f32::from(pattern[usize::from(index)]) * packed.scale;
        }
    }
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
