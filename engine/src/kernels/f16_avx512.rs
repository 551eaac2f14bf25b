//! Half-precision weights times single-precision activations with AVX-512: the baseline.
//!
//! Layout: panels of 32 rows, a row in each lane of two vectors, columns one after the other, so a thread reads one stream.
//! Columns are padded with zeros to a multiple of eight and the last panel with rows of zeros. Ternary weights are stored as
//! -1, 0 and +1 and their scale is applied to the sum, so that no weight is rounded.
//!
//! ```text
//! panel, column k      | rows 0-15: 16 halves | rows 16-31 |     64 bytes
//! ```
//!
//! `vcvtph2ps` widens 16 rows, with no addition across lanes at the end. Decode is bound by memory. Prefill widens a chunk
//! once for many tokens and is bound by the multiply-adds.

use super::matrix::{Kernel, Pack, compiled_for};
use super::{Agreement, Family, KernelVariant, PackError, Packed};
use crate::activations::Activations;
use crate::cpu::Avx512;
use crate::cpu::x86_64::load_u16x16;
use crate::grid::Tile;
use crate::panels::dense;
use crate::panels::dense::avx512::ROWS;
use crate::weights::{self, LinearWeights};
use std::arch::x86_64::*;

pub(super) static VARIANT: KernelVariant = KernelVariant {
    name: "f16-avx512",
    family: Family::F16,
    requires: Avx512::FEATURES,
    bits_per_weight: 16.0,
    agreement: Agreement::Rounding(2.0),
    about: "512-bit widening and fused multiply-add, 32 rows in lanes",
    pack: |weights, cpu| KERNEL.pack(&VARIANT, weights, cpu),
};

static KERNEL: Kernel<Avx512> = Kernel {
    pack: Pack::Linear(pack),
    row_block: ROWS,
    multiply: compiled_for!(Avx512, multiply),
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

#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw")]
fn multiply(_: Avx512, packed: &Packed, activations: &Activations, out: &mut Tile<'_>) {
    dense::avx512::multiply(packed, activations, out, |column| widen(column));
}

/// Rows 0-15 and 16-31 of a column in single precision.
#[inline]
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw")]
fn widen(lanes: &[u16; ROWS]) -> [__m512; 2] {
    let (halves, _) = lanes.as_chunks::<16>();
    [
        _mm512_cvtph_ps(load_u16x16(&halves[0])),
        _mm512_cvtph_ps(load_u16x16(&halves[1])),
    ]
}
