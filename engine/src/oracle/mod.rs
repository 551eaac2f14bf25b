//! The papers written down once more, in double precision and without any cleverness: BitNet b1.58 (arXiv 2402.17764, arXiv
//! 2504.12285), Llama (arXiv 2302.13971).
//!
//! It reads the canonical weights of a [`Model`] and shares nothing else with the engine: no packing, no kernel, no cache, no
//! line of the forward pass. So where the two agree, neither is wrong in its own way. It is slow, and reads
//! the weights row by row.
#![expect(
    clippy::cast_precision_loss,
    reason = "dimensions and positions are small"
)]

mod rounding;

use crate::model::{Activation, Model, NormKind, RopePairing};
use crate::weights::{DenseMatrix, LinearWeights};
use rayon::prelude::*;
pub use rounding::{Inputs, Nearest, Rounding};
use std::borrow::Cow;

/// Keys and values of the tokens so far: `[layer][position][kv_heads * head_dim]`.
#[derive(Debug, Clone)]
pub struct Cache {
    keys: Vec<Vec<Vec<f64>>>,
    values: Vec<Vec<Vec<f64>>>,
}

/// A model as the papers define it.
pub struct Oracle<'m> {
    model: &'m Model,
    layers: Vec<Linear<'m>>,
    head: Matrix<'m>,
}

/// The linear layers of one layer.
struct Linear<'m> {
    query: Matrix<'m>,
    key: Matrix<'m>,
    value: Matrix<'m>,
    output: Matrix<'m>,
    gate: Option<Matrix<'m>>,
    up: Matrix<'m>,
    down: Matrix<'m>,
}

/// One vector for each token.
type Vectors = Vec<Vec<f64>>;

impl<'m> Oracle<'m> {
    /// The oracle of a model. It reads each row of the weights when it is asked.
    pub fn new(model: &'m Model) -> Self {
        Oracle::with(model, false)
    }

    /// The oracle of a small model that is asked often: it holds all weights in double precision.
    pub fn held(model: &'m Model) -> Self {
        Oracle::with(model, true)
    }

    fn with(model: &'m Model, hold: bool) -> Self {
        let matrix = |weights: &'m LinearWeights| Matrix::of(Weights::Linear(weights), hold);
        let layers = model.layers.iter().map(|layer| Linear {
            query: matrix(&layer.query),
            key: matrix(&layer.key),
            value: matrix(&layer.value),
            output: matrix(&layer.output),
            gate: layer.gate.as_ref().map(matrix),
            up: matrix(&layer.up),
            down: matrix(&layer.down),
        });
        let head = model.head.as_ref().unwrap_or(&model.embedding);
        Oracle {
            model,
            layers: layers.collect(),
            head: Matrix::of(Weights::Half(head), hold),
        }
    }

    /// A cache without a token.
    pub fn empty(&self) -> Cache {
        let empty = vec![Vec::new(); self.model.config.layers];
        Cache {
            keys: empty.clone(),
            values: empty,
        }
    }

    /// The logits after each of some tokens, which go after those in the cache: `[tokens][vocab]`.
    ///
    /// # Panics
    /// If the vocabulary lacks a token.
    pub fn logits(
        &self,
        tokens: &[u32],
        cache: &mut Cache,
        rounding: &mut impl Rounding,
    ) -> Vec<f64> {
        let states = self.states(tokens, cache, rounding);
        self.head.times(&states).concat()
    }

    /// The states after each of some tokens, which go after those in the cache: the output of the last norm,
    /// `[tokens][hidden]`.
    ///
    /// # Panics
    /// If the vocabulary lacks a token.
    pub fn states(
        &self,
        tokens: &[u32],
        cache: &mut Cache,
        rounding: &mut impl Rounding,
    ) -> Vectors {
        let mut row = vec![0f32; self.model.config.hidden];
        let mut embed = |token: &u32| {
            self.model.embedding.read_row(*token as usize, &mut row);
            row.iter().map(|v| rounding::half(f64::from(*v))).collect()
        };
        let mut x: Vectors = tokens.iter().map(&mut embed).collect();
        for index in 0..self.layers.len() {
            self.attention(index, &mut x, cache, rounding);
            self.feed_forward(index, &mut x, rounding);
        }
        let norm = |x: &Vec<f64>| self.norm(x, &self.model.final_norm);
        x.iter().map(norm).collect()
    }

