//! Groups of eight rows, one for each lane of a vector, and how they are filled.
//!
//! Rows in lanes need no sum across a vector, so the order of the float additions of a row is that of its blocks on every
//! instruction set, and all of them give the same bits.

use crate::buffer::PackedBytes;
use crate::kernels::PackError;
use crate::pieces::PIECE_BYTES;
use crate::weights::{DenseMatrix, saturate};

/// Rows of a group.
pub(super) const LANES: usize = 8;

/// Rows that a thread takes at a time, whole groups of so many bytes.
pub(super) fn piece_rows(group_bytes: usize) -> usize {
    (PIECE_BYTES / group_bytes).max(1) * LANES
}

/// Packs a matrix in groups, in arrays that have a part of so many bytes for each: `pack(first_row, values, parts)` gets up to
/// eight rows one after the other, each followed by zeros to `padded` columns, and the zeroed parts of their group. Rows past
/// the last are rows of zeros.
pub(super) fn pack_groups<const N: usize>(
    weights: &DenseMatrix,
    padded: usize,
    parts: [usize; N],
    pack: impl Fn(usize, &[f32], [&mut [u8]; N]) + Sync + Send,
) -> Result<[PackedBytes; N], PackError> {
    let (rows, cols) = (weights.rows(), weights.cols());
    PackedBytes::fill_together(rows.div_ceil(LANES), parts, |group, parts| {
        let mut values = vec![0.0; LANES * padded];
        for (lane, values) in values.chunks_exact_mut(padded).enumerate() {
            if group * LANES + lane < rows {
                read_row(weights, group * LANES + lane, &mut values[..cols])?;
            }
        }
        pack(group * LANES, &values, parts);
        Ok(())
    })
}

/// Reads a row and brings it into the range of half precision, as the half-precision head does.
///
/// # Errors
/// [`PackError::NotFinite`].
fn read_row(weights: &DenseMatrix, row: usize, out: &mut [f32]) -> Result<(), PackError> {
    weights.read_row(row, out);
    if !out.iter().all(|v| v.is_finite()) {
        return Err(PackError::NotFinite { row });
    }
    saturate(out);
    Ok(())
}

/// The least half-precision number that is not below a value, which is neither negative nor above the largest.
pub(super) fn half_up(value: f32) -> half::f16 {
    let near = half::f16::from_f32(value);
    if near.to_f32() < value {
        half::f16::from_bits(near.to_bits() + 1)
    } else {
        near
    }
}
