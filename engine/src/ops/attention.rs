//! Causal attention over a half-precision KV cache, grouped queries included (arXiv 2305.13245).
//!
//! One task is one key-value head, some of the query heads that share it, and some tokens. Keys and values are widened to
//! single precision a tile at a time and used by all queries of the task. The result of a query does not depend on what
//! else is in its task: each score is one dot product in a fixed order, each output adds its positions one after the other.

use super::gate::exp;
use super::{LANES, sum_lanes};
use crate::grid::Tile;
use half::f16;
use half::slice::HalfFloatSliceExt;
use std::ops::Range;

/// Positions widened at a time: 64 heads of 128 dimensions are 32 KiB, which stays in the first-level cache.
const TILE: usize = 64;
/// Queries that share one pass over a key: four times two vectors of eight fill half of the 16 registers of AVX2.
const QUERIES: usize = 4;

/// Some query heads of some tokens, and what they attend to.
pub(crate) struct Attention<'a> {
    /// Queries after RoPE, `[tokens of the batch][query_stride]`.
    pub(crate) queries: &'a [f32],
    /// Values of one token in `queries`.
    pub(crate) query_stride: usize,
    /// Keys of the key-value head, `[positions][head_dim]`.
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
    queries: Vec<f32>,
    tile: Vec<f32>,
    half_row: Vec<f32>,
    scores: Vec<f32>,
}

/// Attends for the tokens `out.tokens()` and the query heads that `out.cols()` covers: `out` has the shape of the queries.
#[inline(always)]
pub(super) fn attend(task: &Attention<'_>, scratch: &mut Scratch, out: &mut Tile<'_>) {
    let dims = task.head_dim;
    // Padded with zeros, so that a head of 100 dimensions needs no tail.
    let padded = dims.next_multiple_of(LANES);
    let tokens = out.tokens();
    let heads = out.cols().len() / dims;
    let positions = task.first_position + tokens.end;
    gather_queries(task, &tokens, out.cols(), padded, &mut scratch.queries);
    let Scratch {
        queries,
        tile,
        half_row,
        scores,
    } = scratch;
    let limit = |query: usize| task.first_position + tokens.start + query / heads + 1;
    let count = tokens.len() * heads;
    tile.resize(TILE * padded, 0.0);
    scores.resize(count * positions, 0.0);

    for first in (0..positions).step_by(TILE) {
        let last = positions.min(first + TILE);
        widen(
            &task.keys[first * dims..last * dims],
            dims,
            padded,
            half_row,
            tile,
        );
        for group in (0..count).step_by(QUERIES) {
            let in_group = QUERIES.min(count - group);
            // The last query of a group sees the most positions.
            let end = last.min(limit(group + in_group - 1));
            for position in first..end {
                let key = &tile[(position - first) * padded..][..padded];
                if in_group == QUERIES {
                    let all = &queries[group * padded..][..QUERIES * padded];
                    for (query, dot) in dot4(all, key).into_iter().enumerate() {
                        scores[(group + query) * positions + position] = dot * task.scale;
                    }
                } else {
                    for query in group..group + in_group {
                        let dot = dot(&queries[query * padded..][..padded], key);
                        scores[query * positions + position] = dot * task.scale;
                    }
                }
            }
        }
    }
    for query in 0..count {
        softmax(&mut scores[query * positions..][..limit(query)]);
    }
    // The queries are done with: their memory takes the sums.
    queries.fill(0.0);
    for first in (0..positions).step_by(TILE) {
        let last = positions.min(first + TILE);
        widen(
            &task.values[first * dims..last * dims],
            dims,
            padded,
            half_row,
            tile,
        );
        for query in 0..count {
            let end = last.min(limit(query));
            if first < end {
                let weights = &scores[query * positions..][first..end];
                add_weighted(weights, tile, &mut queries[query * padded..][..padded]);
            }
        }
    }
    for token in tokens.clone() {
        let row = out.token(token);
        for (head, out) in row.chunks_exact_mut(dims).enumerate() {
            out.copy_from_slice(
                &queries[((token - tokens.start) * heads + head) * padded..][..dims],
            );
        }
    }
}

#[inline(always)]
fn gather_queries(
    task: &Attention<'_>,
    tokens: &Range<usize>,
    cols: Range<usize>,
    padded: usize,
    into: &mut Vec<f32>,
) {
    into.clear();
    for token in tokens.clone() {
        let row = &task.queries[token * task.query_stride..][cols.clone()];
        for head in row.chunks_exact(task.head_dim) {
            into.extend_from_slice(head);
            into.resize(into.len() + padded - task.head_dim, 0.0);
        }
    }
}

