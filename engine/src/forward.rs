//! One pass of some tokens through a network, to be read with the papers beside it: BitNet b1.58 (arXiv 2402.17764, arXiv
//! 2504.12285), Llama (arXiv 2302.13971).

use crate::activations::Activations;
use crate::grid::Grid;
use crate::kernels::PackedMatrix;
use crate::kv_cache::KvCache;
use crate::model::Activation;
use crate::network::Network;
use crate::ops::{self, Attention, AttentionScratch, RopeTable, SharedIsa};
use crate::threads::Pool;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Query rows of one attention task: enough to make widening the keys cheap, few enough to share the work out evenly.
const QUERIES_PER_TASK: usize = 32;

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
    /// `[tokens][hidden]`
    normed: Vec<f32>,
    /// `[tokens][heads * head_dim]`
    query: Vec<f32>,
    /// `[tokens][kv_heads * head_dim]`
    key: Vec<f32>,
    /// `[tokens][kv_heads * head_dim]`
    value: Vec<f32>,
    /// What attention gives, `[tokens][heads * head_dim]`
    mixed: Vec<f32>,
    /// The same after the sub-norm.
    mixed_normed: Vec<f32>,
    /// `[tokens][ffn]`
    gate: Vec<f32>,
    /// `[tokens][ffn]`
    up: Vec<f32>,
    /// What is added to the residual stream, `[tokens][hidden]`.
    delta: Vec<f32>,
}

/// Runs `tokens` at the positions after those in `cache`, adds their keys and values to it, and leaves the output of the last
/// norm in `work.buffers.x`, `[tokens][hidden]`.
pub(crate) fn forward(
    network: &Network,
    work: &mut Workspace,
    cache: &mut KvCache,
    tokens: &[u32],
) {
    let config = &network.config;
    let (hidden, ffn, eps) = (config.hidden, config.ffn, config.rms_epsilon);
    let (query_dims, kv_dims) = (
        config.heads * config.head_dim,
        config.kv_heads * config.head_dim,
    );
    let first_position = cache.positions();
    let Workspace {
        pool,
        isa,
        rope,
        activations,
        scratch,
        buffers,
    } = work;
    let isa = *isa;
    let Buffers {
        x,
        normed,
        query,
        key,
        value,
        mixed,
        mixed_normed,
        gate,
        up,
        delta,
    } = buffers;
    for (buffer, width) in [
        (&mut *x, hidden),
        (normed, hidden),
        (query, query_dims),
        (key, kv_dims),
        (value, kv_dims),
        (mixed, query_dims),
        (mixed_normed, query_dims),
        (gate, ffn),
        (up, ffn),
        (delta, hidden),
    ] {
        buffer.resize(tokens.len() * width, 0.0);
    }
    rope.reach(first_position + tokens.len());
    let rope = &*rope;

    for (token, x) in tokens.iter().zip(x.chunks_exact_mut(hidden)) {
        network.embedding.unpack_row(*token as usize, x);
    }
    for (index, layer) in network.layers.iter().enumerate() {
        norm(pool, isa, x, hidden, &layer.attention_norm, eps, normed);
        activations.prepare(normed, hidden, pool, isa);
        linear(
            pool,
            activations,
            &mut [
                (&*layer.query, query),
                (&*layer.key, key),
                (&*layer.value, value),
            ],
        );
        each_token(pool, query, query_dims, &|token, query| {
            rope.turn(query, first_position + token)
        });
        each_token(pool, key, kv_dims, &|token, key| {
            rope.turn(key, first_position + token)
        });
        cache.store(index, first_position, key, value);
        attention(
            pool,
            isa,
            network,
            cache,
            index,
            first_position,
            query,
            mixed,
            scratch,
        );
        let mixed = match &layer.attention_sub_norm {
            Some(weight) => {
                norm(pool, isa, mixed, query_dims, weight, eps, mixed_normed);
                &*mixed_normed
            }
            None => &*mixed,
        };
        activations.prepare(mixed, query_dims, pool, isa);
        linear(pool, activations, &mut [(&*layer.output, delta)]);
        each_token(pool, x, hidden, &|token, x| {
            ops::add(isa, x, &delta[token * hidden..][..hidden])
        });

        norm(pool, isa, x, hidden, &layer.ffn_norm, eps, normed);
        activations.prepare(normed, hidden, pool, isa);
        linear(
            pool,
            activations,
            &mut [(&*layer.gate, gate), (&*layer.up, up)],
        );
        each_token(pool, gate, ffn, &|token, gate| {
            let up = &up[token * ffn..][..ffn];
            match config.activation() {
                Activation::Silu => ops::silu_gate(isa, gate, up),
                Activation::SquaredRelu => ops::squared_relu_gate(isa, gate, up),
            }
        });
        let gated = match &layer.ffn_sub_norm {
            Some(weight) => {
                norm(pool, isa, gate, ffn, weight, eps, up);
                &*up
            }
            None => &*gate,
        };
        activations.prepare(gated, ffn, pool, isa);
        linear(pool, activations, &mut [(&*layer.down, delta)]);
        each_token(pool, x, hidden, &|token, x| {
            ops::add(isa, x, &delta[token * hidden..][..hidden])
        });
    }
    norm(pool, isa, x, hidden, &network.final_norm, eps, normed);
    std::mem::swap(x, normed);
    cache.advance(tokens.len());
}

