//! Half-precision weights times single-precision activations in portable Rust.
//!
//! Layout: rows one after the other, each padded to a multiple of 128 columns; little-endian halves as they are. Ternary
//! weights are stored as -1, 0 and +1 and their scale is applied to the sum, so that no weight is rounded.

use super::matrix::{Kernel, Pack};
use super::{Agreement, Family, KernelVariant, PackError, Packed};
use crate::activations::{Activations, COLUMN_PADDING};
use crate::buffer::PackedBytes;
use crate::grid::Tile;
use crate::weights::{self, LinearWeights};

pub(super) static VARIANT: KernelVariant = KernelVariant {
    name: "f16-scalar",
    family: Family::F16,
    requires: &[],
    bits_per_weight: 16.0,
    agreement: Agreement::Rounding(2.0),
    about: "portable Rust, half-precision weights, single-precision sums",
    pack: |weights, cpu| KERNEL.pack(&VARIANT, weights, cpu),
};

static KERNEL: Kernel<()> = Kernel {
    pack: Pack::Linear(pack),
    row_block: 1,
    multiply,
    unpack_row,
};

/// Partial sums: enough for two vectors of eight.
const LANES: usize = 16;

fn pack(weights: &LinearWeights) -> Result<Packed, PackError> {
    pack_rows(weights, weights::read_row_f16)
}

fn multiply((): (), packed: &Packed, activations: &Activations, out: &mut Tile<'_>) {
    multiply_rows(packed, activations, out, widen);
}

fn unpack_row(packed: &Packed, index: usize, out: &mut [f32]) {
    for (to, from) in out.iter_mut().zip(row(packed, index)) {
        *to = widen(*from) * packed.scale;
    }
}

/// Packs one row after the other; `read_row` gives a row in half precision.
pub(super) fn pack_rows(
    weights: &LinearWeights,
    read_row: impl Fn(&LinearWeights, usize, &mut [u16]) -> Result<(), PackError> + Sync + Send,
) -> Result<Packed, PackError> {
    let (rows, cols) = (weights.rows(), weights.cols());
    let padded = cols.next_multiple_of(COLUMN_PADDING);
    let bytes = PackedBytes::fill(rows * padded * 2, padded * 2, |row, bytes| {
        read_row(weights, row, &mut bytemuck::cast_slice_mut(bytes)[..cols])
    })?;
    Ok(Packed {
        rows,
        cols,
        scale: weights.scale(),
        bytes,
    })
}

/// A row, padding included.
pub(super) fn row(packed: &Packed, index: usize) -> &[u16] {
    let padded = packed.cols.next_multiple_of(COLUMN_PADDING);
    &bytemuck::cast_slice(packed.bytes.bytes())[index * padded..][..padded]
}

/// Multiplies rows by tokens; `widen` gives a weight in single precision, once for all tokens.
#[inline(always)]
pub(super) fn multiply_rows(
    packed: &Packed,
    activations: &Activations,
    out: &mut Tile<'_>,
    widen: impl Fn(u16) -> f32,
) {
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

/// The number that half-precision bits stand for, infinities and NaN excepted (packing saturates them). The exponent is
/// moved to its place by one multiplication, which gives subnormals their value too.
#[inline(always)]
fn widen(bits: u16) -> f32 {
    let magnitude =
        f32::from_bits(u32::from(bits & 0x7fff) << 13) * f32::from_bits((127 + 112) << 23);
    f32::from_bits(magnitude.to_bits() | u32::from(bits & 0x8000) << 16)
}

fn dot(weights: &[f32], values: &[f32]) -> f32 {
    let mut sums = [0.0f32; LANES];
    for (weights, values) in weights
        .as_chunks::<LANES>()
        .0
        .iter()
        .zip(values.as_chunks::<LANES>().0)
    {
        for lane in 0..LANES {
            sums[lane] += weights[lane] * values[lane];
        }
    }
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    #[test]
    fn widening_gives_every_finite_half() {
        for bits in 0..=u16::MAX {
            let exact = half::f16::from_bits(bits);
            if exact.is_finite() {
                assert_eq!(
                    super::widen(bits).to_bits(),
                    exact.to_f32().to_bits(),
                    "{bits:#06x}"
                );
            }
        }
    }
}
