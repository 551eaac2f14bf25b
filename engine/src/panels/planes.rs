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

use super::STEP;
use super::blocks::pack_blocks;
use crate::kernels::{PackError, Packed};
use crate::weights::TernaryMatrix;

/// Columns of a block.
pub(crate) const COLUMNS: usize = 16;

/// Packs a matrix in panels of as many rows as a block has of four bytes each.
///
/// # Errors
/// If the system gives no memory.
pub(crate) fn pack<const BLOCK: usize>(matrix: &TernaryMatrix) -> Result<Packed, PackError> {
    pack_blocks::<COLUMNS, BLOCK>(matrix, BLOCK / STEP, |rows, block| {
        for (index, byte) in block.iter_mut().enumerate() {
            let (row, b) = (index / STEP, index % STEP);
            let columns = rows.row::<COLUMNS>(row);
            let code =
                |plane: usize| (columns[plane * STEP + b] + 1).cast_unsigned() << (2 * plane);
            *byte = code(0) | code(1) | code(2) | code(3);
        }
    })
}

/// Writes a row as it will be multiplied.
pub(crate) fn unpack_row<const BLOCK: usize>(packed: &Packed, row: usize, out: &mut [f32]) {
    packed.unpack_row::<COLUMNS, BLOCK, _>(BLOCK / STEP, row, out, |block, row, column| {
        let byte = block[row * STEP + column % STEP];
        (byte >> (2 * (column / STEP)) & 3).cast_signed() - 1
    });
}
