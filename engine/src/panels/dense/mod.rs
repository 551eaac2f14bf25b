//! The loops that all half-precision kernels share: packing, decode and prefill over panels of rows, with single-precision
//! sums.
//!
//! As in the ternary panels, rows lie in the lanes of vectors: a step of a panel is one column (two of bfloat16, where the CPU
//! multiplies pairs) of all its rows, and an activation is broadcast to all lanes. Sums need no addition across lanes, and a
//! weight that was widened once is used by all tokens of a block. One register tile for each instruction set, a file each.

pub(crate) mod avx2;
pub(crate) mod avx512;

use crate::buffer::PackedBytes;
use crate::grid::Tile;
use crate::kernels::{PackError, Packed};
use crate::panels::ahead::ask_to_write;
use crate::weights::{self, LinearWeights};
use std::ops::Range;

/// A half-precision format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// IEEE binary16.
    F16,
    /// The upper half of single precision.
    Bf16,
}

/// Most tokens of a block: the more, the cheaper it is to widen weights for them, but their sums (32 KiB for 32 rows) and
/// activations pass through the second-level cache once for each chunk of a panel.
const MOST_TOKENS: usize = 256;

/// Packs a matrix in panels of `panel_rows` rows. `write` is given the weights of a panel, `[panel_rows][padded_cols]`, zeros
/// where the matrix ends, and its memory, of the same length.
///
/// # Errors
/// If a weight is not finite, or the system gives no memory.
pub(crate) fn pack(
    weights: &LinearWeights,
    format: Format,
    panel_rows: usize,
    padded_cols: usize,
    write: impl Fn(&[u16], &mut [u16]) + Sync + Send,
) -> Result<Packed, PackError> {
    let (rows, cols) = (weights.rows(), weights.cols());
    let panel_bytes = panel_rows * padded_cols * size_of::<u16>();
    let bytes = PackedBytes::fill(
        rows.div_ceil(panel_rows) * panel_bytes,
        panel_bytes,
        |panel, bytes| {
            let mut values = vec![0u16; panel_rows * padded_cols];
            for (index, row) in values.chunks_exact_mut(padded_cols).enumerate() {
                let row_index = panel * panel_rows + index;
                if row_index < rows {
                    match format {
                        Format::F16 => {
                            weights::read_row_f16(weights, row_index, &mut row[..cols])?;
                        }
                        Format::Bf16 => {
                            weights::read_row_bf16(weights, row_index, &mut row[..cols])?;
                        }
                    }
                }
            }
            write(&values, bytemuck::cast_slice_mut(bytes));
            Ok(())
        },
    )?;
    Ok(Packed {
        rows,
        cols,
        scale: weights.scale(),
        bytes,
    })
}

/// Decode: one token by the rows of `out`. `dot(panel)` gives the sums of a panel.
#[inline(always)]
pub(crate) fn decode<const ROWS: usize>(
    packed: &Packed,
    out: &mut Tile<'_>,
    mut dot: impl FnMut(usize) -> [f32; ROWS],
) {
    let token = out.tokens().start;
    let rows = out.cols();
    debug_assert!(rows.start.is_multiple_of(ROWS), "stripes start on a panel");
    for (index, out) in out.token(token).chunks_mut(ROWS).enumerate() {
        let sums = dot(rows.start / ROWS + index);
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = sum * packed.scale;
        }
    }
}

/// Activations of a block of tokens in the steps of a chunk, laid out as register tiles read them.
pub(crate) struct Block<'a, V, const TOKENS: usize> {
    /// `[tile][all steps][token of the tile]`
    values: &'a [[V; TOKENS]],
    all_steps: usize,
    steps: Range<usize>,
    split: Split,
}

impl<'a, V, const TOKENS: usize> Block<'a, V, TOKENS> {
    /// Values of the tile at `index` in the steps of the chunk, and the number of its tokens.
    #[inline(always)]
    pub(crate) fn tile(&self, index: usize) -> (&'a [[V; TOKENS]], usize) {
        let first = index * self.all_steps + self.steps.start;
        (
            &self.values[first..][..self.steps.len()],
            self.split.tile(index).len(),
        )
    }
}

/// Tokens shared out among register tiles as evenly as can be, because a tile of one or two tokens waits for its own sums.
#[derive(Debug, Clone, Copy)]
struct Split {
    tokens: usize,
    tiles: usize,
}

