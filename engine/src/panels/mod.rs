//! The loops that all kernels with int8 activations share: packing, decode and prefill over panels of rows.
//!
//! A panel is `ROWS` rows of a matrix whose rows lie in the lanes of vectors: each 32-bit lane holds four consecutive columns
//! of one row, and four activations are broadcast to all lanes. Sums then need no addition across lanes, and activations stay
//! in their natural order for every kernel.
//!
//! Prefill unpacks a chunk of a panel once, to one byte for each weight, and multiplies it by many tokens. The unpacked form
//! is the same for all families of an instruction set, so one register tile serves them all: one file each in this folder.
//! A kernel passes closures: they are made in its `#[target_feature]` function and so compiled for its instruction set.

pub(crate) mod ahead;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512_lut;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512_mixed;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512_vnni;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avxvnni;
pub(crate) mod blocks;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(crate) mod dense;
pub(crate) mod lut;
#[cfg(target_arch = "x86_64")]
pub(crate) mod lut_avx2;
#[cfg(target_arch = "aarch64")]
pub(crate) mod neon;
#[cfg(target_arch = "aarch64")]
pub(crate) mod neon_dotprod;
#[cfg(target_arch = "aarch64")]
pub(crate) mod neon_i8mm;
#[cfg(target_arch = "aarch64")]
pub(crate) mod neon_lut;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(crate) mod planes;
pub(crate) mod portable;

use crate::activations::Activations;
use crate::buffer::{PackedBytes, on_lines};
use crate::grid::Tile;
use crate::kernels::{PackError, Packed};
use crate::weights::TernaryMatrix;
use ahead::{ask_to_read, ask_to_write, share};
use std::ops::Range;

/// Columns that lie together in a 32-bit lane.
pub(crate) const STEP: usize = 4;

/// Unpacked weights of one step: `w + 1` of [`STEP`] columns of each row of a panel, `[row][column]`; `BYTES` is four times
/// the rows.
pub(crate) type Codes<const BYTES: usize> = [u8; BYTES];

/// Bytes of activations that stay in the second-level cache while all rows of a matrix pass: the smallest such cache of
/// server CPUs has 512 KiB, and weights pass through it too.
const TOKEN_BLOCK_BYTES: usize = 320 << 10;
/// Most tokens of a block: their sums (48 KiB for 64 rows) share the first-level cache with the weights.
const MOST_TOKENS: usize = 192;

/// Packs a matrix in panels of `panel_rows` rows and `panel_bytes` bytes. `write` is given the weights of a panel,
/// `[panel_rows][padded_cols]`, zeros where the matrix ends, and its bytes.
///
/// # Errors
/// If the system gives no memory.
pub(crate) fn pack(
    matrix: &TernaryMatrix,
    panel_rows: usize,
    padded_cols: usize,
    panel_bytes: usize,
    write: impl Fn(&[i8], &mut [u8]) + Sync + Send,
) -> Result<Packed, PackError> {
    let (rows, cols) = (matrix.rows(), matrix.cols());
    let bytes = PackedBytes::fill(
        rows.div_ceil(panel_rows) * panel_bytes,
        panel_bytes,
        |panel, bytes| {
            let mut weights = vec![0i8; panel_rows * padded_cols];
            for (index, row) in weights.chunks_exact_mut(padded_cols).enumerate() {
                if panel * panel_rows + index < rows {
                    matrix.read_row(panel * panel_rows + index, &mut row[..cols]);
                }
            }
            write(&weights, bytes);
            Ok(())
        },
    )?;
    Ok(Packed {
        rows,
        cols,
        scale: matrix.scale(),
        bytes,
    })
}

/// Multiplies the rows of `out` by its tokens, where panels are blocks of `BLOCK` bytes and `COLUMNS` columns. `dot(panel, values,
/// sum)` gives the sums of `w * a` of a panel for one token; `sum` is that of its activations. `unpack(blocks, codes)` writes the
/// codes of some blocks. For the rest see [`prefill`].
#[inline(always)]
pub(crate) fn multiply<
    const ROWS: usize,
    const BYTES: usize,
    const COLUMNS: usize,
    const BLOCK: usize,
    const CHUNK: usize,
    const TOKENS: usize,
    const WIDE: usize,
