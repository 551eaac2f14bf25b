//! One pass of some tokens of some sequences through a network, to be read with the papers beside it: BitNet (arXiv 2310.11453),
//! BitNet b1.58 (arXiv 2402.17764, arXiv 2504.12285), Llama (arXiv 2302.13971), Qwen3 (arXiv 2505.09388).

use crate::activations::Activations;
use crate::grid::Grid;
use crate::kernels::PackedMatrix;
use crate::kv_cache::{HeadMut, KvCache};
use crate::linear::linear;
use crate::model::Activation;
use crate::network::Network;
use crate::ops::{self, Attention, AttentionScratch, Norm, RopeTable, SharedIsa};
use crate::threads::Pool;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Most query rows of one attention task: widening the keys is cheap from some dozens on, and the scores of 512 positions stay
/// in the second-level cache.
const QUERIES_PER_TASK: usize = 96;
/// Attention tasks for each thread, at least, where there are tokens enough: later tokens see more positions and take longer.
const TASKS_PER_THREAD: usize = 4;

/// The threads, the instruction set and the working memory of a session.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) pool: Pool,
    pub(crate) isa: SharedIsa,
    pub(crate) rope: RopeTable,
    pub(crate) activations: Activations,
    pub(crate) scratch: Vec<Mutex<AttentionScratch>>,
    pub(crate) buffers: Buffers,
}

/// Working memory, `[tokens]`[...]; it grows with the largest batch and is kept.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    /// Residual stream, `[tokens][hidden]`; after the pass, the output of the last norm.
    pub(crate) x: Vec<f32>,
    /// `[tokens][heads * head_dim]`
    query: Vec<f32>,
    /// `[tokens][kv_heads * head_dim]`
    key: Vec<f32>,
    /// `[tokens][kv_heads * head_dim]`
    value: Vec<f32>,
    /// What attention gives, `[tokens][heads * head_dim]`
    mixed: Vec<f32>,
    /// `[tokens][ffn]`, empty where the activation has no gate.
    gate: Vec<f32>,
    /// `[tokens][ffn]`
    up: Vec<f32>,
    /// What is added to the residual stream, `[tokens][hidden]`.
    delta: Vec<f32>,
}

/// Some tokens of one sequence, and where its earlier ones left their keys and values.
#[derive(Debug)]
pub(crate) struct Part<'a> {
    pub(crate) cache: &'a mut KvCache,
    pub(crate) tokens: &'a [u32],
}

