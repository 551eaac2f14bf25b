//! Layouts that are blocks and nothing else: a panel is `BLOCK` bytes for each `COLUMNS` columns of its rows. A row on its own
//! is a panel too.

use super::pack;
use crate::kernels::{PackError, Packed};
use crate::weights::TernaryMatrix;

/// The weights of the rows of a panel in the columns of a block.
pub(crate) struct Rows<'a> {
    /// From the first column of the block on.
    weights: &'a [i8],
    padded_cols: usize,
}

impl<'a> Rows<'a> {
    /// The weights of a row of the panel.
    #[inline(always)]
    pub(crate) fn row<const COLUMNS: usize>(&self, row: usize) -> &'a [i8; COLUMNS] {
        self.weights[row * self.padded_cols..]
            .first_chunk()
            .expect("rows are whole blocks")
    }
}

/// Packs a matrix in panels of `panel_rows` rows. `write(rows, block)` writes a block, zeros at first.
///
/// # Errors
/// If the system gives no memory.
pub(crate) fn pack_blocks<const COLUMNS: usize, const BLOCK: usize>(
    matrix: &TernaryMatrix,
    panel_rows: usize,
    write: impl Fn(Rows<'_>, &mut [u8; BLOCK]) + Sync + Send,
) -> Result<Packed, PackError> {
    let blocks = matrix.cols().div_ceil(COLUMNS);
    let padded_cols = blocks * COLUMNS;
    pack(
        matrix,
        panel_rows,
        padded_cols,
        blocks * BLOCK,
        |weights, bytes| {
            for (k, block) in bytes.as_chunks_mut::<BLOCK>().0.iter_mut().enumerate() {
                let weights = &weights[k * COLUMNS..];
                write(
                    Rows {
                        weights,
                        padded_cols,
                    },
                    block,
                );
            }
        },
    )
}

impl Packed {
    /// The blocks of a panel.
    pub(crate) fn blocks<const COLUMNS: usize, const BLOCK: usize>(
        &self,
        panel: usize,
    ) -> &[[u8; BLOCK]] {
        let blocks = self.cols.div_ceil(COLUMNS);
        &self.bytes.bytes().as_chunks::<BLOCK>().0[panel * blocks..][..blocks]
    }

    /// Writes a row of a matrix in panels of `panel_rows` rows. `weight(block, row, column)` is a weight, `row` counted from the
    /// start of the panel and `column` from that of the block.
    pub(crate) fn unpack_row<const COLUMNS: usize, const BLOCK: usize, W: Into<f32>>(
        &self,
        panel_rows: usize,
        row: usize,
        out: &mut [f32],
        weight: impl Fn(&[u8; BLOCK], usize, usize) -> W,
    ) {
        let blocks = self.blocks::<COLUMNS, BLOCK>(row / panel_rows);
        for (block, out) in blocks.iter().zip(out.chunks_mut(COLUMNS)) {
            for (column, out) in out.iter_mut().enumerate() {
                *out = weight(block, row % panel_rows, column).into() * self.scale;
            }
        }
    }
}