>(
    packed: &Packed,
    activations: &Activations,
    out: &mut Tile<'_>,
    mut dot: impl FnMut(&[[u8; BLOCK]], &[i8], i32) -> [i32; ROWS],
    mut unpack: impl FnMut(&[[u8; BLOCK]], &mut [Codes<BYTES>]),
    tile: impl FnMut(&[Codes<BYTES>], &[TileStep<TOKENS>], &mut [[i32; ROWS]; TOKENS]),
) {
    const { assert!(CHUNK.is_multiple_of(COLUMNS), "a chunk is whole blocks") };
    if out.tokens().len() == 1 {
        let token = out.tokens().start;
        let (values, sum) = (activations.int8(token), activations.sum(token));
        decode(packed, activations, out, |panel| {
            dot(packed.blocks::<COLUMNS, BLOCK>(panel), values, sum)
        });
    } else {
        prefill::<ROWS, BYTES, 1, CHUNK, TOKENS, WIDE>(
            packed,
            packed.cols.next_multiple_of(COLUMNS),
            activations,
            out,
            |panel, columns, codes| {
                let blocks = packed.blocks::<COLUMNS, BLOCK>(panel);
                unpack(&blocks[columns.start / COLUMNS..], codes);
            },
            tile,
        );
    }
}

/// Decode: one token by the rows of `out`. `dot(panel)` gives the sums of `w * a` of a panel.
#[inline(always)]
pub(crate) fn decode<const ROWS: usize>(
    packed: &Packed,
    activations: &Activations,
    out: &mut Tile<'_>,
    mut dot: impl FnMut(usize) -> [i32; ROWS],
) {
    let token = out.tokens().start;
    let rows = out.cols();
    debug_assert!(rows.start.is_multiple_of(ROWS), "stripes start on a panel");
    let out = out.token(token);
    for (index, out) in out.chunks_mut(ROWS).enumerate() {
        let sums = dot(rows.start / ROWS + index);
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = activations.rescale(token, sum, packed.scale);
        }
    }
}

/// Activations of the tokens of a register tile in the columns of a step: four int8 values in each word, the first column in
/// the lowest byte. Words, because compilers take four bytes apart that they are given one by one.
pub(crate) type TileStep<const TOKENS: usize> = [i32; TOKENS];

/// Prefill: the tokens by the rows of `out`. `unpack(panel, columns, codes)` writes the weights of some columns of a panel of
/// `TILES * ROWS` rows, all steps of the first `ROWS` rows, then those of the next; `tile(codes, values, sums)` adds the sums
/// of `(w + 1) * a` over them for `ROWS` rows and `TOKENS` tokens. `cols` are the columns as packed, a multiple of [`STEP`]
/// that is at most [`crate::activations::COLUMN_PADDING`] beyond those of the matrix; `CHUNK` columns are unpacked at a time.
///
/// The activations of a block of tokens are first laid out as the tiles read them, one stream and no bounds to check; tokens
/// that a last tile lacks are zeros. A tile reads `WIDE` steps of a token together: `WIDE` consecutive [`TileStep`]s hold them as
/// `[token][step]`. `cols` and `CHUNK` are multiples of `WIDE` steps.
#[inline(always)]
pub(crate) fn prefill<
    const ROWS: usize,
    const BYTES: usize,
    const TILES: usize,
    const CHUNK: usize,
    const TOKENS: usize,
    const WIDE: usize,
