//! Half-precision weights times single-precision activations with Advanced SIMD (`fcvtl`, `fmla` by element): the baseline.
//!
//! Layout: panels of 16 rows, blocks of four columns. A block holds the 16 rows of each of its columns, one column after the
//! other, so a thread reads one stream. Columns are padded with zeros and the last panel with rows of zeros. Ternary weights
//! are stored as -1, 0 and +1 and their scale is applied to the sum, so that no weight is rounded.
//!
//! ```text
//! panel, block k       | column 0: 16 halves, rows 0-15 | column 1 | column 2 | column 3 |     128 bytes
//! ```
//!
//! Rows lie in lanes: `fmla` by element takes the activations of four columns from one vector, and no sum crosses lanes. Decode
//! widens as it goes and is bound by memory. Prefill widens a chunk of a panel once for many tokens: 16 rows by six tokens are
//! 24 sums, which with six vectors of activations and two of weights fill the 32 registers.
#![expect(unsafe_code, reason = "calls across the target-feature boundary")]

use super::{Agreement, Family, KernelVariant, PackError, PackResult, Packed, PackedMatrix};
use crate::activations::Activations;
use crate::buffer::PackedBytes;
use crate::cpu::aarch64::{load_f16x8, load_f32x4, prefetch, store_f32x4};
use crate::cpu::{Cpu, Neon};
use crate::grid::Tile;
use crate::weights::{self, LinearWeights};
use std::arch::aarch64::*;

pub(super) static VARIANT: KernelVariant = KernelVariant {
    name: "f16-neon",
    family: Family::F16,
    requires: Neon::FEATURES,
    bits_per_weight: 16.0,
    agreement: Agreement::Rounding(2.0),
    about: "widening to single precision and fused multiply-add by element, 16 rows in lanes",
    pack,
};

/// Rows of a panel.
const ROWS: usize = 16;
/// Columns of a block.
const COLUMNS: usize = 4;
/// A block: `[column][rows 0-7, rows 8-15]`.
type Block = [[[u16; 8]; 2]; COLUMNS];
/// Prefill: blocks that are widened together, 16 KiB.
const CHUNK: usize = 64;
/// Prefill: tokens of a full register tile.
const TOKENS: usize = 6;
/// Prefill: bytes of activations that stay in the second-level cache while all rows pass.
const TOKEN_BLOCK_BYTES: usize = 320 << 10;
/// Most tokens of a block: their sums (6 KiB) share the first-level cache with the weights.
const MOST_TOKENS: usize = 96;
/// How far ahead decode asks for weights, in bytes: about the latency of memory at its bandwidth.
const AHEAD: usize = 8 << 10;

/// Vectors of four rows.
const VECTORS: usize = ROWS / 4;
/// A block in single precision: `[column][row]`.
type Widened = [[f32; ROWS]; COLUMNS];

/// Weights in this layout.
struct Panels {
    /// Blocks of a panel.
    blocks: usize,
    packed: Packed,
}

struct F16Neon {
    neon: Neon,
    panels: Panels,
}

fn pack(weights: &LinearWeights, cpu: &Cpu) -> PackResult {
    let neon = cpu.neon().map_err(|missing| PackError::Unsupported {
        variant: VARIANT.name,
        missing,
    })?;
    let panels = Panels::pack(weights)?;
    Ok(Box::new(F16Neon { neon, panels }))
}