/// Runs the tokens of each part at the positions after those in its cache, adds their keys and values to it, and leaves the
/// output of the last norm in `work.buffers.x`, `[tokens of all parts][hidden]`. Weights are read once for all of them: one
/// part of many tokens is a prompt, many parts of one token are a step of sequences that are decoded together.
pub(crate) fn forward(network: &Network, work: &mut Workspace, parts: &mut [Part<'_>]) {
    let config = &network.config;
    let (hidden, ffn) = (config.hidden, config.ffn);
    let (query_dims, kv_dims) = (
        config.heads * config.head_dim,
        config.kv_heads * config.head_dim,
    );
    let places: Vec<(u32, usize)> = parts.iter().flat_map(Part::places).collect();
    let batch = places.len();
    let Workspace {
        pool,
        isa,
        rope,
        activations,
        scratch,
        buffers,
    } = work;
    let isa = *isa;
    let norm = Norm {
        isa,
        kind: config.norm(),
        epsilon: config.rms_epsilon,
    };
    let Buffers {
        x,
        query,
        key,
        value,
        mixed,
        gate,
        up,
        delta,
    } = buffers;
    for (buffer, width) in [
        (&mut *x, hidden),
        (query, query_dims),
        (key, kv_dims),
        (value, kv_dims),
        (mixed, query_dims),
        (gate, if config.has_gate() { ffn } else { 0 }),
        (up, ffn),
        (delta, hidden),
    ] {
        buffer.resize(batch * width, 0.0);
    }
    rope.reach(places.iter().map(|(_, p)| p + 1).max().unwrap_or(0));
    let rope = &*rope;

    each_token(pool, x, hidden, &|token, x| {
        network.embedding.unpack_row(places[token].0 as usize, x)
    });
    for (index, layer) in network.layers.iter().enumerate() {
        let own = layer.input_norms.as_ref();
        project(
            pool,
            activations,
            norm,
            (x, &layer.attention_norm),
            [
                (&*layer.query, own.map(|n| &*n.query), query),
                (&*layer.key, own.map(|n| &*n.key), key),
                (&*layer.value, own.map(|n| &*n.value), value),
            ],
        );
        let heads = layer.head_norms.as_ref();
        for (rows, width, weight) in [
            (&mut *query, query_dims, heads.map(|norms| &norms.query)),
            (&mut *key, kv_dims, heads.map(|norms| &norms.key)),
        ] {
            each_token(pool, rows, width, &|token, row| {
                if let Some(weight) = weight {
                    let heads = row.chunks_exact_mut(config.head_dim);
                    heads.for_each(|head| norm.in_place(head, weight));
                }
                ops::turn(isa, rope, row, places[token].1);
            });
        }
        store(pool, parts, index, key, value);
        attention(pool, isa, network, parts, index, query, mixed, scratch);
        activations.prepare_with(batch, query_dims, pool, isa, &|token, row| {
            let mixed = &mixed[token * query_dims..][..query_dims];
            match &layer.attention_sub_norm {
                Some(weight) => norm.of(mixed, weight, row),
                None => row.copy_from_slice(mixed),
            }
        });
        linear(pool, activations, &mut [(&*layer.output, delta)]);
        each_token(pool, x, hidden, &|token, x| {
            ops::add(isa, x, &delta[token * hidden..][..hidden])
        });

        let up_part = (&*layer.up, own.map(|n| &*n.up), &mut *up);
        let shared = (&**x, &*layer.ffn_norm);
        match &layer.gate {
            Some(matrix) => {
                let gate = (&**matrix, own.map(|n| &*n.gate), &mut *gate);
                project(pool, activations, norm, shared, [gate, up_part]);
            }
            None => project(pool, activations, norm, shared, [up_part]),
        }
        activations.prepare_with(batch, ffn, pool, isa, &|token, row| {
            let up = &up[token * ffn..][..ffn];
            let gate = gate.get(token * ffn..).and_then(|gate| gate.get(..ffn));
            let gate = gate.unwrap_or_default();
            match config.activation() {
                Activation::Silu => ops::silu_gate(isa, gate, up, row),
                Activation::SquaredRelu => ops::squared_relu_gate(isa, gate, up, row),
                Activation::Gelu => ops::gelu(isa, up, row),
            }
            if let Some(weight) = &layer.ffn_sub_norm {
                norm.in_place(row, weight);
            }
        });
        linear(pool, activations, &mut [(&*layer.down, delta)]);
        each_token(pool, x, hidden, &|token, x| {
            ops::add(isa, x, &delta[token * hidden..][..hidden])
        });
    }
    each_token(pool, x, hidden, &|_, x| {
        norm.in_place(x, &network.final_norm);
    });
    for part in parts {
        part.cache.advance(part.tokens.len());
    }
}

impl Part<'_> {
    /// Its tokens and their positions.
    fn places(&self) -> impl Iterator<Item = (u32, usize)> {
        self.tokens.iter().copied().zip(self.cache.positions()..)
    }
}

/// A matrix, the weights of the norm that it may have of its own, and its output, `[tokens][rows]`.
type Projection<'a> = (&'a dyn PackedMatrix, Option<&'a [f32]>, &'a mut Vec<f32>);

