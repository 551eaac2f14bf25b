//! Half-precision weights times single-precision activations with F16C and FMA: the baseline.
//!
//! Layout: groups of four rows, blocks of 16 columns. A block holds 32 bytes of each of the four rows, one row after the
//! other, so a thread reads one stream. Columns are padded with zeros and the last group with rows of zeros. Ternary weights
//! are stored as -1, 0 and +1 and their scale is applied to the sum, so that no weight is rounded.
//!
//! ```text
//! group, block k       | row 0: 16 halves | row 1 | row 2 | row 3 |     128 bytes
//! ```
//!
//! Decode widens eight halves with one instruction and is bound by memory. Prefill widens a group once for many tokens and
//! is bound by the multiply-adds.
#![expect(unsafe_code, reason = "calls across the target-feature boundary")]

use super::{
    Agreement, Family, KernelVariant, PackError, PackResult, Packed, PackedMatrix, row_blocks,
};
use crate::activations::{Activations, COLUMN_PADDING};
use crate::buffer::PackedBytes;
use crate::cpu::x86_64::{load_f32x8, load_u16x8, prefetch, store_f32x4, store_f32x8};
use crate::cpu::{Avx2F16c, Cpu, Feature};
use crate::grid::Tile;
use crate::weights::{self, LinearWeights};
use std::arch::x86_64::*;

pub(super) static VARIANT: KernelVariant = KernelVariant {
    name: "f16-avx2",
    family: Family::F16,
    requires: &[Feature::Avx2, Feature::Fma, Feature::F16c],
    bits_per_weight: 16.0,
    agreement: Agreement::Rounding(2.0),
    about: "F16C widening and fused multiply-add, four rows interleaved",
    pack,
};

/// Rows of a group.
const ROWS: usize = 4;
/// Columns of a block.
const COLUMNS: usize = 16;
/// Bytes of a block.
const BLOCK: usize = ROWS * COLUMNS * 2;
/// Prefill: steps of eight columns that are widened together; four rows of them are 16 KiB, a third of a first-level cache.
const STEPS: usize = 128;
/// Prefill: tokens of a register tile; four rows by three tokens are twelve sums, one weight and three activations.
const TOKENS: usize = 3;
/// Prefill: tokens that stay in the second-level cache (96 of 1024 columns are 384 KiB) while all rows pass.
const TOKEN_BLOCK: usize = 96;
/// How far ahead decode asks for weights, in bytes: about the latency of memory at its bandwidth.
const AHEAD: usize = 8 << 10;

/// Weights of a group in single precision: `[step][row][8 columns]`.
type Widened = [[[f32; 8]; ROWS]; STEPS];

struct F16Avx2 {
    proof: Avx2F16c,
    group_bytes: usize,
    packed: Packed,
}

fn pack(weights: &LinearWeights, cpu: &Cpu) -> PackResult {
    let proof = cpu.avx2_f16c().map_err(|missing| PackError::Unsupported {
        variant: VARIANT.name,
        missing,
    })?;
    let (rows, cols) = (weights.rows(), weights.cols());
    let padded = cols.next_multiple_of(COLUMN_PADDING);
    let group_bytes = ROWS * padded * 2;
    let bytes = PackedBytes::fill(
        rows.div_ceil(ROWS) * group_bytes,
        group_bytes,
        |group, bytes| {
            let halves: &mut [u16] = bytemuck::cast_slice_mut(bytes);
            let mut values = vec![0u16; padded];
            for row in 0..ROWS {
                values.fill(0);
                if group * ROWS + row < rows {
                    weights::read_row_f16(weights, group * ROWS + row, &mut values[..cols])?;
                }
                for (values, block) in values
                    .chunks_exact(COLUMNS)
                    .zip(halves.chunks_exact_mut(ROWS * COLUMNS))
                {
                    block[row * COLUMNS..][..COLUMNS].copy_from_slice(values);
                }
            }
            Ok(())
        },
    )?;
    let packed = Packed {
        rows,
        cols,
        scale: weights.scale(),
        bytes,
    };
    Ok(Box::new(F16Avx2 {
        proof,
        group_bytes,
        packed,
    }))
}

