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
#![expect(unsafe_code, reason = "calls across the target-feature boundary")]

use super::{Agreement, Family, KernelVariant, PackError, PackResult, Packed, PackedMatrix};
use crate::activations::Activations;
use crate::cpu::x86_64::{load_u16x8, prefetch, store_f32x8};
use crate::cpu::{Avx2F16c, Cpu};
use crate::grid::Tile;
use crate::panels::dense::avx2::{CHUNK, ROWS, TOKENS, tiles};
use crate::panels::dense::{self, Format};
use crate::weights::LinearWeights;
use std::arch::x86_64::*;

pub(super) static VARIANT: KernelVariant = KernelVariant {
    name: "f16-avx2",
    family: Family::F16,
    requires: Avx2F16c::FEATURES,
    bits_per_weight: 16.0,
    agreement: Agreement::Rounding(2.0),
    about: "F16C widening and fused multiply-add, 16 rows in lanes",
    pack,
};

/// Columns are padded to a multiple of this.
const COLUMNS: usize = 8;
/// Decode: columns whose sums are kept apart, so that no multiply-add waits for the one before it.
const APART: usize = 4;
/// Decode: how far ahead weights are asked for, in bytes: about the latency of memory at its bandwidth.
const AHEAD: usize = 8 << 10;

struct F16Avx2 {
    proof: Avx2F16c,
    /// Columns of a panel, padding included.
    columns: usize,
    packed: Packed,
}

fn pack(weights: &LinearWeights, cpu: &Cpu) -> PackResult {
    let proof = cpu.avx2_f16c().map_err(|missing| PackError::Unsupported {
        variant: VARIANT.name,
        missing,
    })?;
    let columns = weights.cols().next_multiple_of(COLUMNS);
    let packed = dense::pack(weights, Format::F16, ROWS, columns, |rows, panel| {
        for (column, lanes) in panel.as_chunks_mut::<ROWS>().0.iter_mut().enumerate() {
            for (row, lane) in lanes.iter_mut().enumerate() {
                *lane = rows[row * columns + column];
            }
        }
    })?;
    Ok(Box::new(F16Avx2 {
        proof,
        columns,
        packed,
    }))
}

impl F16Avx2 {
    fn panel(&self, panel: usize) -> &[[u16; ROWS]] {
        let columns: &[[u16; ROWS]] = bytemuck::cast_slice(self.bytes());
        &columns[panel * self.columns..][..self.columns]
    }

    /// The bytes of a chunk that lies after a column of a panel, less at the end of the matrix.
    fn after(&self, panel: usize, column: usize) -> &[u8] {
        let first = (panel * self.columns + column) * size_of::<[u16; ROWS]>();
        let rest = &self.bytes()[first..];
        &rest[..rest.len().min(size_of::<[[u16; ROWS]; CHUNK]>())]
    }
}

impl PackedMatrix for F16Avx2 {
    fn packed(&self) -> &Packed {
        &self.packed
    }

    fn row_block(&self) -> usize {
        ROWS
    }

    fn multiply(&self, activations: &Activations, out: &mut Tile<'_>) {
        assert_eq!(
            activations.cols(),
            self.cols(),
            "activations of this matrix"
        );
        // SAFETY: `self.proof` exists only where these features were detected.
        unsafe { multiply(self.proof, self, activations, out) }
    }

    fn unpack_row(&self, row: usize, out: &mut [f32]) {
        for (lanes, out) in self.panel(row / ROWS).iter().zip(out) {
            *out = half::f16::from_bits(lanes[row % ROWS]).to_f32() * self.packed.scale;
        }
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn multiply(_: Avx2F16c, matrix: &F16Avx2, activations: &Activations, out: &mut Tile<'_>) {
    let packed = &matrix.packed;
    if out.tokens().len() == 1 {
        let values = activations.f32(out.tokens().start);
        dense::decode(packed, out, |panel| dot(matrix.panel(panel), values));
    } else {
        let mut widened = [[0.0f32; ROWS]; CHUNK];
        dense::prefill::<ROWS, TOKENS, CHUNK, f32>(
            packed,
            matrix.columns,
            out,
            |token, slot, values| dense::lay(activations.f32(token), slot, values, |v| *v),
            |panel, columns, block, sums| {
                let weights = &matrix.panel(panel)[columns.clone()];
                let widened = &mut widened[..weights.len()];
                widen(weights, widened);
                tiles(widened, &block, sums, matrix.after(panel, columns.end));
            },
        );
    }
}

/// Sums of the rows of a panel.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn dot(panel: &[[u16; ROWS]], values: &[f32]) -> [f32; ROWS] {
    let (steps, _) = panel.as_chunks::<APART>();
    let values = &values.as_chunks::<APART>().0[..steps.len()];
    let mut sums = [[_mm256_setzero_ps(); 2]; APART];
    for (step, values) in steps.iter().zip(values) {
        let bytes: &[u8; 2 * APART * ROWS] = bytemuck::cast_ref(step);
        prefetch(bytes, AHEAD);
        prefetch(bytes, AHEAD + 64);
        for column in 0..APART {
            let x = _mm256_set1_ps(values[column]);
            let w = widen_column(&step[column]);
            sums[column][0] = _mm256_fmadd_ps(w[0], x, sums[column][0]);
            sums[column][1] = _mm256_fmadd_ps(w[1], x, sums[column][1]);
        }
    }
    let mut result = [0.0; ROWS];
    let (halves, _) = result.as_chunks_mut::<8>();
    for half in 0..2 {
        let pairs = [
            _mm256_add_ps(sums[0][half], sums[1][half]),
            _mm256_add_ps(sums[2][half], sums[3][half]),
        ];
        store_f32x8(&mut halves[half], _mm256_add_ps(pairs[0], pairs[1]));
    }
    result
}

/// Rows 0-7 and 8-15 of a column in single precision.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn widen_column(lanes: &[u16; ROWS]) -> [__m256; 2] {
    let (halves, _) = lanes.as_chunks::<8>();
    [
        _mm256_cvtph_ps(load_u16x8(&halves[0])),
        _mm256_cvtph_ps(load_u16x8(&halves[1])),
    ]
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn widen(weights: &[[u16; ROWS]], widened: &mut [[f32; ROWS]]) {
    for (from, to) in weights.iter().zip(widened) {
        let (halves, _) = to.as_chunks_mut::<8>();
        let w = widen_column(from);
        store_f32x8(&mut halves[0], w[0]);
        store_f32x8(&mut halves[1], w[1]);
    }
}
