//! Ternary weights as transformers stores them: 2-bit codes of four rows in one row of bytes.
//!
//! A matrix of n rows is stored as n / 4 rows of bytes. Row r is block r / (n / 4) of row r % (n / 4): bits 2i+1..2i for block
//! i. Codes 0, 1, 2 stand for -1, 0, +1; 3 is not written by any encoder.

use rayon::prelude::*;

use super::shards::StoredTensor;
use crate::weights::TernaryRows;

/// Rows in a row of bytes.
pub(super) const ROWS_PER_BYTE: usize = 4;

pub(super) struct Packed {
    tensor: StoredTensor,
    cols: usize,
}

impl Packed {
    /// A tensor whose shape was checked: a quarter of the rows, `cols` bytes each.
    ///
    /// # Errors
    /// What is wrong with the stored codes.
    pub(super) fn new(tensor: StoredTensor, cols: usize) -> Result<Self, String> {
        let has_invalid_code = |bytes: &[u8]| {
            let both = |seen, byte: &u8| seen | (byte & (byte >> 1) & 0x55);
            bytes.iter().fold(0, both) != 0
        };
        let rows = tensor.data().par_chunks(cols);
        match rows
            .enumerate()
            .find_first(|(_, row)| has_invalid_code(row))
        {
            None => Ok(Packed { tensor, cols }),
            Some((row, _)) => Err(format!(
                "row {row} of bytes holds code 3, which stands for no weight; download the file again"
            )),
        }
    }
}

impl TernaryRows for Packed {
    fn read_row(&self, row: usize, out: &mut [i8]) {
        let data = self.tensor.data();
        let stored_rows = data.len() / self.cols;
        let start = row % stored_rows * self.cols;
        let shift = 2 * (row / stored_rows);
        let bytes = data.get(start..start + self.cols).unwrap_or_default();
        for (out, byte) in out.iter_mut().zip(bytes) {
            *out = ((byte >> shift) & 3).cast_signed() - 1;
        }
    }
}
