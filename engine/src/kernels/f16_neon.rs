//! Half-precision weights times single-precision activations with Advanced SIMD (`fcvtl`, `fmla` by element): the baseline.
//!
//! Layout: panels of 16 rows, columns one after the other, so a thread reads one stream. Columns are padded with zeros to a
//! multiple of eight and the last panel with rows of zeros. Ternary weights are stored as -1, 0 and +1 and their scale is
//! applied to the sum, so that no weight is rounded.
//!
//! ```text
//! panel, column k      | rows 0-7: 8 halves | rows 8-15 |     32 bytes
//! ```
//!
//! Rows lie in lanes, so no sum crosses lanes. Decode widens as it goes and is bound by memory. Prefill widens a chunk of a
//! panel once for many tokens and is bound by the multiply-adds.

use super::matrix::{Kernel, Pack, compiled_for};
use super::{Agreement, Family, KernelVariant, PackError, Packed};
use crate::activations::Activations;
use crate::cpu::Neon;
use crate::cpu::aarch64::load_f16x8;
use crate::grid::Tile;
use crate::panels::dense;
use crate::panels::dense::neon::{ROWS, VECTORS};
use crate::weights::{self, LinearWeights};
use std::arch::aarch64::*;

pub(super) static VARIANT: KernelVariant = KernelVariant {
    name: "f16-neon",
    family: Family::F16,
    requires: Neon::FEATURES,
    bits_per_weight: 16.0,
    agreement: Agreement::Rounding(2.0),
    about: "widening to single precision and fused multiply-add by element, 16 rows in lanes",
    pack: |weights, cpu| KERNEL.pack(&VARIANT, weights, cpu),
};

static KERNEL: Kernel<Neon> = Kernel {
    pack: Pack::Linear(pack),
    row_block: ROWS,
    multiply: compiled_for!(Neon, multiply),
    unpack_row,
};

fn pack(weights: &LinearWeights) -> Result<Packed, PackError> {
    dense::pack_columns::<ROWS>(weights, weights::read_row_f16, |row| row)
}

/// Writes a row as it will be multiplied.
fn unpack_row(packed: &Packed, row: usize, out: &mut [f32]) {
    for (lanes, out) in dense::panel::<ROWS>(packed, row / ROWS).iter().zip(out) {
        *out = half::f16::from_bits(lanes[row % ROWS]).to_f32() * packed.scale;
    }
}

#[target_feature(enable = "neon")]
fn multiply(_: Neon, packed: &Packed, activations: &Activations, out: &mut Tile<'_>) {
    dense::neon::multiply(packed, activations, out, |column| widen(column));
}

/// A column in single precision.
#[inline]
#[target_feature(enable = "neon")]
fn widen(column: &[u16; ROWS]) -> [float32x4_t; VECTORS] {
    let (halves, _) = column.as_chunks::<8>();
    let (first, second) = (load_f16x8(&halves[0]), load_f16x8(&halves[1]));
    [
        vcvt_f32_f16(vget_low_f16(first)),
        vcvt_high_f32_f16(first),
        vcvt_f32_f16(vget_low_f16(second)),
        vcvt_high_f32_f16(second),
    ]
}