impl Split {
    fn new(tokens: usize, most: usize) -> Split {
        Split {
            tokens,
            tiles: tokens.div_ceil(most),
        }
    }

    /// The tokens of a tile.
    #[inline(always)]
    fn tile(self, index: usize) -> Range<usize> {
        let (least, larger) = (self.tokens / self.tiles, self.tokens % self.tiles);
        let first = index * least + index.min(larger);
        first..first + least + usize::from(index < larger)
    }
}

/// Prefill: the tokens by the rows of `out`, in register tiles of `TOKENS` tokens at most.
///
/// A step of a panel is one value `V` of each token: `lay(token, slot, values)` writes those of a token to a slot of every
/// step. `multiply(panel, steps, block, sums)` adds the products of `CHUNK` steps of a panel and the tokens of a block to the
/// sums of each tile, `[token of the tile][row]`.
#[inline(always)]
pub(crate) fn prefill<
    const ROWS: usize,
    const TOKENS: usize,
    const CHUNK: usize,
    V: Copy + Default,
>(
    packed: &Packed,
    steps: usize,
    out: &mut Tile<'_>,
    mut lay: impl FnMut(usize, usize, &mut [[V; TOKENS]]),
    mut multiply: impl FnMut(usize, Range<usize>, Block<'_, V, TOKENS>, &mut [[[f32; ROWS]; TOKENS]]),
) {
    let rows = out.cols();
    let tokens = out.tokens();
    debug_assert!(rows.start.is_multiple_of(ROWS), "stripes start on a panel");
    // Blocks of about the same size, so that the last is not a small one that widens weights for few tokens.
    let blocks = Split::new(tokens.len(), MOST_TOKENS);
    let most_tiles = tokens.len().div_ceil(blocks.tiles).div_ceil(TOKENS);
    let mut values = vec![[V::default(); TOKENS]; most_tiles * steps];
    let mut sums = vec![[[0.0f32; ROWS]; TOKENS]; most_tiles];
    for block in 0..blocks.tiles {
        let block = blocks.tile(block);
        let first_token = tokens.start + block.start;
        let split = Split::new(block.len(), TOKENS);
        for (index, values) in values.chunks_exact_mut(steps).take(split.tiles).enumerate() {
            for (slot, token) in split.tile(index).enumerate() {
                lay(first_token + token, slot, values);
            }
        }
        let sums = &mut sums[..split.tiles];
        for panel_start in rows.clone().step_by(ROWS) {
            let panel_rows =
                panel_start - rows.start..(panel_start + ROWS).min(rows.end) - rows.start;
            sums.fill([[0.0; ROWS]; TOKENS]);
            let chunks = Split::new(steps, CHUNK).tiles;
            for (index, from) in (0..steps).step_by(CHUNK).enumerate() {
                let chunk = from..steps.min(from + CHUNK);
                for token in block.len() * index / chunks..block.len() * (index + 1) / chunks {
                    ask_to_write(&mut out.token(first_token + token)[panel_rows.clone()]);
                }
                let values = Block {
                    values: &values,
                    all_steps: steps,
                    steps: chunk.clone(),
                    split,
                };
                multiply(panel_start / ROWS, chunk, values, sums);
            }
            for (index, sums) in sums.iter().enumerate() {
                for (token, sums) in split.tile(index).zip(sums) {
                    let out = &mut out.token(first_token + token)[panel_rows.clone()];
                    for (out, sum) in out.iter_mut().zip(sums) {
                        *out = sum * packed.scale;
                    }
                }
            }
        }
    }
}

/// Writes the values of a token to a slot of each step.
#[inline(always)]
pub(crate) fn lay<S, V, const TOKENS: usize>(
    row: &[S],
    slot: usize,
    values: &mut [[V; TOKENS]],
    value: impl Fn(&S) -> V,
) {
    for (values, from) in values.iter_mut().zip(row) {
        values[slot] = value(from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_are_even_and_cover_all_tokens_in_order() {
        for most in [6, 12, 256] {
            for tokens in 1..600 {
                let split = Split::new(tokens, most);
                let mut next = 0;
                for index in 0..split.tiles {
                    let tile = split.tile(index);
                    assert_eq!(tile.start, next);
                    assert!((tokens / split.tiles..=most).contains(&tile.len()));
                    next = tile.end;
                }
                assert_eq!(next, tokens);
            }
        }
    }
}
