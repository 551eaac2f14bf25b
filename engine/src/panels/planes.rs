//! The layout of two-bit weights that kernels with one row in each 32-bit lane share.
//!
//! A block is 16 columns of a panel, four bytes for each row. Codes are `w + 1`; a byte holds four planes of them:
//!
//! ```text
//! panel, block k       | row 0: 4 bytes | row 1 | row 2 | ...
//! byte b of a row      bit 7 6 | 5 4 | 3 2 | 1 0
//!                      w`[12+b]` | w`[8+b]` | w`[4+b]` | w`[b]`
//! ```
//!
//! A plane of a block is thus four consecutive columns in the lane of their row: what a multiply-add of bytes takes at once.

use super::{STEP, pack};
use crate::kernels::{PackError, Packed};
use crate::weights::TernaryMatrix;

/// Columns of a block.
pub(crate) const COLUMNS: usize = 16;

/// Packs a matrix in panels of as many rows as a block has of four bytes each.
///
/// # Errors
/// If the system gives no memory.
pub(crate) fn pack_planes<const BLOCK: usize>(matrix: &TernaryMatrix) -> Result<Packed, PackError> {
    let blocks = matrix.cols().div_ceil(COLUMNS);
    let padded = blocks * COLUMNS;
    pack(
        matrix,
        BLOCK / STEP,
        padded,
        blocks * BLOCK,
        |weights, bytes| {
            for (k, block) in bytes.chunks_exact_mut(BLOCK).enumerate() {
                for (index, byte) in block.iter_mut().enumerate() {
                    let (row, b) = (index / STEP, index % STEP);
                    let columns = &weights[row * padded + k * COLUMNS..][..COLUMNS];
                    let code = |plane: usize| {
                        (columns[plane * STEP + b] + 1).cast_unsigned() << (2 * plane)
                    };
                    *byte = code(0) | code(1) | code(2) | code(3);
                }
            }
        },
    )
}

/// Writes a row as it will be multiplied.
pub(crate) fn unpack_row<const BLOCK: usize>(packed: &Packed, row: usize, out: &mut [f32]) {
    let rows = BLOCK / STEP;
    let panel = packed.panel::<COLUMNS, BLOCK>(row / rows);
    for (block, out) in panel.iter().zip(out.chunks_mut(COLUMNS)) {
        let lane = &block[row % rows * STEP..][..STEP];
        for (column, out) in out.iter_mut().enumerate() {
            let code = lane[column % STEP] >> (2 * (column / STEP)) & 3;
            *out = (f32::from(code) - 1.0) * packed.scale;
        }
    }
}