/// Multiplies a state, `[tokens][width]`, by some matrices that read it. The state is normalised with the weights that they
/// share, and then with those that a matrix may have of its own.
fn project<const N: usize>(
    pool: &Pool,
    activations: &mut Activations,
    norm: Norm,
    (x, shared): (&[f32], &[f32]),
    projections: [Projection<'_>; N],
) {
    let width = shared.len();
    let prepare = |activations: &mut Activations, own: Option<&[f32]>| {
        let write = |token: usize, row: &mut [f32]| {
            norm.of(&x[token * width..][..width], shared, row);
            if let Some(own) = own {
                norm.in_place(row, own);
            }
        };
        activations.prepare_with(x.len() / width, width, pool, norm.isa, &write);
    };
    if projections.iter().all(|(_, own, _)| own.is_none()) {
        prepare(activations, None);
        return linear(
            pool,
            activations,
            &mut projections.map(|(matrix, _, out)| (matrix, &mut out[..])),
        );
    }
    for (matrix, own, out) in projections {
        prepare(activations, own);
        linear(pool, activations, &mut [(matrix, out)]);
    }
}

/// Calls `f` with each token of `data`, `[tokens][width]`; threads share out the tokens of a batch.
fn each_token(pool: &Pool, data: &mut [f32], width: usize, f: &(dyn Fn(usize, &mut [f32]) + Sync)) {
    let tokens = data.len() / width;
    if tokens == 1 {
        return f(0, data);
    }
    let grid = Grid::new(data, width, tokens.div_ceil(pool.threads()).max(1), width);
    pool.run(&|thread| {
        if let Some(mut tile) = grid.take(thread) {
            for token in tile.tokens() {
                f(token, tile.token(token));
            }
        }
    });
}

/// Stores keys and values of one layer, `[tokens of all parts][kv_heads * head_dim]`, in the caches of the parts. Threads share
/// out the heads of a batch.
fn store(pool: &Pool, parts: &mut [Part<'_>], layer: usize, key: &[f32], value: &[f32]) {
    let tokens: usize = parts.iter().map(|part| part.tokens.len()).sum();
    let width = key.len() / tokens;
    let mut first = 0;
    let heads = parts.iter_mut().flat_map(|part| {
        let (rows, position) = (first..first + part.tokens.len(), part.cache.positions());
        first = rows.end;
        let rows = rows.start * width..rows.end * width;
        let heads = part.cache.heads_mut(layer);
        heads.map(move |head| (head, position, rows.clone()))
    });
    let store = |(head, position, rows): (HeadMut<'_>, usize, Range<usize>)| {
        head.store(position, &key[rows.clone()], &value[rows], width);
    };
    if tokens == 1 {
        return heads.for_each(store);
    }
    let heads: Vec<_> = heads.map(|head| Mutex::new(Some(head))).collect();
    pool.run(&|thread| {
        for head in heads.iter().skip(thread).step_by(pool.threads()) {
            if let Some(head) = head.lock().ok().and_then(|mut head| head.take()) {
                store(head);
            }
        }
    });
}

/// What one part attends to, cut into tasks.
struct Attending<'a> {
    cache: &'a KvCache,
    /// `[tokens of the part][heads * head_dim]`
    queries: &'a [f32],
    /// Where its output goes, in the same shape.
    grid: Grid<'a>,
    /// Number of its first task.
    first_task: usize,
}

/// Causal attention of one layer: each part of `query`, `[tokens of all parts][heads * head_dim]`, over all positions of its
/// cache and its own.
#[expect(
    clippy::too_many_arguments,
    reason = "the parts of a session are lent one by one"
)]
fn attention(
    pool: &Pool,
    isa: SharedIsa,
    network: &Network,
    parts: &[Part<'_>],
    layer: usize,
    query: &[f32],
    mixed: &mut [f32],
    scratch: &[Mutex<AttentionScratch>],
) {
    let config = &network.config;
    let (dims, width) = (config.head_dim, config.heads * config.head_dim);
    let group = config.heads / config.kv_heads;
    #[expect(clippy::cast_precision_loss, reason = "dimensions of a head")]
    let scale = 1.0 / (dims as f32).sqrt();
    let kv_heads = config.kv_heads * parts.len();
    let least_blocks = (TASKS_PER_THREAD * pool.threads()).div_ceil(kv_heads);
    let mut attending = Vec::with_capacity(parts.len());
    let (mut queries, mut mixed, mut tasks) = (query, mixed, 0);
    for part in parts {
        let tokens = part.tokens.len();
        // Query heads of one key-value head go together: four of them cost little more than one. Where they do not fill a
        // tile, threads without work are worse.
        let heads_per_task =
            if tokens == 1 && !group.is_multiple_of(4) && kv_heads < 2 * pool.threads() {
                1
            } else {
                group
            };
        let tokens_per_task =
            (QUERIES_PER_TASK / heads_per_task).min(tokens.div_ceil(least_blocks));
        let out = mixed.split_off_mut(..tokens * width).unwrap_or_default();
        let grid = Grid::new(out, width, tokens_per_task.max(1), heads_per_task * dims);
        let first_task = tasks;
        tasks += grid.len();
        attending.push(Attending {
            cache: &*part.cache,
            queries: queries.split_off(..tokens * width).unwrap_or_default(),
            grid,
            first_task,
        });
    }
    let next = AtomicUsize::new(0);
    pool.run(&|thread| {
        let Ok(mut scratch) = scratch[thread].lock() else {
            return;
        };
        // The last tokens first: they take longest.
        while let Some(index) = tasks.checked_sub(next.fetch_add(1, Ordering::Relaxed) + 1) {
            let part = &attending[attending.partition_point(|part| part.first_task <= index) - 1];
            let Some(mut tile) = part.grid.take(index - part.first_task) else {
                return;
            };
            let kv_head = tile.cols().start / dims / group;
            let (first_position, tokens) = (part.cache.positions(), part.queries.len() / width);
            let task = Attention {
                queries: part.queries,
                query_stride: width,
                keys: part.cache.keys(layer, kv_head, first_position + tokens),
                values: part.cache.values(layer, kv_head, first_position + tokens),
                head_dim: dims,
                first_position,
                scale,
            };
            ops::attend(isa, &task, &mut scratch, &mut tile);
        }
    });
}
