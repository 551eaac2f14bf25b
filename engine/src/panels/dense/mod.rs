//! The loops that all half-precision kernels share: packing, decode and prefill over panels of rows, with single-precision
//! sums.
//!
//! As in the ternary panels, rows lie in the lanes of vectors: a step of a panel is one column (two of bfloat16, where the CPU
//! multiplies pairs) of all its rows, and an activation is broadcast to all lanes. Sums need no addition across lanes, and a
//! weight that was widened once is used by all tokens of a block. One file for each instruction set.

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
#[cfg(target_arch = "aarch64")]
pub(crate) mod neon;

use crate::activations::Activations;
use crate::buffer::PackedBytes;
use crate::grid::Tile;
use crate::kernels::{PackError, Packed};
use crate::panels::ahead::{ask_to_read, ask_to_write, share};
use crate::weights::LinearWeights;
use bytemuck::Pod;
use std::ops::Range;

/// Columns are padded with zeros to a multiple of this.
const COLUMNS: usize = 8;
/// Most tokens of a block: the more, the cheaper it is to widen weights for them, but their sums (32 KiB for 32 rows) and
/// activations pass through the second-level cache once for each chunk of a panel.
const MOST_TOKENS: usize = 256;

/// Columns of a panel, padding included.
pub(crate) fn columns(packed: &Packed) -> usize {
    packed.cols.next_multiple_of(COLUMNS)
}

/// Packs a matrix in panels of `panel_rows` rows. `read_row` gives a row of the weights in half precision; `write` is given the
/// weights of a panel, `[panel_rows][columns]`, zeros where the matrix ends, and its memory, of the same length.
///
/// # Errors
/// If a weight is not finite, or the system gives no memory.
pub(crate) fn pack(
    weights: &LinearWeights,
    panel_rows: usize,
    read_row: impl Fn(&LinearWeights, usize, &mut [u16]) -> Result<(), PackError> + Sync,
    write: impl Fn(&[u16], &mut [u16]) + Sync + Send,
) -> Result<Packed, PackError> {
    let (rows, cols) = (weights.rows(), weights.cols());
    let padded = cols.next_multiple_of(COLUMNS);
    let panel_bytes = panel_rows * padded * size_of::<u16>();
    let bytes = PackedBytes::fill(
        rows.div_ceil(panel_rows) * panel_bytes,
        panel_bytes,
        |panel, bytes| {
            let mut values = vec![0u16; panel_rows * padded];
            for (index, row) in values.chunks_exact_mut(padded).enumerate() {
                let row_index = panel * panel_rows + index;
                if row_index < rows {
                    read_row(weights, row_index, &mut row[..cols])?;
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

/// [`pack`] with columns one after the other; a row of a panel lies at `place(row)` in each of them.
///
/// # Errors
/// If a weight is not finite, or the system gives no memory.
pub(crate) fn pack_columns<const ROWS: usize>(
    weights: &LinearWeights,
    read_row: impl Fn(&LinearWeights, usize, &mut [u16]) -> Result<(), PackError> + Sync,
    place: impl Fn(usize) -> usize + Sync + Send,
) -> Result<Packed, PackError> {
    pack(weights, ROWS, read_row, |rows, panel| {
        let padded = rows.len() / ROWS;
        for (column, lanes) in panel.as_chunks_mut::<ROWS>().0.iter_mut().enumerate() {
            for (row, value) in rows.iter().skip(column).step_by(padded).enumerate() {
                lanes[place(row)] = *value;
            }
        }
    })
}

/// The weights of a panel.
pub(crate) fn panel<const ROWS: usize>(packed: &Packed, index: usize) -> &[[u16; ROWS]] {
    let columns = columns(packed);
    let all: &[[u16; ROWS]] = bytemuck::cast_slice(packed.bytes.bytes());
    &all[index * columns..][..columns]
}

/// The bytes of the `most` columns from `column` of a panel on, less at the end of the matrix.
pub(crate) fn after<const ROWS: usize>(
    packed: &Packed,
    index: usize,
    column: usize,
    most: usize,
) -> &[u8] {
    let first = (index * columns(packed) + column) * size_of::<[u16; ROWS]>();
    let rest = &packed.bytes.bytes()[first..];
    &rest[..rest.len().min(most * size_of::<[u16; ROWS]>())]
}

/// Multiplies the rows of `out` by its tokens, where columns lie one after the other. A step is as many columns as `V` holds
/// activations. `dot(panel, values)` gives the sums of a panel for one token; `widen(columns, widened)` gives columns in single
/// precision; `tile(widened, values, tokens, sums)` adds the products of some columns and the tokens of a register tile.
#[inline(always)]
pub(crate) fn multiply<
    const ROWS: usize,
    const TOKENS: usize,
    const CHUNK: usize,
    V: Pod + Default,
>(
    packed: &Packed,
    activations: &Activations,
    out: &mut Tile<'_>,
    mut dot: impl FnMut(&[[u16; ROWS]], &[f32]) -> [f32; ROWS],
    mut widen: impl FnMut(&[[u16; ROWS]], &mut [[f32; ROWS]]),
    mut tile: impl FnMut(&[[f32; ROWS]], &[[V; TOKENS]], usize, &mut [[f32; ROWS]; TOKENS]),
) {
    if out.tokens().len() == 1 {
        let values = activations.f32(out.tokens().start);
        decode(packed, out, |index| dot(panel(packed, index), values));
        return;
    }
    let step = size_of::<V>() / size_of::<f32>();
    let mut widened = vec![[0.0f32; ROWS]; CHUNK * step];
    prefill::<ROWS, TOKENS, CHUNK, V>(
        packed,
        columns(packed) / step,
        out,
        |token, slot, values| {
            lay(
                bytemuck::cast_slice(activations.f32(token)),
                slot,
                values,
                |v: &V| *v,
            );
        },
        |index, steps, block, sums| {
            let columns = steps.start * step..steps.end * step;
            let next = after::<ROWS>(packed, index, columns.end, CHUNK * step);
            let weights = &panel(packed, index)[columns];
            let widened = &mut widened[..weights.len()];
            widen(weights, widened);
            for_tiles(&block, sums, next, |values, tokens, sums| {
                tile(widened, values, tokens, sums)
            });
        },
    );
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
    fn tile(&self, index: usize) -> (&'a [[V; TOKENS]], usize) {
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

/// Goes through the tiles of a block: `tile(values, tokens, sums)` adds the products of one that has `tokens` tokens. Meanwhile
/// it asks for `next`, the weights that come after these.
#[inline(always)]
pub(crate) fn for_tiles<const ROWS: usize, const TOKENS: usize, V>(
    block: &Block<'_, V, TOKENS>,
    sums: &mut [[[f32; ROWS]; TOKENS]],
    next: &[u8],
    mut tile: impl FnMut(&[[V; TOKENS]], usize, &mut [[f32; ROWS]; TOKENS]),
) {
    let count = sums.len();
    for (index, sums) in sums.iter_mut().enumerate() {
        ask_to_read(share(next, index, count));
        let (values, tokens) = block.tile(index);
        tile(values, tokens, sums);
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
