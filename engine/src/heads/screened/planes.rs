//! The two planes of 4 bits: where the codes of a copy lie.
//!
//! ```text
//! first plane: groups of eight rows, blocks of 32 columns, a step of four columns of eight rows in 32 bytes
//! group, block b            | s of 8 rows: 8 B | t of 8 rows: 8 B | step 0 and 4: 32 B | 1 and 5 | 2 and 6 | 3 and 7 |    144 bytes
//! byte 4 r + c of step j    bits 7-4: u of row r, column 16 + 4 j + c; bits 3-0: column 4 j + c
//!
//! second plane: row after row, because the rows that are read lie apart; whole cache lines
//! row                       | s of each block | 64 columns: 32 B | 64 columns | ...
//! byte i of 64 columns k    bits 7-4: v of column 64 k + 32 + i; bits 3-0: column 64 k + i
//! ```

use super::super::fixed_point::BLOCK;
use super::super::lanes::LANES;
use super::copy::Copy;

/// Bytes of a block of the first plane.
pub(in super::super) const BLOCK_BYTES: usize = 2 * LANES + LANES * BLOCK / 2;

/// Bytes of the scales of a row of the second plane.
pub(in super::super) fn refined_scale_bytes(cols: usize) -> usize {
    cols.div_ceil(2 * BLOCK) * 2
}

/// Bytes of a row of the second plane.
pub(in super::super) fn refined_stride(cols: usize) -> usize {
    (refined_scale_bytes(cols) + cols.div_ceil(2 * BLOCK) * BLOCK).next_multiple_of(64)
}

impl Copy {
    /// Puts the upper halves of the codes in their places in a group of the first plane.
    pub(super) fn write_first(&self, lane: usize, group: &mut [u8]) {
        for (block, bytes) in group
            .as_chunks_mut::<BLOCK_BYTES>()
            .0
            .iter_mut()
            .enumerate()
        {
            bytes[lane] = self.scales[block];
            bytes[LANES + lane] = self.errors[block];
            for column in 0..BLOCK {
                let (half, step) = (column / 16, column % 16 / 4);
                let byte = 2 * LANES + step * 4 * LANES + 4 * lane + column % 4;
                bytes[byte] |= self.codes[block * BLOCK + column] >> 4 << (4 * half);
            }
        }
    }

    /// Puts the lower halves of the codes in a row of the second plane.
    pub(super) fn write_second(&self, row: &mut [u8], cols: usize) {
        let (scales, codes) = row.split_at_mut(refined_scale_bytes(cols));
        scales.copy_from_slice(&self.scales);
        for (bytes, columns) in codes
            .chunks_exact_mut(BLOCK)
            .zip(self.codes.chunks_exact(2 * BLOCK))
        {
            for (at, byte) in bytes.iter_mut().enumerate() {
                *byte = columns[at] & 0x0f | (columns[BLOCK + at] & 0x0f) << 4;
            }
        }
    }
}
