//! Causal attention over a half-precision KV cache, grouped queries included (arXiv 2305.13245).
//!
//! One task is one key-value head, some of the query heads that share it, and some tokens. Keys lie in the cache with
//! positions in lanes and values with dimensions in lanes, so one register tile serves both products: a few queries by
//! [`LANES`] sums that never meet, with no addition across lanes.
//!
//! The order of additions is part of the result. A score adds its dimensions one after the other, an output its positions, and
//! the sum of the exponentials is formed in [`LANES`] lanes. None of it depends on what else is in the task, so any batch and
//! any number of threads give the same bits.

use super::gate::exp;
use super::tile::AddProducts;
use super::{LANES, sum_lanes};
use crate::grid::Tile;
use crate::kv_cache::KEY_BLOCK;
use half::f16;

/// Positions whose values are widened together, in the dimensions of one register tile: 8 KiB.
const TILE: usize = 128;

/// Some query heads of some tokens, and what they attend to.
pub(crate) struct Attention<'a> {
    /// Queries after RoPE, `[tokens of the batch][query_stride]`.
    pub(crate) queries: &'a [f32],
    /// Values of one token in `queries`.
    pub(crate) query_stride: usize,
    /// Keys of the key-value head, `[block of positions][head_dim][KEY_BLOCK]`.
    pub(crate) keys: &'a [f16],
    /// Values of the key-value head, `[positions][head_dim]`.
    pub(crate) values: &'a [f16],
    /// Dimensions of a head.
    pub(crate) head_dim: usize,
    /// Position of the first token of the batch.
    pub(crate) first_position: usize,
    /// What scores are multiplied by, 1/sqrt(head_dim).
    pub(crate) scale: f32,
}

/// Working memory of one thread; it grows with use and is kept.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// Widened keys or values, `[step][LANES]`.
    tile: Vec<[f32; LANES]>,
    /// Scores and then their exponentials, `[queries][positions]`.
    scores: Vec<f32>,
    /// One over the sum of the exponentials of each query.
    inverse: Vec<f32>,
    /// Weighted sums of values, `[queries][vectors of LANES dimensions]`.
    sums: Vec<[f32; LANES]>,
}

