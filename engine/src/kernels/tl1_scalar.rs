//! Ternary weights by look-up in portable Rust, two to a 4-bit index.
//!
//! Layout: rows one after the other, in blocks of 16 columns, eight groups of two, four bytes.
//!
//! ```text
//! byte i of a block   bit 7-4: index of group 2i+1 | 3-0: of group 2i
//! ```
//!
//! The index is `(w0 + 1) + 3 (w1 + 1)`, 0 to 8.

use super::{Agreement, Family, KernelVariant, PackResult, Packed, PackedMatrix, ternary_of};
use crate::activations::Activations;
use crate::cpu::Cpu;
use crate::grid::Tile;
use crate::panels;
use crate::panels::lut::{Groups, PAIRS, pair_index};
use crate::weights::LinearWeights;
use std::ops::Range;

pub(super) static VARIANT: KernelVariant = KernelVariant {
    name: "tl1-scalar",
    family: Family::Tl1,
    requires: &[],
    bits_per_weight: 2.0,
    agreement: Agreement::Exact,
    about: "portable Rust, tables of two activations, 16-bit partial sums",
    pack,
};

/// Columns of a group.
const GROUP: usize = 2;
/// Groups of a block.
const GROUPS: usize = 8;
/// Columns of a block.
const COLUMNS: usize = GROUPS * GROUP;
/// Bytes of a block.
const BLOCK: usize = GROUPS / 2;

struct Tl1Scalar {
    /// Blocks of a row.
    blocks: usize,
    packed: Packed,
}

fn pack(weights: &LinearWeights, _: &Cpu) -> PackResult {
    let matrix = ternary_of(weights, &VARIANT)?;
    let blocks = matrix.cols().div_ceil(COLUMNS);
    let packed = panels::pack(
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
    )?;
    Ok(Box::new(Tl1Scalar { blocks, packed }))
}

impl Tl1Scalar {
    fn row(&self, row: usize) -> &[[u8; BLOCK]] {
        &self.bytes().as_chunks::<BLOCK>().0[row * self.blocks..][..self.blocks]
    }
}

impl PackedMatrix for Tl1Scalar {
    fn packed(&self) -> &Packed {
        &self.packed
    }

    fn row_block(&self) -> usize {
        1
    }

    fn multiply(&self, activations: &Activations, out: &mut Tile<'_>) {
        assert_eq!(
            activations.cols(),
            self.cols(),
            "activations of this matrix"
        );
        let groups = Groups {
            patterns: &PAIRS,
            count: self.blocks * GROUPS,
            block: GROUPS,
        };
        groups.multiply(&self.packed, activations, out, |row, groups, indices| {
            unpack(self.row(row), groups, indices);
        });
    }

    fn unpack_row(&self, row: usize, out: &mut [f32]) {
        let mut indices = vec![0; self.blocks * GROUPS];
        unpack(self.row(row), 0..indices.len(), &mut indices);
        for (index, out) in indices.into_iter().zip(out.chunks_mut(GROUP)) {
            for (pattern, out) in PAIRS.iter().zip(out) {
                *out = f32::from(pattern[usize::from(index)]) * self.packed.scale;
            }
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
