//! Weights in bfloat16 in portable Rust: the reference of its family.
//!
//! Layout: one row after the other, columns padded with zeros. Ternary weights are stored as -1, 0 and +1 and their scale is
//! applied to the sum. A row is widened once for all tokens of a batch.

use super::f16_scalar::dot;
use super::{Agreement, Family, KernelVariant, PackResult, Packed, PackedMatrix};
use crate::activations::{Activations, COLUMN_PADDING};
use crate::buffer::PackedBytes;
use crate::cpu::Cpu;
use crate::grid::Tile;
use crate::weights::{self, LinearWeights};

pub(super) static VARIANT: KernelVariant = KernelVariant {
    name: "bf16-scalar",
    family: Family::Bf16,
    requires: &[],
    bits_per_weight: 16.0,
    agreement: Agreement::Rounding(2.0),
    about: "portable Rust, bfloat16 weights, single-precision sums",
    pack,
};

struct Bf16Scalar {
    padded: usize,
    packed: Packed,
}

fn pack(weights: &LinearWeights, _: &Cpu) -> PackResult {
    let (rows, cols) = (weights.rows(), weights.cols());
    let padded = cols.next_multiple_of(COLUMN_PADDING);
    let bytes = PackedBytes::fill(rows * padded * 2, padded * 2, |row, bytes| {
        weights::read_row_bf16(weights, row, &mut bytemuck::cast_slice_mut(bytes)[..cols])
    })?;
    let packed = Packed {
        rows,
        cols,
        scale: weights.scale(),
        bytes,
    };
    Ok(Box::new(Bf16Scalar { padded, packed }))
}

impl Bf16Scalar {
    fn row(&self, row: usize) -> &[u16] {
        &bytemuck::cast_slice(self.bytes())[row * self.padded..][..self.padded]
    }
}

impl PackedMatrix for Bf16Scalar {
    fn packed(&self) -> &Packed {
        &self.packed
    }

    fn row_block(&self) -> usize {
        1
    }

    fn multiply(&self, activations: &Activations, out: &mut Tile<'_>) {
        assert_eq!(
            activations.cols(),
            self.cols(),
            "activations of this matrix"
        );
        let rows = out.cols();
        let tokens = out.tokens();
        let mut widened = vec![0.0f32; self.padded];
        for (index, row) in rows.enumerate() {
            for (to, from) in widened.iter_mut().zip(self.row(row)) {
                *to = widen(*from);
            }
            for token in tokens.clone() {
                out.token(token)[index] = dot(&widened, activations.f32(token)) * self.packed.scale;
            }
        }
    }

    fn unpack_row(&self, row: usize, out: &mut [f32]) {
        for (to, from) in out.iter_mut().zip(self.row(row)) {
            *to = widen(*from) * self.packed.scale;
        }
    }
}

/// The number that bfloat16 bits stand for: they are the upper half of single precision.
#[inline(always)]
fn widen(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}