>(
    packed: &Packed,
    cols: usize,
    activations: &Activations,
    out: &mut Tile<'_>,
    mut unpack: impl FnMut(usize, Range<usize>, &mut [Codes<BYTES>]),
    mut tile: impl FnMut(&[Codes<BYTES>], &[TileStep<TOKENS>], &mut [[i32; ROWS]; TOKENS]),
) {
    const { assert!(BYTES == ROWS * STEP && CHUNK.is_multiple_of(WIDE * STEP)) };
    debug_assert!(cols.is_multiple_of(WIDE * STEP), "whole groups of steps");
    let rows = out.cols();
    let tokens = out.tokens();
    let panel_rows = TILES * ROWS;
    debug_assert!(
        rows.start.is_multiple_of(panel_rows),
        "stripes start on a panel"
    );
    let steps = cols / STEP;
    let tiles = (TOKEN_BLOCK_BYTES / cols).clamp(2 * TOKENS, MOST_TOKENS) / TOKENS;
    let tiles = tiles.min(tokens.len().div_ceil(TOKENS));
    let (mut codes, mut sums) = (Vec::new(), Vec::new());
    let codes = on_lines(&mut codes, TILES * (CHUNK.min(cols) / STEP) * BYTES, 0u8);
    let (codes, _) = codes.as_chunks_mut::<BYTES>();
    let mut values = vec![[0i32; TOKENS]; tiles * steps];
    let sums = on_lines(&mut sums, TILES * tiles * TOKENS * ROWS, 0i32);
    let (sums, _) = sums.as_chunks_mut::<ROWS>().0.as_chunks_mut::<TOKENS>();
    for first in tokens.clone().step_by(tiles * TOKENS) {
        let block = first..tokens.end.min(first + tiles * TOKENS);
        let tiles = block.len().div_ceil(TOKENS);
        let sums = &mut sums[..TILES * tiles];
        arrange::<TOKENS, WIDE>(activations, &block, steps, &mut values[..tiles * steps]);
        for panel_start in rows.clone().step_by(panel_rows) {
            let panel_columns =
                panel_start - rows.start..(panel_start + panel_rows).min(rows.end) - rows.start;
            sums.fill([[0; ROWS]; TOKENS]);
            for from in (0..steps).step_by(CHUNK / STEP) {
                let to = steps.min(from + CHUNK / STEP);
                let codes = &mut codes[..TILES * (to - from)];
                unpack(panel_start / panel_rows, from * STEP..to * STEP, codes);
                let next = following(
                    packed,
                    panel_start / panel_rows,
                    panel_rows,
                    to..steps,
                    CHUNK / STEP,
                );
                for (part, (codes, sums)) in codes
                    .chunks_exact(to - from)
                    .zip(sums.chunks_exact_mut(tiles))
                    .enumerate()
                {
                    for (index, (values, sums)) in values.chunks_exact(steps).zip(sums).enumerate()
                    {
                        ask_to_read(share(next, part * tiles + index, TILES * tiles));
                        if to == steps && part == 0 {
                            let first = block.start + index * TOKENS;
                            for token in first..block.end.min(first + TOKENS) {
                                ask_to_write(&mut out.token(token)[panel_columns.clone()]);
                            }
                        }
                        tile(codes, &values[from..to], sums);
                    }
                }
            }
            for (start, sums) in (panel_start..rows.end)
                .step_by(ROWS)
                .zip(sums.chunks_exact(tiles))
            {
                let tile_rows = start - rows.start..(start + ROWS).min(rows.end) - rows.start;
                for (token, sums) in block.clone().zip(sums.iter().flatten()) {
                    // The codes are one more than the weights.
                    let excess = activations.sum(token);
                    let out = &mut out.token(token)[tile_rows.clone()];
                    for (out, sum) in out.iter_mut().zip(sums) {
                        *out = activations.rescale(token, sum - excess, packed.scale);
                    }
                }
            }
        }
    }
}

/// The packed bytes of a panel's columns from `rest.start` on, at most `chunk` steps of them, or of the next panel's: columns
/// lie in order in every layout, so that these are the bytes in proportion.
#[inline(always)]
fn following(
    packed: &Packed,
    panel: usize,
    panel_rows: usize,
    rest: Range<usize>,
    chunk: usize,
) -> &[u8] {
    let bytes = packed.bytes.bytes();
    let panel_bytes = bytes.len() / packed.rows.div_ceil(panel_rows);
    let steps = if rest.is_empty() {
        rest.end.min(chunk)
    } else {
        rest.len().min(chunk)
    };
    let rest_bytes = bytes.get(panel * panel_bytes + panel_bytes * rest.start / rest.end..);
    let rest_bytes = rest_bytes.unwrap_or_default();
    &rest_bytes[..rest_bytes.len().min(panel_bytes * steps / rest.end)]
}

/// Lays out the activations of a block of tokens as `[tile][group of steps][token of the tile][step of the group]`.
#[inline(always)]
fn arrange<const TOKENS: usize, const WIDE: usize>(
    activations: &Activations,
    block: &Range<usize>,
    steps: usize,
    values: &mut [TileStep<TOKENS>],
) {
    for (tile, values) in values.chunks_exact_mut(steps).enumerate() {
        for index in 0..TOKENS {
            let token = block.start + tile * TOKENS + index;
            let groups = values.chunks_exact_mut(WIDE).map(<[_]>::as_flattened_mut);
            if token < block.end {
                let (row, _) = activations.int8(token).as_chunks::<STEP>();
                for (group, row) in groups.zip(row.as_chunks::<WIDE>().0) {
                    for (value, row) in group[index * WIDE..][..WIDE].iter_mut().zip(row) {
                        *value = i32::from_le_bytes(row.map(i8::cast_unsigned));
                    }
                }
            } else {
                for group in groups {
                    group[index * WIDE..][..WIDE].fill(0);
                }
            }
        }
    }
}