/// RMSNorm of each token of `x`, `[tokens][width]`.
fn norm(
    pool: &Pool,
    isa: SharedIsa,
    x: &[f32],
    width: usize,
    weight: &[f32],
    epsilon: f32,
    out: &mut [f32],
) {
    each_token(pool, out, width, &|token, out| {
        ops::rms_norm(isa, &x[token * width..][..width], weight, epsilon, out)
    });
}

/// Multiplies the activations by some matrices that read them, in one region: threads share out the rows of each.
pub(crate) fn linear(
    pool: &Pool,
    activations: &Activations,
    products: &mut [(&dyn PackedMatrix, &mut Vec<f32>)],
) {
    let stripes: Vec<(&dyn PackedMatrix, Grid<'_>)> = products
        .iter_mut()
        .map(|(matrix, out)| {
            (
                *matrix,
                Grid::stripes(out, matrix.rows(), pool.threads(), matrix.row_block()),
            )
        })
        .collect();
    pool.run(&|thread| {
        for (matrix, grid) in &stripes {
            if let Some(mut tile) = grid.take(thread) {
                matrix.multiply(activations, &mut tile);
            }
        }
    });
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

/// Causal attention of one layer: `query`, `[tokens][heads * head_dim]`, over all positions of the cache and its own.
#[expect(
    clippy::too_many_arguments,
    reason = "the parts of a session are lent one by one"
)]
fn attention(
    pool: &Pool,
    isa: SharedIsa,
    network: &Network,
    cache: &KvCache,
    layer: usize,
    first_position: usize,
    query: &[f32],
    mixed: &mut [f32],
    scratch: &[Mutex<AttentionScratch>],
) {
    let config = &network.config;
    let (dims, width) = (config.head_dim, config.heads * config.head_dim);
    let tokens = query.len() / width;
    let positions = first_position + tokens;
    let group = config.heads / config.kv_heads;
    #[expect(clippy::cast_precision_loss, reason = "dimensions of a head")]
    let scale = 1.0 / (dims as f32).sqrt();
    // Query heads of one key-value head go together, unless that leaves threads without work.
    let heads_per_task = if tokens == 1 && config.kv_heads < 2 * pool.threads() {
        1
    } else {
        group
    };
    let grid = Grid::new(
        mixed,
        width,
        (QUERIES_PER_TASK / heads_per_task).max(1),
        heads_per_task * dims,
    );
    let next = AtomicUsize::new(0);
    pool.run(&|thread| {
        let Ok(mut scratch) = scratch[thread].lock() else {
            return;
        };
        while let Some(mut tile) = grid.take(next.fetch_add(1, Ordering::Relaxed)) {
            let kv_head = tile.cols().start / dims / group;
            let task = Attention {
                queries: query,
                query_stride: width,
                keys: cache.keys(layer, kv_head, positions),
                values: cache.values(layer, kv_head, positions),
                head_dim: dims,
                first_position,
                scale,
            };
            ops::attend(isa, &task, &mut scratch, &mut tile);
        }
    });
}