    /// Adds what attention gives to the residual stream.
    fn attention(
        &self,
        index: usize,
        x: &mut Vectors,
        cache: &mut Cache,
        rounding: &mut impl Rounding,
    ) {
        let c = &self.model.config;
        let layer = &self.model.layers[index];
        let linear = &self.layers[index];
        let (keys, values) = (&mut cache.keys[index], &mut cache.values[index]);
        let own = layer.input_norms.as_ref();
        let own = own.map(|n| [&n.query, &n.key, &n.value]);
        let heads = layer.head_norms.as_ref();
        let [to_query, to_key, to_value] = self.inputs(x, &layer.attention_norm, own, rounding);
        let mut queries = linear.query.times(&to_query);
        let first = keys.len();
        let new = linear.key.times(&to_key).into_iter();
        let new = new.zip(linear.value.times(&to_value));
        for (token, (key, value)) in new.enumerate() {
            queries[token] = self.norm_heads(&queries[token], heads.map(|n| &n.query));
            let mut key = self.norm_heads(&key, heads.map(|n| &n.key));
            self.rope(&mut queries[token], first + token);
            self.rope(&mut key, first + token);
            keys.push(rounding.cached(&key));
            values.push(rounding.cached(&value));
        }
        let attend = |token: usize, query: &[f64]| {
            let seen = first + token + 1;
            let mut mixed = vec![0.0; query.len()];
            for head in 0..c.heads {
                let q = &query[head * c.head_dim..][..c.head_dim];
                let at = head / (c.heads / c.kv_heads) * c.head_dim;
                let score = |k: &Vec<f64>| dot(q, &k[at..]) / (c.head_dim as f64).sqrt();
                let scores: Vec<f64> = keys[..seen].iter().map(score).collect();
                let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let weights: Vec<f64> = scores.iter().map(|s| (s - largest).exp()).collect();
                let total: f64 = weights.iter().sum();
                for (weight, value) in weights.iter().zip(&*values) {
                    for dim in 0..c.head_dim {
                        mixed[head * c.head_dim + dim] += weight / total * value[at + dim];
                    }
                }
            }
            match &layer.attention_sub_norm {
                Some(weight) => self.norm(&mixed, weight),
                None => mixed,
            }
        };
        let large = keys.len() * queries.len() * queries[0].len() > LARGE;
        let mixed: Vectors = each(queries.len(), large, |token| attend(token, &queries[token]));
        let mixed: Vectors = mixed.iter().map(|mixed| rounding.input(mixed)).collect();
        add(x, linear.output.times(&mixed));
    }

    /// Adds what the feed-forward network gives to the residual stream.
    fn feed_forward(&self, index: usize, x: &mut Vectors, rounding: &mut impl Rounding) {
        let layer = &self.model.layers[index];
        let linear = &self.layers[index];
        let own = layer.input_norms.as_ref().map(|n| [&n.gate, &n.up]);
        let [to_gate, to_up] = self.inputs(x, &layer.ffn_norm, own, rounding);
        let activate = |g: f64| match self.model.config.activation() {
            Activation::Silu => g / (1.0 + (-g).exp()),
            Activation::SquaredRelu => g.max(0.0).powi(2),
            Activation::Gelu => {
                let inner = (2.0 / std::f64::consts::PI).sqrt() * (g + 0.044_715 * g.powi(3));
                0.5 * g * (1.0 + inner.tanh())
            }
        };
        let mut inner = linear.up.times(&to_up);
        match &linear.gate {
            Some(gate) => {
                for (up, gate) in inner.iter_mut().zip(gate.times(&to_gate)) {
                    up.iter_mut().zip(gate).for_each(|(u, g)| *u *= activate(g));
                }
            }
            None => inner.iter_mut().flatten().for_each(|u| *u = activate(*u)),
        }
        let input = |inner: &Vec<f64>| match &layer.ffn_sub_norm {
            Some(weight) => rounding.input(&self.norm(inner, weight)),
            None => rounding.input(inner),
        };
        let inner: Vectors = inner.iter().map(input).collect();
        add(x, linear.down.times(&inner));
    }

    /// What some projections read of each token: `x` normalised with what they share, and rounded; once for all, or where they
    /// have norms of their own, for each.
    fn inputs<const N: usize>(
        &self,
        x: &Vectors,
        shared: &[f32],
        own: Option<[&Vec<f32>; N]>,
        rounding: &mut impl Rounding,
    ) -> [Vectors; N] {
        let mut all = [const { Vectors::new() }; N];
        for x in x {
            let normed = self.norm(x, shared);
            let inputs: [Vec<f64>; N] = match own {
                Some(own) => own.map(|own| rounding.input(&self.norm(&normed, own))),
                None => {
                    let input = rounding.input(&normed);
                    std::array::from_fn(|_| input.clone())
                }
            };
            all.iter_mut().zip(inputs).for_each(|(all, x)| all.push(x));
        }
        all
    }

