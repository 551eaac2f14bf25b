//! The loops of the kernels that look sums up with AVX-512 BW (`vpermw`), for decode and prefill alike.
//!
//! All sums that a group of two or three activations can have with ternary weights fit in the 32 words of one register. A
//! permute then looks up the sums of 32 rows, which lie in 16-bit lanes, and an addition adds them: no multiplication, and no
//! sum crosses lanes. Four vectors of rows share each table that is loaded.
//!
//! Columns pass in chunks, all rows of the stripe for one chunk: the tables of a chunk (4 KiB for each token) are made once
//! and stay in the first-level cache, and its sums fit in 16 bits. Between chunks sums wait in 32 bits. Decode is the same
//! loop with one token.

use crate::activations::Activations;
use crate::buffer::on_lines;
use crate::cpu::avx512::{add_i16x32, load_i16x32, load_i32x16, store_i32x16};
use crate::grid::Tile;
use crate::kernels::Packed;
use std::arch::x86_64::*;

/// Vectors of rows that share a table: with four tokens, 16 sums. Five tokens would leave twelve registers for four vectors of
/// indices, a table and what was found, and compilers spill.
pub(crate) const VECTORS: usize = 4;
/// Rows of a panel.
pub(crate) const ROWS: usize = 32 * VECTORS;
/// Tokens of a full register tile.
pub(crate) const TOKENS: usize = 4;
/// Groups of activations in a chunk. Three activations add at most 3 * 128 to a 16-bit sum, and 64 * 384 = 24576.
pub(crate) const GROUPS: usize = 64;
/// Bytes of 32-bit sums that stay in the second-level cache, beside the weights of a chunk.
const SUM_BYTES: usize = 384 << 10;

/// The sums of one group of activations, by index. Aligned, so that no load crosses a cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Table(pub(crate) [i16; 32]);

/// Multiplies the rows of `out` by its tokens, `N` at a time. A unit is the least that is packed: `UNIT` bytes, `unit_groups`
/// groups of a panel. `fill(values, tables, token)` makes the tables of `SET` columns, which are `GROUPS_OF_SET` groups, of a
/// token of a tile; `tile(units, tables, ahead, sums)` adds what the tables hold for the indices of `units`, of which the next
/// lie `ahead` bytes further on.
#[inline(always)]
pub(crate) fn multiply<
    const UNIT: usize,
    const SET: usize,
    const GROUPS_OF_SET: usize,
    const N: usize,
>(
    packed: &Packed,
    unit_groups: usize,
    activations: &Activations,
    out: &mut Tile<'_>,
    mut fill: impl FnMut(&[i8; SET], &mut [[Table; N]; GROUPS_OF_SET], usize),
    mut tile: impl FnMut(&[[u8; UNIT]], &[[Table; N]], usize, &mut [[i32; ROWS]; N]),
) {
    let unit_columns = unit_groups / GROUPS_OF_SET * SET;
    let units = packed.cols.div_ceil(unit_columns);
    let chunk = GROUPS / unit_groups;
    let (rows, tokens) = (out.cols(), out.tokens());
    debug_assert!(rows.start.is_multiple_of(ROWS), "stripes start on a panel");
    let panels = rows.len().div_ceil(ROWS);
    let (weights, _) = packed.bytes.bytes().as_chunks::<UNIT>();
    let weights = &weights[rows.start / ROWS * units..][..panels * units];
    let tiles = (SUM_BYTES / (panels * N * ROWS * size_of::<i32>())).clamp(2, 16);
    let tiles = tiles.min(tokens.len().div_ceil(N));
    let mut tables = [[Table([0; 32]); N]; GROUPS];
    let mut sums = Vec::new();
    let sums = on_lines(&mut sums, tiles * panels * N * ROWS, 0i32);
    let (sums, _) = sums.as_chunks_mut::<ROWS>().0.as_chunks_mut::<N>();
    for first in tokens.clone().step_by(tiles * N) {
        let block = first..tokens.end.min(first + tiles * N);
        let sums = &mut sums[..block.len().div_ceil(N) * panels];
        sums.fill([[0; ROWS]; N]);
        for from in (0..units).step_by(chunk) {
            let to = units.min(from + chunk);
            let tables = &mut tables[..(to - from) * unit_groups];
            for (index, sums) in sums.chunks_exact_mut(panels).enumerate() {
                let tile_start = block.start + index * N;
                // The tables of tokens that a last tile lacks are those of others; nobody reads their sums.
                for token in tile_start..block.end.min(tile_start + N) {
                    let values = &activations.int8(token)[from * unit_columns..to * unit_columns];
                    let (sets, _) = tables.as_chunks_mut();
                    for (tables, values) in sets.iter_mut().zip(values.as_chunks().0) {
                        fill(values, tables, token - tile_start);
                    }
                }
                for (panel, sums) in weights.chunks_exact(units).zip(sums) {
                    // The next panel's part of this chunk comes next.
                    tile(&panel[from..to], tables, units * UNIT, sums);
                }
            }
        }
        for (index, sums) in sums.chunks_exact(panels).enumerate() {
            let tile_start = block.start + index * N;
            for token in tile_start..block.end.min(tile_start + N) {
                for (out, sums) in out.token(token).chunks_mut(ROWS).zip(sums) {
                    for (out, sum) in out.iter_mut().zip(sums[token - tile_start]) {
                        *out = activations.rescale(token, sum, packed.scale);
                    }
                }
            }
        }
    }
}

/// Adds what the tables of one group hold for the indices of the rows.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(crate) fn look_up<const N: usize>(
    mut words: [[__m512i; VECTORS]; N],
    indices: [__m512i; VECTORS],
    tables: &[Table; N],
) -> [[__m512i; VECTORS]; N] {
    for token in 0..N {
        let table = load_i16x32(&tables[token].0);
        for vector in 0..VECTORS {
            let sum = _mm512_permutexvar_epi16(indices[vector], table);
            words[token][vector] = add_i16x32(words[token][vector], sum);
        }
    }
    words
}

/// Shifts the next indices to the lowest bits.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(crate) fn shift<const BITS: u32>(indices: [__m512i; VECTORS]) -> [__m512i; VECTORS] {
    let [a, b, c, d] = indices;
    [
        _mm512_srli_epi16::<BITS>(a),
        _mm512_srli_epi16::<BITS>(b),
        _mm512_srli_epi16::<BITS>(c),
        _mm512_srli_epi16::<BITS>(d),
    ]
}

/// Adds the 16-bit sums of a tile to its 32-bit sums.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(crate) fn add_words<const N: usize>(
    sums: &mut [[i32; ROWS]; N],
    words: &[[__m512i; VECTORS]; N],
) {
    for token in 0..N {
        let (halves, _) = sums[token].as_chunks_mut::<16>();
        for vector in 0..VECTORS {
            let words = words[token][vector];
            let parts = [
                _mm512_cvtepi16_epi32(_mm512_castsi512_si256(words)),
                _mm512_cvtepi16_epi32(_mm512_extracti64x4_epi64::<1>(words)),
            ];
            for half in 0..2 {
                let sums = &mut halves[2 * vector + half];
                store_i32x16(sums, _mm512_add_epi32(load_i32x16(sums), parts[half]));
            }
        }
    }
}