impl Panels {
    fn pack(weights: &LinearWeights) -> Result<Panels, PackError> {
        let (rows, cols) = (weights.rows(), weights.cols());
        let blocks = cols.div_ceil(COLUMNS);
        let panel_bytes = blocks * size_of::<Block>();
        let bytes = PackedBytes::fill(
            rows.div_ceil(ROWS) * panel_bytes,
            panel_bytes,
            |panel, bytes| {
                let halves: &mut [u16] = bytemuck::cast_slice_mut(bytes);
                let mut values = vec![0u16; cols];
                for row in (0..ROWS).take_while(|row| panel * ROWS + row < rows) {
                    weights::read_row_f16(weights, panel * ROWS + row, &mut values)?;
                    for (column, value) in halves.chunks_exact_mut(ROWS).zip(&values) {
                        column[row] = *value;
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
        Ok(Panels { blocks, packed })
    }

    fn panel(&self, panel: usize) -> &[Block] {
        let halves: &[u16] = bytemuck::cast_slice(self.packed.bytes.bytes());
        let columns = halves.as_chunks::<8>().0.as_chunks::<2>().0;
        &columns.as_chunks::<COLUMNS>().0[panel * self.blocks..][..self.blocks]
    }

    fn unpack_row(&self, row: usize, out: &mut [f32]) {
        let columns = self.panel(row / ROWS).as_flattened();
        for (out, rows) in out.iter_mut().zip(columns) {
            let bits = rows.as_flattened()[row % ROWS];
            *out = half::f16::from_bits(bits).to_f32() * self.packed.scale;
        }
    }
}

impl PackedMatrix for F16Neon {
    fn packed(&self) -> &Packed {
        &self.panels.packed
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
        // SAFETY: `self.neon` exists only where Advanced SIMD was detected.
        unsafe { multiply(self.neon, &self.panels, activations, out) }
    }

    fn unpack_row(&self, row: usize, out: &mut [f32]) {
        self.panels.unpack_row(row, out);
    }
}

#[target_feature(enable = "neon")]
fn multiply(_: Neon, panels: &Panels, activations: &Activations, out: &mut Tile<'_>) {
    if out.tokens().len() == 1 {
        decode(panels, activations, out);
    } else {
        prefill(panels, activations, out);
    }
}

#[target_feature(enable = "neon")]
fn decode(panels: &Panels, activations: &Activations, out: &mut Tile<'_>) {
    let token = out.tokens().start;
    let first_panel = out.cols().start / ROWS;
    let values = activations.f32(token).as_chunks::<COLUMNS>().0;
    for (index, out) in out.token(token).chunks_mut(ROWS).enumerate() {
        let sums = dot(panels.panel(first_panel + index), values);
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = sum * panels.packed.scale;
        }
    }
}

/// Sums of `w * x` over the rows of a panel, each column of a block in sums of its own: sixteen chains of additions, which
/// hide the latency of four.
#[inline]
#[target_feature(enable = "neon")]
fn dot(panel: &[Block], values: &[[f32; COLUMNS]]) -> [f32; ROWS] {
    let mut sums = [[vdupq_n_f32(0.0); VECTORS]; COLUMNS];
    for (block, x) in panel.iter().zip(values) {
        let bytes: &[u8] = bytemuck::cast_slice(block);
        prefetch(bytes, AHEAD);
        prefetch(bytes, AHEAD + 64);
        let x = load_f32x4(x);
        add_column::<0>(&block[0], x, &mut sums[0]);
        add_column::<1>(&block[1], x, &mut sums[1]);
        add_column::<2>(&block[2], x, &mut sums[2]);
        add_column::<3>(&block[3], x, &mut sums[3]);
    }
    let mut result = [0.0; ROWS];
    let (vectors, _) = result.as_chunks_mut::<4>();
    for vector in 0..VECTORS {
        let even = vaddq_f32(sums[0][vector], sums[2][vector]);
        let odd = vaddq_f32(sums[1][vector], sums[3][vector]);
        store_f32x4(&mut vectors[vector], vaddq_f32(even, odd));
    }
    result
}

#[inline]
#[target_feature(enable = "neon")]
fn add_column<const C: i32>(
    column: &[[u16; 8]; 2],
    x: float32x4_t,
    sums: &mut [float32x4_t; VECTORS],
) {
    let w = widen(column);
    for vector in 0..VECTORS {
        sums[vector] = vfmaq_laneq_f32::<C>(sums[vector], w[vector], x);
    }
}

/// A column in single precision.
#[inline]
#[target_feature(enable = "neon")]
fn widen(column: &[[u16; 8]; 2]) -> [float32x4_t; VECTORS] {
    let (first, second) = (load_f16x8(&column[0]), load_f16x8(&column[1]));
    [
        vcvt_f32_f16(vget_low_f16(first)),
        vcvt_high_f32_f16(first),
        vcvt_f32_f16(vget_low_f16(second)),
        vcvt_high_f32_f16(second),
    ]
}

#[target_feature(enable = "neon")]
fn prefill(panels: &Panels, activations: &Activations, out: &mut Tile<'_>) {
    let rows = out.cols();
    let tokens = out.tokens();
    let blocks = panels.blocks;
    let fitting = TOKEN_BLOCK_BYTES / (size_of::<f32>() * blocks * COLUMNS);
    let tiles = fitting.clamp(2 * TOKENS, MOST_TOKENS) / TOKENS;
    let tiles = tiles.min(tokens.len().div_ceil(TOKENS));
    let mut widened = vec![[[0.0f32; ROWS]; COLUMNS]; CHUNK.min(blocks)];
    let mut values = vec![[[0.0f32; COLUMNS]; TOKENS]; tiles * blocks];
    let mut sums = vec![[[0.0f32; ROWS]; TOKENS]; tiles];
    for first in tokens.clone().step_by(tiles * TOKENS) {
        let block_tokens = first..tokens.end.min(first + tiles * TOKENS);
        let tiles = block_tokens.len().div_ceil(TOKENS);
        for (tile, values) in values.chunks_exact_mut(blocks).take(tiles).enumerate() {
            arrange(activations, first + tile * TOKENS, values);
        }
        for panel_start in rows.clone().step_by(ROWS) {
            sums.fill([[0.0; ROWS]; TOKENS]);
            for from in (0..blocks).step_by(CHUNK) {
                let chunk = from..blocks.min(from + CHUNK);
                let widened = &mut widened[..chunk.len()];
                widen_blocks(&panels.panel(panel_start / ROWS)[chunk.clone()], widened);
                for (values, sums) in values.chunks_exact(blocks).zip(&mut sums[..tiles]) {
                    tile(widened, &values[chunk.clone()], sums);
                }
            }
            let panel_rows =
                panel_start - rows.start..(panel_start + ROWS).min(rows.end) - rows.start;
            for (token, sums) in block_tokens.clone().zip(sums.iter().flatten()) {
                let out = &mut out.token(token)[panel_rows.clone()];
                for (out, sum) in out.iter_mut().zip(sums) {
                    *out = sum * panels.packed.scale;
                }
            }
        }
    }
}

/// Lays out the activations of a tile of tokens as `[block][token][column]`; tokens past the last are zeros.
fn arrange(activations: &Activations, first: usize, values: &mut [[[f32; COLUMNS]; TOKENS]]) {
    for index in 0..TOKENS {
        let token = first + index;
        if token < activations.batch() {
            let (row, _) = activations.f32(token).as_chunks::<COLUMNS>();
            for (values, row) in values.iter_mut().zip(row) {
                values[index] = *row;
            }
        } else {
            for values in values.iter_mut() {
                values[index] = [0.0; COLUMNS];
            }
        }
    }
}

#[inline]
#[target_feature(enable = "neon")]
fn widen_blocks(blocks: &[Block], widened: &mut [Widened]) {
    for (block, widened) in blocks.iter().zip(widened) {
        for column in 0..COLUMNS {
            let w = widen(&block[column]);
            let (vectors, _) = widened[column].as_chunks_mut::<4>();
            for vector in 0..VECTORS {
                store_f32x4(&mut vectors[vector], w[vector]);
            }
        }
    }
}

/// Adds the products of 16 rows and six tokens over the columns of a chunk. A call of its own, so that the registers are its
/// own too.
#[inline(never)]
#[target_feature(enable = "neon")]
fn tile(
    widened: &[Widened],
    values: &[[[f32; COLUMNS]; TOKENS]],
    sums: &mut [[f32; ROWS]; TOKENS],
) {
    // Loops over constant ranges are unrolled; iterators over arrays of vectors are not, and the vectors stay in memory.
    let mut totals = [[vdupq_n_f32(0.0); VECTORS]; TOKENS];
    for (columns, values) in widened.iter().zip(values) {
        let mut x = [vdupq_n_f32(0.0); TOKENS];
        for token in 0..TOKENS {
            x[token] = load_f32x4(&values[token]);
        }
        tile_column::<0>(&columns[0], x, &mut totals);
        tile_column::<1>(&columns[1], x, &mut totals);
        tile_column::<2>(&columns[2], x, &mut totals);
        tile_column::<3>(&columns[3], x, &mut totals);
    }
    for token in 0..TOKENS {
        let (vectors, _) = sums[token].as_chunks_mut::<4>();
        for vector in 0..VECTORS {
            let total = vaddq_f32(load_f32x4(&vectors[vector]), totals[token][vector]);
            store_f32x4(&mut vectors[vector], total);
        }
    }
}

#[inline]
#[target_feature(enable = "neon")]
fn tile_column<const C: i32>(
    column: &[f32; ROWS],
    x: [float32x4_t; TOKENS],
    totals: &mut [[float32x4_t; VECTORS]; TOKENS],
) {
    let (vectors, _) = column.as_chunks::<4>();
    for vector in 0..VECTORS {
        let w = load_f32x4(&vectors[vector]);
        for token in 0..TOKENS {
            totals[token][vector] = vfmaq_laneq_f32::<C>(totals[token][vector], w, x[token]);
        }
    }
}
