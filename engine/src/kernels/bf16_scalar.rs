//! Weights in bfloat16 in portable Rust: the reference of its family.
//!
//! Layout: one row after the other, columns padded with zeros. Ternary weights are stored as -1, 0 and +1 and their scale is
//! applied to the sum. A row is widened once for all tokens of a batch.

use super::f16_scalar::dot;
use super::matrix::{Kernel, Pack};
use super::{Agreement, Family, KernelVariant, PackError, Packed};
use crate::activations::{Activations, COLUMN_PADDING};
use crate::buffer::PackedBytes;
use crate::grid::Tile;
use crate::weights::{self, LinearWeights};

pub(super) static VARIANT: KernelVariant = KernelVariant {
    name: "bf16-scalar",
    family: Family::Bf16,
    requires: &[],
    bits_per_weight: 16.0,
    agreement: Agreement::Rounding(2.0),
    about: "portable Rust, bfloat16 weights, single-precision sums",
    pack: |weights, cpu| KERNEL.pack(&VARIANT, weights, cpu),
};

static KERNEL: Kernel<()> = Kernel {
    pack: Pack::Linear(pack),
    row_block: 1,
    multiply,
    unpack_row,
};

fn pack(weights: &LinearWeights) -> Result<Packed, PackError> {
    let (rows, cols) = (weights.rows(), weights.cols());
    let padded = cols.next_multiple_of(COLUMN_PADDING);
    let bytes = PackedBytes::fill(rows * padded * 2, padded * 2, |row, bytes| {
        weights::read_row_bf16(weights, row, &mut bytemuck::cast_slice_mut(bytes)[..cols])
    })?;
    Ok(Packed {
        rows,
        cols,
        scale: weights.scale(),
        bytes,
    })
}

/// A row, padding included.
fn row(packed: &Packed, index: usize) -> &[u16] {
    let padded = packed.cols.next_multiple_of(COLUMN_PADDING);
    &bytemuck::cast_slice(packed.bytes.bytes())[index * padded..][..padded]
}

fn multiply((): (), packed: &Packed, activations: &Activations, out: &mut Tile<'_>) {
    let rows = out.cols();
    let tokens = out.tokens();
    let mut widened = vec![0.0f32; packed.cols.next_multiple_of(COLUMN_PADDING)];
    for (at, index) in rows.enumerate() {
        for (to, from) in widened.iter_mut().zip(row(packed, index)) {
            *to = widen(*from);
        }
        for token in tokens.clone() {
            out.token(token)[at] = dot(&widened, activations.f32(token)) * packed.scale;
        }
    }
}

/// Writes a row as it will be multiplied.
fn unpack_row(packed: &Packed, index: usize, out: &mut [f32]) {
    for (to, from) in out.iter_mut().zip(row(packed, index)) {
        *to = widen(*from) * packed.scale;
    }
}

/// The number that bfloat16 bits stand for: they are the upper half of single precision.
#[inline(always)]
fn widen(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}
