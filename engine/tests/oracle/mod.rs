//! The papers written down once more, in double precision and without any cleverness.
//!
//! Single and double precision round a value to different neighbours where it stands near the middle of them: to int8, or to
//! half precision in the cache. Such a step is far larger than what else they differ by, and no fault. So the oracle knows
//! which roundings are open (see [`rounding`]), and [`Oracle::follow`] asks that the engine gives the answer of one way to
//! round them, to the last digits, token after token.

mod rounding;

use bitbench_engine::model::{Activation, Model, NormKind, RopePairing};
use bitbench_engine::weights::LinearWeights;
use half::f16;
pub(crate) use rounding::Inputs;
use rounding::{Ties, every_choice};

/// A matrix of the model, decoded.
struct Linear {
    /// `[rows][cols]`
    rows: Vec<Vec<f64>>,
    scale: f64,
}

impl Linear {
    fn of(weights: &LinearWeights) -> Linear {
        let (mut trits, mut dense) = (vec![0i8; weights.cols()], vec![0f32; weights.cols()]);
        let rows = (0..weights.rows()).map(|row| match weights {
            LinearWeights::Ternary(matrix) => {
                matrix.read_row(row, &mut trits);
                trits.iter().map(|w| f64::from(*w)).collect()
            }
            LinearWeights::Dense(matrix) => {
                matrix.read_row(row, &mut dense);
                dense.iter().map(|w| f64::from(*w)).collect()
            }
        });
        let rows = rows.collect();
        let scale = match weights {
            LinearWeights::Ternary(matrix) => f64::from(matrix.scale()),
            LinearWeights::Dense(_) => 1.0,
        };
        Linear { rows, scale }
    }

    fn times(&self, x: &[f64]) -> Vec<f64> {
        let dot = |row: &Vec<f64>| row.iter().zip(x).map(|(w, x)| w * x).sum::<f64>();
        self.rows.iter().map(|row| dot(row) * self.scale).collect()
    }
}

/// Keys and values of the tokens so far: `[layer][position][kv_heads * head_dim]`.
#[derive(Debug, Clone)]
struct Cache {
    keys: Vec<Vec<Vec<f64>>>,
    values: Vec<Vec<Vec<f64>>>,
}

/// One sequence, one token after the other, vectors of f64.
pub(crate) struct Oracle<'m> {
    model: &'m Model,
    inputs: Inputs,
    /// Whether keys and values are kept in half precision, as the engine keeps them.
    pub(crate) half_cache: bool,
    /// Query, key, value, output, up, down of each layer, and gate where it has one.
    layers: Vec<([Linear; 6], Option<Linear>)>,
    /// In half precision.
    head: Vec<Vec<f64>>,
}

impl<'m> Oracle<'m> {
    pub(crate) fn new(model: &'m Model, inputs: Inputs) -> Self {
        let layers = model.layers.iter().map(|l| {
            let all = [&l.query, &l.key, &l.value, &l.output, &l.up, &l.down];
            (all.map(Linear::of), l.gate.as_ref().map(Linear::of))
        });
        let head = model.head.as_ref().unwrap_or(&model.embedding);
        let mut row = vec![0f32; model.config.hidden];
        let rows = (0..model.config.vocab).map(|token| {
            head.read_row(token, &mut row);
            row.iter().map(|w| f16::from_f32(*w).to_f64()).collect()
        });
        Oracle {
            model,
            inputs,
            half_cache: true,
            layers: layers.collect(),
            head: rows.collect(),
        }
    }

    fn empty(&self) -> Cache {
        let empty = vec![Vec::new(); self.model.config.layers];
        Cache {
            keys: empty.clone(),
            values: empty,
        }
    }

    /// The logits after every token, each value rounded to its nearest neighbour.
    pub(crate) fn logits(&self, tokens: &[u32]) -> Vec<f64> {
        let states = self.states(tokens);
        states.iter().flat_map(|x| self.times_head(x)).collect()
    }

    /// The states after every token, each value rounded to its nearest neighbour.
    pub(crate) fn states(&self, tokens: &[u32]) -> Vec<Vec<f64>> {
        let mut cache = self.empty();
        let state = |token: &u32| self.state(*token, &mut cache, &mut Ties::new(&[]));
        tokens.iter().map(state).collect()
    }

