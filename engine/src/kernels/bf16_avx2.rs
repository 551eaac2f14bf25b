//! Weights in bfloat16 times single-precision activations with AVX2 and FMA: the other baseline.
//!
//! Layout: panels of 16 rows, columns one after the other, so a thread reads one stream. A 32-bit lane holds two rows, eight
//! apart. Columns are padded with zeros to a multiple of eight and the last panel with rows of zeros. Ternary weights are
//! stored as -1, 0 and +1 and their scale is applied to the sum, so that no weight is rounded.
//!
//! ```text
//! panel, column k      | lane 0: row 0, row 8 | row 1, row 9 | ... | row 7, row 15 |     32 bytes
//! ```
//!
//! Bfloat16 is the upper half of single precision: a shift widens the lower half of each lane, a mask the upper, so a column
//! is one load and two operations. Decode is bound by memory. Prefill widens a chunk once for many tokens and is bound by the
//! multiply-adds.

use super::matrix::{Kernel, Pack, compiled_for};
use super::{Agreement, Family, KernelVariant, PackError, Packed};
use crate::activations::Activations;
use crate::cpu::Avx2F16c;
use crate::cpu::x86_64::load_u8x32;
use crate::grid::Tile;
use crate::panels::dense;
use crate::panels::dense::avx2::ROWS;
use crate::weights::{self, LinearWeights};
use std::arch::x86_64::*;

pub(super) static VARIANT: KernelVariant = KernelVariant {
    name: "bf16-avx2",
    family: Family::Bf16,
    requires: Avx2F16c::FEATURES,
    bits_per_weight: 16.0,
    agreement: Agreement::Rounding(2.0),
    about: "widening by shift and mask, fused multiply-add, 16 rows in lanes",
    pack: |weights, cpu| KERNEL.pack(&VARIANT, weights, cpu),
};

static KERNEL: Kernel<Avx2F16c> = Kernel {
    pack: Pack::Linear(pack),
    row_block: ROWS,
    multiply: compiled_for!(Avx2F16c, multiply),
    unpack_row,
};

fn pack(weights: &LinearWeights) -> Result<Packed, PackError> {
    dense::pack_columns::<ROWS>(weights, weights::read_row_bf16, place)
}

/// Where a row of a panel lies in a column.
fn place(row: usize) -> usize {
    row % 8 * 2 + row / 8
}

/// Writes a row as it will be multiplied.
fn unpack_row(packed: &Packed, row: usize, out: &mut [f32]) {
    for (lanes, out) in dense::panel::<ROWS>(packed, row / ROWS).iter().zip(out) {
        *out = f32::from_bits(u32::from(lanes[place(row % ROWS)]) << 16) * packed.scale;
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
    let upper = _mm256_set1_epi32(0xffff_0000_u32.cast_signed());
    let pairs = load_u8x32(bytemuck::cast_ref(lanes));
    [
        _mm256_castsi256_ps(_mm256_slli_epi32::<16>(pairs)),
        _mm256_castsi256_ps(_mm256_and_si256(pairs, upper)),
    ]
}