/// Attends for the tokens `out.tokens()` and the query heads that `out.cols()` covers: `out` has the shape of the queries.
/// `QUERIES` queries by [`LANES`] sums are what the registers hold.
#[inline(always)]
pub(super) fn attend<const QUERIES: usize>(
    isa: impl AddProducts<QUERIES> + AddProducts<4> + AddProducts<1>,
    task: &Attention<'_>,
    scratch: &mut Scratch,
    out: &mut Tile<'_>,
) {
    const { assert!(LANES == KEY_BLOCK) };
    let dims = task.head_dim;
    let (tokens, cols) = (out.tokens(), out.cols());
    let heads = cols.len() / dims;
    let count = tokens.len() * heads;
    let query = |index: usize| {
        let token = tokens.start + index / heads;
        &task.queries[token * task.query_stride + cols.start + index % heads * dims..][..dims]
    };
    // Positions that a query sees. Queries are in the order of their tokens: the last of a group sees the most.
    let limit = |query: usize| task.first_position + tokens.start + query / heads + 1;
    let positions = limit(count - 1).next_multiple_of(LANES);
    scratch.tile.resize(TILE.max(dims), [0.0; LANES]);
    scratch.scores.resize(count * positions, 0.0);
    scratch.inverse.resize(count, 0.0);
    let vectors = dims.div_ceil(LANES);
    scratch.sums.clear();
    scratch.sums.resize(count * vectors, [0.0; LANES]);
    let Scratch {
        tile,
        scores,
        inverse,
        sums,
    } = scratch;

    for (block, keys) in task.keys[..positions * dims]
        .chunks_exact(LANES * dims)
        .enumerate()
    {
        let tile = &mut tile[..dims];
        for (to, from) in tile.iter_mut().zip(keys.as_chunks::<LANES>().0) {
            isa.widen(from, to);
        }
        for (first, size) in groups::<QUERIES>(count) {
            if block * LANES >= limit(first + size - 1) {
                continue;
            }
            let scores = &mut scores[first * positions + block * LANES..];
            let scale = task.scale;
            match size {
                1 => score(isa, tile, [query(first)], scale, scores, positions),
                4 => score::<4>(isa, tile, gather(first, query), scale, scores, positions),
                _ => score::<QUERIES>(isa, tile, gather(first, query), scale, scores, positions),
            }
        }
    }
    for (query, inverse) in inverse.iter_mut().enumerate() {
        let (seen, unseen) = scores[query * positions..][..positions].split_at_mut(limit(query));
        *inverse = 1.0 / exponentials(seen);
        // Others of its group see more positions; to it, products of nothing are added.
        unseen.fill(0.0);
    }
    for first_position in (0..limit(count - 1)).step_by(TILE) {
        let last_position = limit(count - 1).min(first_position + TILE);
        let values = &task.values[first_position * dims..last_position * dims];
        for vector in 0..vectors {
            let columns = vector * LANES..dims.min((vector + 1) * LANES);
            for (to, row) in tile.iter_mut().zip(values.chunks_exact(dims)) {
                let row = &row[columns.clone()];
                match row.as_array::<LANES>() {
                    Some(from) => isa.widen(from, to),
                    None => {
                        let mut padded = [f16::ZERO; LANES];
                        padded[..row.len()].copy_from_slice(row);
                        isa.widen(&padded, to);
                    }
                }
            }
            for (first, size) in groups::<QUERIES>(count) {
                let end = last_position.min(limit(first + size - 1));
                if first_position >= end {
                    continue;
                }
                let tile = &tile[..end - first_position];
                let scores = &*scores;
                let weights = |query: usize| &scores[query * positions..][first_position..end];
                let sums = &mut sums[first * vectors + vector..];
                match size {
                    1 => weigh(isa, tile, [weights(first)], sums, vectors),
                    4 => weigh::<4>(isa, tile, gather(first, weights), sums, vectors),
                    _ => weigh::<QUERIES>(isa, tile, gather(first, weights), sums, vectors),
                }
            }
        }
    }
    for (index, (sums, inverse)) in sums.chunks_exact(vectors).zip(inverse).enumerate() {
        let out = &mut out.token(tokens.start + index / heads)[index % heads * dims..][..dims];
        for (out, sum) in out.iter_mut().zip(sums.as_flattened()) {
            *out = sum * *inverse;
        }
    }
}

/// First query and size of each group that is worked at together: `QUERIES`, four or one.
#[inline(always)]
fn groups<const QUERIES: usize>(count: usize) -> impl Iterator<Item = (usize, usize)> {
    let mut first = 0;
    std::iter::from_fn(move || {
        let size = match count - first {
            0 => return None,
            left if left >= QUERIES => QUERIES,
            left if left >= 4 => 4,
            _ => 1,
        };
        first += size;
        Some((first - size, size))
    })
}

#[inline(always)]
fn gather<'a, const N: usize>(first: usize, get: impl Fn(usize) -> &'a [f32]) -> [&'a [f32]; N] {
    let mut all = [&[][..]; N];
    for (index, one) in all.iter_mut().enumerate() {
        *one = get(first + index);
    }
    all
}

/// Scores of some queries at the positions of a block; those of a query start `stride` after those of the one before.
#[inline(always)]
fn score<const N: usize>(
    isa: impl AddProducts<N>,
    keys: &[[f32; LANES]],
    queries: [&[f32]; N],
    scale: f32,
    scores: &mut [f32],
    stride: usize,
) {
    let mut sums = [[0.0; LANES]; N];
    isa.add_products(keys, queries, &mut sums);
    for (index, sums) in sums.iter().enumerate() {
        for (score, sum) in scores[index * stride..][..LANES].iter_mut().zip(sums) {
            *score = sum * scale;
        }
    }
}

