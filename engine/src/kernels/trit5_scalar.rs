//! Ternary weights in 1.6 bits times int8 activations in portable Rust.
//!
//! Layout: rows one after the other, each padded to whole blocks of 80 columns in 16 bytes. Byte `b` of a block holds the
//! columns `b`, `16 + b`, ... `64 + b` as five digits to the base of 3; see [`crate::base3`].
//!
//! ```text
//! byte b of a block    fraction 0.d0 d1 d2 d3 d4 to the base of 3, d_j = w`[16 j + b]` + 1
//! ```
//!
//! A row is unpacked, a digit at a time by multiplying the fraction by three, and then multiplied.

use super::matrix::{Kernel, Pack};
use super::{Agreement, Family, KernelVariant, PackError, Packed};
use crate::activations::Activations;
use crate::base3::{self, DIGITS};
use crate::buffer::PackedBytes;
use crate::grid::Tile;
use crate::panels::portable;
use crate::weights::TernaryMatrix;

pub(super) static VARIANT: KernelVariant = KernelVariant {
    name: "trit5-scalar",
    family: Family::Trit5,
    requires: &[],
    bits_per_weight: 1.6,
    agreement: Agreement::Exact,
    about: "portable Rust, five weights in a byte, unpacked by multiplying by three",
    pack: |weights, cpu| KERNEL.pack(&VARIANT, weights, cpu),
};

static KERNEL: Kernel<()> = Kernel {
    pack: Pack::Ternary(pack),
    row_block: portable::ROWS,
    multiply,
    unpack_row,
};

/// Bytes of a block.
const BYTES: usize = 16;
/// Columns of a block.
const COLUMNS: usize = BYTES * DIGITS;

fn pack(matrix: &TernaryMatrix) -> Result<Packed, PackError> {
    let (rows, cols) = (matrix.rows(), matrix.cols());
    let row_bytes = cols.div_ceil(COLUMNS) * BYTES;
    let bytes = PackedBytes::fill(rows * row_bytes, row_bytes, |row, bytes| {
        let mut weights = vec![0i8; row_bytes * DIGITS];
        matrix.read_row(row, &mut weights[..cols]);
        for (block, bytes) in weights
            .chunks_exact(COLUMNS)
            .zip(bytes.chunks_exact_mut(BYTES))
        {
            for (b, byte) in bytes.iter_mut().enumerate() {
                *byte = base3::encode(std::array::from_fn(|digit| block[digit * BYTES + b]));
            }
        }
        Ok(())
    })?;
    Ok(Packed {
        rows,
        cols,
        scale: matrix.scale(),
        bytes,
    })
}

/// The blocks of a row.
fn row(packed: &Packed, index: usize) -> &[[u8; BYTES]] {
    packed.panel::<COLUMNS, BYTES>(index)
}

fn multiply((): (), packed: &Packed, activations: &Activations, out: &mut Tile<'_>) {
    portable::multiply(packed, activations, out, |index, weights| {
        unpack(row(packed, index), weights);
    });
}

/// Writes a row as it will be multiplied.
fn unpack_row(packed: &Packed, index: usize, out: &mut [f32]) {
    for (block, out) in row(packed, index).iter().zip(out.chunks_mut(COLUMNS)) {
        for (column, out) in out.iter_mut().enumerate() {
            let weight = base3::decode(block[column % BYTES], column / BYTES);
            *out = f32::from(weight) * packed.scale;
        }
    }
}

/// Writes -1, 0 and +1 of the blocks of one row.
fn unpack(blocks: &[[u8; BYTES]], out: &mut [i16]) {
    for (block, out) in blocks.iter().zip(out.as_chunks_mut::<COLUMNS>().0) {
        let (digits, _) = out.as_chunks_mut::<BYTES>();
        // A factor for each digit, and not the fraction before it, so that the lanes make vectors.
        for (digit, power) in digits.iter_mut().zip([1u16, 3, 9, 27, 81]) {
            for (digit, byte) in digit.iter_mut().zip(block) {
                let fraction = u16::from(*byte).wrapping_mul(power) & 0xff;
                *digit = ((3 * fraction) >> 8).cast_signed() - 1;
            }
        }
    }
}
