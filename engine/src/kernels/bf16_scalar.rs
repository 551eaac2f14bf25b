//! Weights in bfloat16 in portable Rust: the reference of its family.
//!
//! Layout: one row after the other, columns padded with zeros. Ternary weights are stored as -1, 0 and +1 and their scale is
//! applied to the sum. A row is widened once for all tokens of a batch.

use super::f16_scalar::{multiply_rows, pack_rows, row};
use super::matrix::{Kernel, Pack};
use super::{Agreement, Family, KernelVariant, PackError, Packed};
use crate::activations::Activations;
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
    pack_rows(weights, weights::read_row_bf16)
}

fn multiply((): (), packed: &Packed, activations: &Activations, out: &mut Tile<'_>) {
    multiply_rows(packed, activations, out, widen);
}

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
