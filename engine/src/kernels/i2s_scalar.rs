//! Two-bit ternary weights times int8 activations in portable Rust.
//!
//! No intrinsics: the compiler may use the vectors every CPU of the target has (SSE2, NEON), and does.
//!
//! Layout: rows one after the other, each padded to a multiple of 128 columns. A block of 64 columns takes 16 bytes, as
//! `w + 1`: byte `b` holds columns `b`, `16 + b`, `32 + b` and `48 + b` in bits 0-1, 2-3, 4-5 and 6-7.
//!
//! ```text
//! byte b of a block    bit 7 6 | 5 4 | 3 2 | 1 0
//!                      w`[48+b]` | w`[32+b]` | w`[16+b]` | w`[b]`
//! ```
//!
//! The sum of `(w + 1) * a` less the sum of `a` is the sum of `w * a`.

use super::matrix::{Kernel, Pack};
use super::{Agreement, Family, KernelVariant, PackError, Packed};
use crate::activations::{Activations, COLUMN_PADDING};
use crate::grid::Tile;
use crate::panels::{self, portable};
use crate::weights::TernaryMatrix;

pub(super) static VARIANT: KernelVariant = KernelVariant {
    name: "i2s-scalar",
    family: Family::I2s,
    requires: &[],
    bits_per_weight: 2.0,
    agreement: Agreement::Exact,
    about: "portable Rust, 2-bit weights, 16-bit partial sums",
    pack: |weights, cpu| KERNEL.pack(&VARIANT, weights, cpu),
};

static KERNEL: Kernel<()> = Kernel {
    pack: Pack::Ternary(pack),
    row_block: portable::ROWS,
    multiply,
    unpack_row,
};

/// Columns of a block.
const BLOCK: usize = 64;
/// Bytes of a block.
const BYTES: usize = BLOCK / 4;
/// Blocks whose products fit in 16 bits: each adds at most 4 * 2 * 128 to a lane, and 31 * 1024 < 32768.
const BLOCKS_PER_SUM: usize = 31;

fn pack(matrix: &TernaryMatrix) -> Result<Packed, PackError> {
    let padded = matrix.cols().next_multiple_of(COLUMN_PADDING);
    panels::pack(matrix, 1, padded, padded / 4, |weights, bytes| {
        let (blocks, _) = weights.as_chunks::<BLOCK>();
        for (block, bytes) in blocks.iter().zip(bytes.as_chunks_mut::<BYTES>().0) {
            for (b, byte) in bytes.iter_mut().enumerate() {
                let code =
                    |plane: usize| (block[plane * BYTES + b] + 1).cast_unsigned() << (2 * plane);
                *byte = code(0) | code(1) | code(2) | code(3);
            }
        }
    })
}

/// The blocks of a row.
fn row(packed: &Packed, index: usize) -> &[[u8; BYTES]] {
    let blocks = packed.cols.next_multiple_of(COLUMN_PADDING) / BLOCK;
    &packed.bytes.bytes().as_chunks::<BYTES>().0[index * blocks..][..blocks]
}

fn multiply((): (), packed: &Packed, activations: &Activations, out: &mut Tile<'_>) {
    if out.tokens().len() == 1 {
        let token = out.tokens().start;
        let values = activations.int8(token).as_chunks::<BLOCK>().0;
        let rows = out.cols();
        for (index, out) in rows.zip(out.token(token)) {
            let sum = dot_packed(row(packed, index), values) - activations.sum(token);
            *out = activations.rescale(token, sum, packed.scale);
        }
        return;
    }
    portable::multiply(packed, activations, out, |index, weights| {
        unpack(row(packed, index), weights);
    });
}

/// Writes a row as it will be multiplied.
fn unpack_row(packed: &Packed, index: usize, out: &mut [f32]) {
    for (block, out) in row(packed, index).iter().zip(out.chunks_mut(BLOCK)) {
        for (column, out) in out.iter_mut().enumerate() {
            let code = block[column % BYTES] >> (2 * (column / BYTES)) & 3;
            *out = (f32::from(code) - 1.0) * packed.scale;
        }
    }
}

/// Sum of `(w + 1) * a` over one row.
fn dot_packed(row: &[[u8; BYTES]], values: &[[i8; BLOCK]]) -> i32 {
    let mut total = [0i32; BYTES];
    for (row, values) in row
        .chunks(BLOCKS_PER_SUM)
        .zip(values.chunks(BLOCKS_PER_SUM))
    {
        let mut sums = [0i16; BYTES];
        for (bytes, values) in row.iter().zip(values) {
            let (planes, _) = values.as_chunks::<BYTES>();
            for lane in 0..BYTES {
                let byte = i16::from(bytes[lane]);
                sums[lane] += (byte & 3) * i16::from(planes[0][lane])
                    + (byte >> 2 & 3) * i16::from(planes[1][lane])
                    + (byte >> 4 & 3) * i16::from(planes[2][lane])
                    + (byte >> 6 & 3) * i16::from(planes[3][lane]);
            }
        }
        for (total, sum) in total.iter_mut().zip(sums) {
            *total += i32::from(sum);
        }
    }
    total.iter().sum()
}

/// Writes -1, 0 and +1 of the blocks of one row.
fn unpack(blocks: &[[u8; BYTES]], out: &mut [i16]) {
    for (block, out) in blocks.iter().zip(out.as_chunks_mut::<BLOCK>().0) {
        for (plane, out) in out.as_chunks_mut::<BYTES>().0.iter_mut().enumerate() {
            for (out, byte) in out.iter_mut().zip(block) {
                *out = i16::from(byte >> (2 * plane) & 3) - 1;
            }
        }
    }
}
