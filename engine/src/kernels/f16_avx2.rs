//! Half-precision weights times single-precision activations with F16C and FMA: the baseline.
//!
//! Layout: panels of 16 rows, a row in each lane of two vectors, columns one after the other, so a thread reads one stream.
//! Columns are padded with zeros to a multiple of eight and the last panel with rows of zeros. Ternary weights are stored as
//! -1, 0 and +1 and their scale is applied to the sum, so that no weight is rounded.
//!
//! ```text
//! panel, column k      | rows 0-7: 8 halves | rows 8-15 |     32 bytes
//! ```
//!
//! `vcvtph2ps` widens eight rows, with no addition across lanes at the end. Decode is bound by memory. Prefill widens a chunk
//! once for many tokens and is bound by the multiply-adds.

use super::matrix::{Kernel, Pack, compiled_for};
use super::{Agreement, Family, KernelVariant, PackError, Packed};
use crate::activations::Activations;
use crate::cpu::Avx2F16c;
use crate::cpu::x86_64::load_u16x8;
use crate::grid::Tile;
use crate::panels::dense;
use crate::panels::dense::avx2::ROWS;
use crate::weights::{self, LinearWeights};
use std::arch::x86_64::*;

pub(super) static VARIANT: KernelVariant = KernelVariant {
    name: "f16-avx2",
    family: Family::F16,
    requires: Avx2F16c::FEATURES,
    bits_per_weight: 16.0,
    agreement: Agreement::Rounding(2.0),
    about: "F16C widening and fused multiply-add, 16 rows in lanes",
    pack: |weights, cpu| KERNEL.pack(&VARIANT, weights, cpu),
};

static KERNEL: Kernel<Avx2F16c> = Kernel {
    pack: Pack::Linear(pack),
    row_block: ROWS,
    multiply: compiled_for!(Avx2F16c, multiply),
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

#[target_feature(enable = "avx2,fma,f16c")]
fn multiply(_: Avx2F16c, packed: &Packed, activations: &Activations, out: &mut Tile<'_>) {
    dense::avx2::multiply(packed, activations, out, |column| widen(column));
}

/// Rows 0-7 and 8-15 of a column in single precision.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn widen(lanes: &[u16; ROWS]) -> [__m256; 2] {
    let (halves, _) = lanes.as_chunks::<8>();
    [
        _mm256_cvtph_ps(load_u16x8(&halves[0])),
        _mm256_cvtph_ps(load_u16x8(&halves[1])),
    ]
}