    fn norm(&self, x: &[f64], weight: &[f32]) -> Vec<f64> {
        let average = match self.model.config.norm() {
            NormKind::Rms => 0.0,
            NormKind::Layer => x.iter().sum::<f64>() / x.len() as f64,
        };
        let x: Vec<f64> = x.iter().map(|v| v - average).collect();
        let mean = x.iter().map(|v| v * v).sum::<f64>() / x.len() as f64;
        let scale = 1.0 / (mean + f64::from(self.model.config.rms_epsilon)).sqrt();
        x.iter()
            .zip(weight)
            .map(|(v, w)| v * scale * f64::from(*w))
            .collect()
    }

    /// The heads of `row`, each normalised where there is a weight for it.
    fn norm_heads(&self, row: &[f64], weight: Option<&Vec<f32>>) -> Vec<f64> {
        let Some(weight) = weight else {
            return row.to_vec();
        };
        let heads = row.chunks(weight.len());
        heads.flat_map(|head| self.norm(head, weight)).collect()
    }

    fn rope(&self, heads: &mut [f64], position: usize) {
        let c = &self.model.config;
        for head in heads.chunks_exact_mut(c.head_dim) {
            for pair in 0..c.rope_dims / 2 {
                let factor = self
                    .model
                    .rope_factors
                    .as_ref()
                    .map_or(1.0, |f| f64::from(f[pair]));
                let power = -2.0 * pair as f64 / c.rope_dims as f64;
                let angle = position as f64 / f64::from(c.rope_linear_factor)
                    * f64::from(c.rope_base).powf(power)
                    / factor;
                let (i, j) = match c.rope_pairing {
                    RopePairing::Halves => (pair, pair + c.rope_dims / 2),
                    RopePairing::Adjacent => (2 * pair, 2 * pair + 1),
                };
                let (a, b) = (head[i], head[j]);
                head[i] = a * angle.cos() - b * angle.sin();
                head[j] = a * angle.sin() + b * angle.cos();
            }
        }
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add(x: &mut Vectors, delta: Vectors) {
    for (x, delta) in x.iter_mut().zip(delta) {
        x.iter_mut().zip(delta).for_each(|(x, d)| *x += d);
    }
}

/// A matrix of the model.
struct Matrix<'m> {
    weights: Weights<'m>,
    /// Its rows, where they are held.
    held: Option<Vectors>,
}

#[derive(Clone, Copy)]
enum Weights<'m> {
    Linear(&'m LinearWeights),
    /// Each weight in half precision.
    Half(&'m DenseMatrix),
}

impl<'m> Matrix<'m> {
    fn of(weights: Weights<'m>, hold: bool) -> Matrix<'m> {
        let rows = match weights {
            Weights::Linear(weights) => weights.rows(),
            Weights::Half(matrix) => matrix.rows(),
        };
        let held = hold.then(|| (0..rows).map(|row| read(weights, row)).collect());
        Matrix { weights, held }
    }

    /// The product with each token; a row is read once for all of them.
    fn times(&self, x: &Vectors) -> Vectors {
        let (rows, scale) = match self.weights {
            Weights::Linear(weights) => (weights.rows(), f64::from(weights.scale())),
            Weights::Half(matrix) => (matrix.rows(), 1.0),
        };
        let product = |row: usize| {
            let row = match &self.held {
                Some(held) => Cow::Borrowed(&held[row]),
                None => Cow::Owned(read(self.weights, row)),
            };
            x.iter().map(|x| dot(&row, x) * scale).collect()
        };
        let large = rows * x.len() * x[0].len() > LARGE;
        let products: Vectors = each(rows, large, product);
        (0..x.len())
            .map(|token| products.iter().map(|row| row[token]).collect())
            .collect()
    }
}

/// A row of a matrix, without the scale of its tensor.
fn read(weights: Weights<'_>, row: usize) -> Vec<f64> {
    let dense = |matrix: &DenseMatrix| {
        let mut values = vec![0f32; matrix.cols()];
        matrix.read_row(row, &mut values);
        values.into_iter().map(f64::from)
    };
    match weights {
        Weights::Half(matrix) => dense(matrix).map(rounding::half).collect(),
        Weights::Linear(LinearWeights::Dense(matrix)) => dense(matrix).collect(),
        Weights::Linear(LinearWeights::Ternary(matrix)) => {
            let mut trits = vec![0i8; matrix.cols()];
            matrix.read_row(row, &mut trits);
            trits.into_iter().map(f64::from).collect()
        }
    }
}

/// Products from which on more than one thread is worth while.
const LARGE: usize = 1 << 18;

/// What `f` gives for each index, by all threads where it is large work.
fn each(count: usize, large: bool, f: impl Fn(usize) -> Vec<f64> + Sync + Send) -> Vectors {
    if large {
        (0..count).into_par_iter().map(f).collect()
    } else {
        (0..count).map(f).collect()
    }
}
