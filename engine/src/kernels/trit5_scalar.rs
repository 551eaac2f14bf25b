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
use crate::grid::Tile;
use crate::panels::blocks::pack_blocks;
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
    unpack_row: |packed, row, out| packed.unpack_row::<COLUMNS, BLOCK, _>(1, row, out, weight),
};

/// Bytes of a block.
const BLOCK: usize = 16;
/// Columns of a block.
const COLUMNS: usize = BLOCK * DIGITS;

fn pack(matrix: &TernaryMatrix) -> Result<Packed, PackError> {
    pack_blocks::<COLUMNS, BLOCK>(matrix, 1, |rows, block| {
        let columns = rows.row::<COLUMNS>(0);
        for (b, byte) in block.iter_mut().enumerate() {
            *byte = base3::encode(std::array::from_fn(|digit| columns[digit * BLOCK + b]));
        }
    })
}

/// A weight of a block.
fn weight(block: &[u8; BLOCK], _: usize, column: usize) -> i8 {
    base3::decode(block[column % BLOCK], column / BLOCK)
}

fn multiply((): (), packed: &Packed, activations: &Activations, out: &mut Tile<'_>) {
    portable::multiply(packed, activations, out, |index, weights| {
        unpack(packed.blocks::<COLUMNS, BLOCK>(index), weights);
    });
}

/// Writes -1, 0 and +1 of the blocks of one row.
fn unpack(blocks: &[[u8; BLOCK]], out: &mut [i16]) {
    for (block, out) in blocks.iter().zip(out.as_chunks_mut::<COLUMNS>().0) {
        let (digits, _) = out.as_chunks_mut::<BLOCK>();
        // A factor for each digit, and not the fraction before it, so that the lanes make vectors.
        for (digit, power) in digits.iter_mut().zip([1u16, 3, 9, 27, 81]) {
            for (digit, byte) in digit.iter_mut().zip(block) {
                let fraction = u16::from(*byte).wrapping_mul(power) & 0xff;
                *digit = ((3 * fraction) >> 8).cast_signed() - 1;
            }
        }
    }
}