    fn times_head(&self, x: &[f64]) -> Vec<f64> {
        let dot = |row: &Vec<f64>| row.iter().zip(x).map(|(w, x)| w * x).sum();
        self.head.iter().map(dot).collect()
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

    /// What some projections read: `x` normalised with what they share, and rounded; once for all, or where they have norms
    /// of their own, for each.
    fn inputs<const N: usize>(
        &self,
        x: &[f64],
        shared: &[f32],
        own: Option<[&Vec<f32>; N]>,
        ties: &mut Ties<'_>,
    ) -> [Vec<f64>; N] {
        let normed = self.norm(x, shared);
        match own {
            Some(own) => own.map(|own| ties.input(&self.norm(&normed, own), self.inputs)),
            None => {
                let input = ties.input(&normed, self.inputs);
                std::array::from_fn(|_| input.clone())
            }
        }
    }

    /// The heads of `row`, each normalised.
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

    /// The state after a token: the output of the last norm.
    fn state(&self, token: u32, cache: &mut Cache, ties: &mut Ties<'_>) -> Vec<f64> {
        let config = &self.model.config;
        let inputs = self.inputs;
        let mut row = vec![0f32; config.hidden];
        self.model.embedding.read_row(token as usize, &mut row);
        let mut x: Vec<f64> = row.iter().map(|v| f16::from_f32(*v).to_f64()).collect();
        for (index, (layer, linear)) in self.model.layers.iter().zip(&self.layers).enumerate() {
            let ([query, key, value, output, up, down], gate) = linear;
            let (keys, values) = (&mut cache.keys[index], &mut cache.values[index]);
            let own = layer.input_norms.as_ref();
            let heads = layer.head_norms.as_ref();
            let own_norms = own.map(|n| [&n.query, &n.key, &n.value]);
            let [a, b, c] = self.inputs(&x, &layer.attention_norm, own_norms, ties);
            let (query, key, mut value) = (query.times(&a), key.times(&b), value.times(&c));
            let mut query = self.norm_heads(&query, heads.map(|n| &n.query));
            let mut key = self.norm_heads(&key, heads.map(|n| &n.key));
            let position = keys.len();
            self.rope(&mut query, position);
            self.rope(&mut key, position);
            if self.half_cache {
                (key, value) = (ties.half(&key), ties.half(&value));
            }
            keys.push(key);
            values.push(value);
            let mut mixed = vec![0.0; query.len()];
            for head in 0..config.heads {
                let q = &query[head * config.head_dim..][..config.head_dim];
                let at = head / (config.heads / config.kv_heads) * config.head_dim;
                let score = |k: &Vec<f64>| {
                    let dot: f64 = q.iter().zip(&k[at..]).map(|(q, k)| q * k).sum();
                    (dot / (config.head_dim as f64).sqrt()).exp()
                };
                let scores: Vec<f64> = keys.iter().map(score).collect();
                let total: f64 = scores.iter().sum();
                for (score, value) in scores.iter().zip(&*values) {
                    for dim in 0..config.head_dim {
                        mixed[head * config.head_dim + dim] += score / total * value[at + dim];
                    }
                }
            }
            if let Some(weight) = &layer.attention_sub_norm {
                mixed = self.norm(&mixed, weight);
            }
            let delta = output.times(&ties.input(&mixed, inputs));
            x.iter_mut().zip(delta).for_each(|(x, d)| *x += d);
            let own_norms = own.map(|n| [&n.gate, &n.up]);
            let [a, b] = self.inputs(&x, &layer.ffn_norm, own_norms, ties);
            let gate = gate.as_ref().map(|gate| gate.times(&a));
            let up = up.times(&b);
            let act = |g: f64| match config.activation() {
                Activation::Silu => g / (1.0 + (-g).exp()),
                Activation::SquaredRelu => g.max(0.0).powi(2),
                Activation::Gelu => {
                    let inner = (2.0 / std::f64::consts::PI).sqrt() * (g + 0.044_715 * g.powi(3));
                    0.5 * g * (1.0 + inner.tanh())
                }
            };
            let mut inner: Vec<f64> = match gate {
                Some(gate) => gate.iter().zip(up).map(|(g, u)| act(*g) * u).collect(),
                None => up.into_iter().map(act).collect(),
            };
            if let Some(weight) = &layer.ffn_sub_norm {
                inner = self.norm(&inner, weight);
            }
            let delta = down.times(&ties.input(&inner, inputs));
            x.iter_mut().zip(delta).for_each(|(x, d)| *x += d);
        }
        self.norm(&x, &self.model.final_norm)
    }
}

/// Relative L2 distance.
pub(crate) fn distance(got: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(got.len(), expected.len());
    let difference = got.iter().zip(expected);
    let difference: f64 = difference.map(|(g, e)| (f64::from(*g) - e).powi(2)).sum();
    (difference / expected.iter().map(|e| e * e).sum::<f64>()).sqrt()
}

impl Oracle<'_> {
    /// Follows the engine: for each token, the ways to round the values that are open and to give its logits within `tolerance`.
    /// Gives the number of tokens that were followed: all of them, or those before the first that no way explains.
    pub(crate) fn follow(&self, tokens: &[u32], got: &[f32], tolerance: f64) -> usize {
        /// Ways to have come so far that are kept: a key of the cache that is rounded otherwise may show in the logits of later
        /// tokens only.
        const KEPT: usize = 16;
        // The sum of the squared distances so far, and where it led.
        let mut kept = vec![(0.0, self.empty())];
        let vocab = got.len() / tokens.len();
        for (position, (token, got)) in tokens.iter().zip(got.chunks_exact(vocab)).enumerate() {
            let mut ends: Vec<(f64, Cache)> = Vec::new();
            for (sum, before) in &kept {
                every_choice(|choices| {
                    let (mut cache, mut ties) = (before.clone(), Ties::new(choices));
                    let off = distance(
                        got,
                        &self.times_head(&self.state(*token, &mut cache, &mut ties)),
                    );
                    if off < tolerance {
                        ends.push((sum + off * off, cache));
                    }
                    ties.met
                });
            }
            if ends.is_empty() {
                return position;
            }
            ends.sort_by(|a, b| a.0.total_cmp(&b.0));
            ends.truncate(KEPT);
            kept = ends;
        }
        tokens.len()
    }
}