/// Widens rows of `dims` half-precision numbers into rows of `padded`; the padding of `tile` is zero and stays so.
#[inline(always)]
fn widen(from: &[f16], dims: usize, padded: usize, half_row: &mut Vec<f32>, tile: &mut [f32]) {
    if dims == padded {
        from.convert_to_f32_slice(&mut tile[..from.len()]);
        return;
    }
    half_row.resize(from.len(), 0.0);
    from.convert_to_f32_slice(half_row);
    for (to, from) in tile
        .chunks_exact_mut(padded)
        .zip(half_row.chunks_exact(dims))
    {
        to[..dims].copy_from_slice(from);
        to[dims..].fill(0.0);
    }
}

/// `sums += a * b`, lane by lane.
#[inline(always)]
fn add_products(sums: &mut [f32; LANES], a: &[f32; LANES], b: &[f32; LANES]) {
    for lane in 0..LANES {
        sums[lane] += a[lane] * b[lane];
    }
}

#[inline(always)]
fn dot(query: &[f32], key: &[f32]) -> f32 {
    let mut lanes = [0.0f32; LANES];
    for (q, k) in query
        .as_chunks::<LANES>()
        .0
        .iter()
        .zip(key.as_chunks::<LANES>().0)
    {
        add_products(&mut lanes, q, k);
    }
    sum_lanes(lanes)
}

/// Four dot products with one key, each in the order of [`dot`].
#[inline(always)]
fn dot4(queries: &[f32], key: &[f32]) -> [f32; QUERIES] {
    let (keys, _) = key.as_chunks::<LANES>();
    let row = |query: usize| {
        queries[query * key.len()..][..key.len()]
            .as_chunks::<LANES>()
            .0
    };
    let (mut a, mut b, mut c, mut d) = (
        [0.0f32; LANES],
        [0.0f32; LANES],
        [0.0f32; LANES],
        [0.0f32; LANES],
    );
    for ((((k, qa), qb), qc), qd) in keys.iter().zip(row(0)).zip(row(1)).zip(row(2)).zip(row(3)) {
        add_products(&mut a, qa, k);
        add_products(&mut b, qb, k);
        add_products(&mut c, qc, k);
        add_products(&mut d, qd, k);
    }
    [sum_lanes(a), sum_lanes(b), sum_lanes(c), sum_lanes(d)]
}

/// Softmax in place; the largest score is subtracted first.
#[inline(always)]
fn softmax(scores: &mut [f32]) {
    let mut largest = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = scores.as_chunks::<LANES>();
    for chunk in chunks {
        for (largest, v) in largest.iter_mut().zip(chunk) {
            *largest = if *v > *largest { *v } else { *largest };
        }
    }
    for v in rest {
        largest[0] = largest[0].max(*v);
    }
    let largest = largest.into_iter().fold(f32::NEG_INFINITY, f32::max);
    let mut lanes = [0.0f32; LANES];
    let (chunks, rest) = scores.as_chunks_mut::<LANES>();
    for chunk in chunks {
        for (lane, v) in lanes.iter_mut().zip(chunk) {
            *v = exp(*v - largest);
            *lane += *v;
        }
    }
    for (lane, v) in lanes.iter_mut().zip(rest) {
        *v = exp(*v - largest);
        *lane += *v;
    }
    let inverse = 1.0 / sum_lanes(lanes);
    for v in scores {
        *v *= inverse;
    }
}

/// `sum += weights[p] * rows[p]`, position after position; four at a time keep the sums in registers longer.
#[inline(always)]
fn add_weighted(weights: &[f32], rows: &[f32], sum: &mut [f32]) {
    let width = sum.len();
    let (groups, rest) = weights.as_chunks::<4>();
    let mut rows = rows.chunks_exact(width);
    for w in groups {
        let [Some(a), Some(b), Some(c), Some(d)] =
            [rows.next(), rows.next(), rows.next(), rows.next()]
        else {
            return;
        };
        for ((((s, a), b), c), d) in sum.iter_mut().zip(a).zip(b).zip(c).zip(d) {
            *s = *s + w[0] * a + w[1] * b + w[2] * c + w[3] * d;
        }
    }
    for (w, row) in rest.iter().zip(rows) {
        for (s, v) in sum.iter_mut().zip(row) {
            *s += w * v;
        }
    }
}