/// Adds weighted values to the sums of some queries; those of a query lie `stride` after those of the one before.
#[inline(always)]
fn weigh<const N: usize>(
    isa: impl AddProducts<N>,
    values: &[[f32; LANES]],
    weights: [&[f32]; N],
    sums: &mut [[f32; LANES]],
    stride: usize,
) {
    let mut held = [[0.0; LANES]; N];
    for (index, held) in held.iter_mut().enumerate() {
        *held = sums[index * stride];
    }
    isa.add_products(values, weights, &mut held);
    for (index, held) in held.into_iter().enumerate() {
        sums[index * stride] = held;
    }
}

/// Exponentials in place, the largest score subtracted first, and their sum.
#[inline(always)]
fn exponentials(scores: &mut [f32]) -> f32 {
    let mut largest = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = scores.as_chunks::<LANES>();
    for chunk in chunks {
        for (largest, v) in largest.iter_mut().zip(chunk) {
            *largest = if *v > *largest { *v } else { *largest };
        }
    }
    for (largest, v) in largest.iter_mut().zip(rest) {
        *largest = if *v > *largest { *v } else { *largest };
    }
    let mut top = f32::NEG_INFINITY;
    for v in largest {
        top = if v > top { v } else { top };
    }
    let mut lanes = [0.0f32; LANES];
    let (chunks, rest) = scores.as_chunks_mut::<LANES>();
    for chunk in chunks {
        for (lane, v) in lanes.iter_mut().zip(chunk) {
            *v = exp(*v - top);
            *lane += *v;
        }
    }
    for (lane, v) in lanes.iter_mut().zip(rest) {
        *v = exp(*v - top);
        *lane += *v;
    }
    sum_lanes(lanes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::Cpu;
    use crate::grid::Grid;
    use crate::ops::{SharedIsa, attend};

    const TOKENS: usize = 37;
    const HEADS: usize = 6;

    /// Attention of a batch after `first_position` others, in tiles of some tokens and heads.
    fn run(
        isa: SharedIsa,
        dims: usize,
        first_position: usize,
        tokens: usize,
        heads: usize,
    ) -> Vec<u32> {
        let number =
            |index: usize| f32::from(u8::try_from(index * 7919 % 251).unwrap_or(0)) / 50.0 - 2.5;
        let positions = (first_position + TOKENS).next_multiple_of(KEY_BLOCK);
        let queries: Vec<f32> = (0..TOKENS * HEADS * dims).map(number).collect();
        let halves = |seed: usize| -> Vec<f16> {
            (0..positions * dims)
                .map(|i| f16::from_f32(number(i * 31 + seed)))
                .collect()
        };
        let (keys, values) = (halves(1), halves(2));
        let task = Attention {
            queries: &queries,
            query_stride: HEADS * dims,
            keys: &keys,
            values: &values,
            head_dim: dims,
            first_position,
            scale: 0.3,
        };
        let mut out = vec![0.0; TOKENS * HEADS * dims];
        let grid = Grid::new(&mut out, HEADS * dims, tokens, heads * dims);
        let mut scratch = Scratch::default();
        for index in 0..grid.len() {
            if let Some(mut tile) = grid.take(index) {
                attend(isa, &task, &mut scratch, &mut tile);
            }
        }
        out.into_iter().map(f32::to_bits).collect()
    }

    #[test]
    fn the_bits_are_the_same_on_every_instruction_set_and_in_any_task() {
        let best = SharedIsa::best(&Cpu::detect());
        for (dims, first_position) in [(24, 0), (64, 5), (100, 120)] {
            let plain = run(SharedIsa::Portable, dims, first_position, TOKENS, HEADS);
            for (tokens, heads) in [(TOKENS, HEADS), (1, HEADS), (1, 1), (5, 2), (3, 3)] {
                let other = run(best, dims, first_position, tokens, heads);
                assert!(
                    plain == other,
                    "{dims}, {first_position}: {tokens} x {heads}"
                );
            }
        }
    }
}