impl F16Avx2 {
    fn group(&self, group: usize) -> &[[u8; BLOCK]] {
        self.bytes()[group * self.group_bytes..][..self.group_bytes]
            .as_chunks::<BLOCK>()
            .0
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
        for (block, out) in self.group(row / ROWS).iter().zip(out.chunks_mut(COLUMNS)) {
            let halves: &[u16] = bytemuck::cast_slice(block);
            for (out, bits) in out.iter_mut().zip(&halves[row % ROWS * COLUMNS..]) {
                *out = half::f16::from_bits(*bits).to_f32() * self.packed.scale;
            }
        }
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn multiply(_: Avx2F16c, matrix: &F16Avx2, activations: &Activations, out: &mut Tile<'_>) {
    if out.tokens().len() == 1 {
        decode(matrix, activations, out);
    } else {
        prefill(matrix, activations, out);
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn decode(matrix: &F16Avx2, activations: &Activations, out: &mut Tile<'_>) {
    let token = out.tokens().start;
    let rows = out.cols();
    let values = activations.f32(token).as_chunks::<COLUMNS>().0;
    let out = out.token(token);
    for rows_of_group in row_blocks(rows.clone(), ROWS) {
        let sums = dot_group(matrix.group(rows_of_group.start / ROWS), values);
        let out = &mut out[rows_of_group.start - rows.start..][..rows_of_group.len()];
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = sum * matrix.packed.scale;
        }
    }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn dot_group(group: &[[u8; BLOCK]], values: &[[f32; COLUMNS]]) -> [f32; ROWS] {
    let mut sums = [[_mm256_setzero_ps(); 2]; ROWS];
    for (block, values) in group.iter().zip(values) {
        prefetch(block, AHEAD);
        prefetch(block, AHEAD + 64);
        let halves: &[[u16; 8]; 2 * ROWS] = bytemuck::cast_ref(block);
        let (values, _) = values.as_chunks::<8>();
        let x = [load_f32x8(&values[0]), load_f32x8(&values[1])];
        for row in 0..ROWS {
            for part in 0..2 {
                let w = _mm256_cvtph_ps(load_u16x8(&halves[2 * row + part]));
                sums[row][part] = _mm256_fmadd_ps(w, x[part], sums[row][part]);
            }
        }
    }
    sum_lanes([
        _mm256_add_ps(sums[0][0], sums[0][1]),
        _mm256_add_ps(sums[1][0], sums[1][1]),
        _mm256_add_ps(sums[2][0], sums[2][1]),
        _mm256_add_ps(sums[3][0], sums[3][1]),
    ])
}

/// The sum of the eight lanes of each of four vectors.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn sum_lanes(v: [__m256; ROWS]) -> [f32; ROWS] {
    let pairs = _mm256_hadd_ps(_mm256_hadd_ps(v[0], v[1]), _mm256_hadd_ps(v[2], v[3]));
    let mut sums = [0.0; ROWS];
    store_f32x4(
        &mut sums,
        _mm_add_ps(
            _mm256_castps256_ps128(pairs),
            _mm256_extractf128_ps::<1>(pairs),
        ),
    );
    sums
}

#[target_feature(enable = "avx2,fma,f16c")]
fn prefill(matrix: &F16Avx2, activations: &Activations, out: &mut Tile<'_>) {
    const BLOCKS: usize = STEPS * 8 / COLUMNS;
    let rows = out.cols();
    let tokens = out.tokens();
    let mut widened: Box<Widened> = Box::new([[[0.0; 8]; ROWS]; STEPS]);
    let mut sums = [[0.0f32; ROWS]; TOKEN_BLOCK];
    for first_token in tokens.clone().step_by(TOKEN_BLOCK) {
        let block_tokens = first_token..tokens.end.min(first_token + TOKEN_BLOCK);
        for rows_of_group in row_blocks(rows.clone(), ROWS) {
            let group = matrix.group(rows_of_group.start / ROWS);
            sums.fill([0.0; ROWS]);
            for (part, blocks) in group.chunks(BLOCKS).enumerate() {
                widen(blocks, &mut widened);
                let steps = &widened[..blocks.len() * (COLUMNS / 8)];
                let values = |token: usize| {
                    &activations.f32(token).as_chunks::<8>().0[part * STEPS..][..steps.len()]
                };
                let mut token = block_tokens.start;
                while token + TOKENS <= block_tokens.end {
                    let tile =
                        dot_tile(steps, [values(token), values(token + 1), values(token + 2)]);
                    for (sums, tile) in sums[token - first_token..].iter_mut().zip(tile) {
                        for (sum, part) in sums.iter_mut().zip(tile) {
                            *sum += part;
                        }
                    }
                    token += TOKENS;
                }
                for token in token..block_tokens.end {
                    let [tile] = dot_tile(steps, [values(token)]);
                    for (sum, part) in sums[token - first_token].iter_mut().zip(tile) {
                        *sum += part;
                    }
                }
            }
            for (token, sums) in block_tokens.clone().zip(&sums) {
                let out = &mut out.token(token)[rows_of_group.start - rows.start..]
                    [..rows_of_group.len()];
                for (out, sum) in out.iter_mut().zip(sums) {
                    *out = sum * matrix.packed.scale;
                }
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn widen(blocks: &[[u8; BLOCK]], widened: &mut Widened) {
    for (block, steps) in blocks.iter().zip(widened.as_chunks_mut::<2>().0) {
        let halves: &[[u16; 8]; 2 * ROWS] = bytemuck::cast_ref(block);
        for row in 0..ROWS {
            for part in 0..2 {
                store_f32x8(
                    &mut steps[part][row],
                    _mm256_cvtph_ps(load_u16x8(&halves[2 * row + part])),
                );
            }
        }
    }
}

/// Products of four rows and `N` tokens over at most [`STEPS`] steps.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn dot_tile<const N: usize>(
    steps: &[[[f32; 8]; ROWS]],
    values: [&[[f32; 8]]; N],
) -> [[f32; ROWS]; N] {
    let values = values.map(|row| &row[..steps.len()]);
    let mut sums = [[_mm256_setzero_ps(); ROWS]; N];
    for (index, step) in steps.iter().enumerate() {
        let mut x = [_mm256_setzero_ps(); N];
        for (x, values) in x.iter_mut().zip(values) {
            *x = load_f32x8(&values[index]);
        }
        for row in 0..ROWS {
            let w = load_f32x8(&step[row]);
            for (sums, x) in sums.iter_mut().zip(x) {
                sums[row] = _mm256_fmadd_ps(w, x, sums[row]);
            }
        }
    }
    let mut result = [[0.0; ROWS]; N];
    for (result, sums) in result.iter_mut().zip(sums) {
        *result = sum_lanes(sums);
    }
    result
}
