//! Which kernel and how many threads are fastest for the layers of a model on this machine.
//!
//! Every variant packs the shapes of the model's linear layers, as many of them as no last-level cache holds (or as the model
//! has), and multiplies by them one after the other, as a forward pass does. A task is a variant with a number of threads in
//! one phase; a round runs every task once, in a random order.

mod stored;

pub use stored::{Choice, Fingerprint, StoredError, TUNED_FILE, Tuned, TunedModel};

use crate::runner::order;
use bitbench_engine::activations::Activations;
use bitbench_engine::cpu::Cpu;
use bitbench_engine::grid::Grid;
use bitbench_engine::kernels::{KernelVariant, PackError, PackedMatrix};
use bitbench_engine::model::Config;
use bitbench_engine::ops::SharedIsa;
use bitbench_engine::threads::Pool;
use bitbench_engine::weights::LinearWeights;
use bitbench_reports::record::Precision;
use bitbench_reports::summary::Figure;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io;
use std::time::{Duration, Instant};

/// Shortest reading.
const READING: Duration = Duration::from_millis(20);
/// Most passes of a reading.
const MOST_PASSES: u32 = 10_000;
/// Packed layers of a variant are at least this many times the last-level cache, if the model has so many.
const BEYOND_CACHE: u64 = 4;
/// What the last-level cache is taken to be where the system does not tell.
const UNKNOWN_CACHE: u64 = 32 << 20;
/// A layer of more weights is represented by one matrix of each shape.
const LARGE_LAYER: u64 = 1 << 27;
/// A candidate this many times slower than the best of the first round is not run again.
const HOPELESS: f64 = 3.0;

/// A phase of inference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// One token.
    Decode,
    /// A batch of tokens.
    Prefill,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Phase::Decode => "decode",
            Phase::Prefill => "prefill",
        })
    }
}

/// A shape of linear layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerShape {
    /// Outputs.
    pub rows: usize,
    /// Inputs.
    pub cols: usize,
    /// Matrices of this shape in one layer.
    pub in_layer: usize,
}

/// The shapes of the linear layers of a model, each once, in the order of a forward pass.
pub fn layer_shapes(config: &Config) -> Vec<LayerShape> {
    let (hidden, ffn) = (config.hidden, config.ffn);
    let query = config.heads * config.head_dim;
    let kv = config.kv_heads * config.head_dim;
    let mut shapes: Vec<LayerShape> = Vec::new();
    for (rows, cols, in_layer) in [
        (query, hidden, 1),
        (kv, hidden, 2),
        (hidden, query, 1),
        (ffn, hidden, 2),
        (hidden, ffn, 1),
    ] {
        match shapes.iter_mut().find(|s| (s.rows, s.cols) == (rows, cols)) {
            Some(same) => same.in_layer += in_layer,
            None => shapes.push(LayerShape {
                rows,
                cols,
                in_layer,
            }),
        }
    }
    shapes
}

/// What to measure.
#[derive(Debug)]
pub struct Task<'a> {
    /// The CPU.
    pub cpu: &'a Cpu,
    /// Size of its last-level cache in bytes.
    pub last_level_cache: Option<u64>,
    /// Layers of the model.
    pub layers: usize,
    /// The shapes in each.
    pub shapes: &'a [LayerShape],
    /// Variants, all of which run on this CPU.
    pub kernels: &'a [&'static KernelVariant],
    /// Numbers of threads.
    pub threads: &'a [u32],
    /// Tokens of a prefill batch.
    pub prefill_tokens: usize,
    /// Rounds.
    pub rounds: u32,
    /// Seed of the order.
    pub seed: u64,
}

/// A variant with a number of threads in one phase, and what was read.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The variant.
    pub kernel: &'static KernelVariant,
    /// The phase.
    pub phase: Phase,
    /// Threads.
    pub threads: u32,
    /// Seconds of one multiplication by a matrix of each shape: `[round][shape]`. A hopeless candidate has one round.
    pub seconds: Vec<Vec<f64>>,
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TuneError {
    /// The system gave no threads.
    #[error("cannot start {threads} threads: {source}")]
    Threads {
        /// Threads asked for.
        threads: u32,
        /// The cause.
        source: io::Error,
    },
    /// Weights could not be packed.
    #[error(transparent)]
    Pack(#[from] PackError),
}

/// What a variant is, as a record calls it.
pub fn precision(kernel: &KernelVariant) -> Precision {
    if kernel.family.is_ternary() {
        Precision::Ternary
    } else {
        Precision::Half
    }
}

impl Task<'_> {
    /// Matrices that a variant packs: shape and how many layers' worth.
    fn copies(&self, kernel: &KernelVariant) -> (usize, bool) {
        let weights = |in_layer: bool| -> u64 {
            let of_shape = |s: &LayerShape| {
                (s.rows * s.cols) as u64 * if in_layer { s.in_layer as u64 } else { 1 }
            };
            self.shapes.iter().map(of_shape).sum()
        };
        let whole_layers = weights(true) <= LARGE_LAYER;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            clippy::cast_sign_loss,
            reason = "bytes of a layer"
        )]
        let bytes = (weights(whole_layers) as f64 * f64::from(kernel.bits_per_weight) / 8.0) as u64;
        let beyond = BEYOND_CACHE * self.last_level_cache.unwrap_or(UNKNOWN_CACHE);
        let copies = usize::try_from(beyond.div_ceil(bytes.max(1))).unwrap_or(usize::MAX);
        (copies.clamp(1, self.layers), whole_layers)
    }

    /// Bytes that all variants take once they are packed, about.
    pub fn estimated_bytes(&self) -> u64 {
        let of_kernel = |kernel: &&KernelVariant| -> u64 {
            let (copies, whole_layers) = self.copies(kernel);
            let weights: usize = self
                .shapes
                .iter()
                .map(|s| s.rows * s.cols * if whole_layers { s.in_layer } else { 1 })
                .sum();
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_precision_loss,
                clippy::cast_sign_loss,
                reason = "an estimate"
            )]
            let bytes = (weights as f64 * f64::from(kernel.bits_per_weight) / 8.0) as u64;
            bytes * copies as u64
        };
        self.kernels.iter().map(of_kernel).sum()
    }

    /// Measures every candidate; `between` is called before each round with its number, from 0.
    ///
    /// # Errors
    /// See [`TuneError`].
    ///
    /// # Panics
    /// If a number of threads is 0.
    pub fn measure(&self, mut between: impl FnMut(u32)) -> Result<Vec<Candidate>, TuneError> {
        let mut pools = Vec::new();
        for &threads in self.threads {
            let source = |source| TuneError::Threads { threads, source };
            pools.push(Pool::new(threads as usize).map_err(source)?);
        }
        let mut packed: Vec<Vec<Packed>> = Vec::new();
        for kernel in self.kernels {
            packed.push(self.pack(kernel)?);
        }
        let mut candidates = Vec::new();
        let mut works = Vec::new();
        for phase in [Phase::Decode, Phase::Prefill] {
            for (kernel, matrices) in self.kernels.iter().zip(&packed) {
                for (pool, &threads) in pools.iter().zip(self.threads) {
                    candidates.push(Candidate {
                        kernel,
                        phase,
                        threads,
                        seconds: Vec::new(),
                    });
                    works.push(self.work(kernel, matrices, pool, phase));
                }
            }
        }
        for round in 0..self.rounds {
            between(round);
            let hopeless = hopeless(&candidates, self.shapes);
            for index in order(self.seed, round, candidates.len()) {
                if !hopeless[index] {
                    let seconds = works[index].run(self.shapes.len());
                    candidates[index].seconds.push(seconds);
                }
            }
        }
        Ok(candidates)
    }

    /// Matrices with the index of their shape, layer after layer.
    fn pack(&self, kernel: &KernelVariant) -> Result<Vec<Packed>, PackError> {
        let (copies, whole_layers) = self.copies(kernel);
        let mut matrices = Vec::new();
        for copy in 0..copies {
            for (index, shape) in self.shapes.iter().enumerate() {
                for number in 0..if whole_layers { shape.in_layer } else { 1 } {
                    let seed = (copy * 8 + number) as u64;
                    let weights = LinearWeights::synthetic(shape.rows, shape.cols, seed);
                    matrices.push((index, (kernel.pack)(&weights, self.cpu)?));
                }
            }
        }
        Ok(matrices)
    }

    fn work<'m>(
        &self,
        kernel: &KernelVariant,
        matrices: &'m [Packed],
        pool: &'m Pool,
        phase: Phase,
    ) -> Work<'m> {
        let tokens = match phase {
            Phase::Decode => 1,
            Phase::Prefill => self.prefill_tokens,
        };
        let isa = SharedIsa::best(self.cpu);
        let prepare = |shape: &LayerShape| {
            let x: Vec<f32> = (0..tokens * shape.cols)
                .map(|i| f32::from(u8::try_from(i * 31 % 251).unwrap_or(0)) - 125.0)
                .collect();
            let mut activations = Activations::new(kernel.family.preparation());
            activations.prepare(&x, shape.cols, pool, isa);
            activations
        };
        // A batch reads each matrix once for many tokens, so one of each shape stands for all.
        let matrices = match phase {
            Phase::Decode => matrices.iter().map(|(i, m)| (*i, &**m)).collect(),
            Phase::Prefill => {
                let mut first: Vec<(usize, &dyn PackedMatrix)> = Vec::new();
                for (index, matrix) in matrices {
                    if first.iter().all(|(i, _)| i != index) {
                        first.push((*index, &**matrix));
                    }
                }
                first
            }
        };
        let largest = self.shapes.iter().map(|s| s.rows).max().unwrap_or(0);
        Work {
            matrices,
            pool,
            activations: self.shapes.iter().map(prepare).collect(),
            out: vec![0.0; tokens * largest],
            tokens,
            passes: None,
        }
    }
}

/// A matrix with the index of its shape.
type Packed = (usize, Box<dyn PackedMatrix>);

/// Everything one candidate needs to run.
struct Work<'m> {
    matrices: Vec<(usize, &'m dyn PackedMatrix)>,
    pool: &'m Pool,
    activations: Vec<Activations>,
    out: Vec<f32>,
    tokens: usize,
    /// Passes over the matrices that take long enough; learnt by the first reading, which is the warm-up.
    passes: Option<u32>,
}

impl Work<'_> {
    /// One reading: seconds of one multiplication by a matrix of each of `shapes` shapes.
    fn run(&mut self, shapes: usize) -> Vec<f64> {
        let passes = match self.passes {
            Some(passes) => passes,
            None => {
                let start = Instant::now();
                self.pass(&mut vec![(Duration::ZERO, 0); shapes]);
                let passes =
                    READING.as_secs_f64() / start.elapsed().as_secs_f64().max(f64::MIN_POSITIVE);
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "within 1 and MOST_PASSES"
                )]
                let passes = passes.ceil().clamp(1.0, f64::from(MOST_PASSES)) as u32;
                *self.passes.insert(passes)
            }
        };
        let mut sums = vec![(Duration::ZERO, 0u32); shapes];
        for _ in 0..passes {
            self.pass(&mut sums);
        }
        sums.into_iter()
            .map(|(sum, count)| sum.as_secs_f64() / f64::from(count.max(1)))
            .collect()
    }

    fn pass(&mut self, sums: &mut [(Duration, u32)]) {
        for (shape, matrix) in &self.matrices {
            let out = &mut self.out[..self.tokens * matrix.rows()];
            let activations = &self.activations[*shape];
            let threads = self.pool.threads();
            let start = Instant::now();
            let grid = Grid::stripes(out, matrix.rows(), threads, matrix.row_block());
            self.pool.run(&|thread| {
                if let Some(mut tile) = grid.take(thread) {
                    matrix.multiply(activations, &mut tile);
                }
            });
            let (sum, count) = &mut sums[*shape];
            *sum += start.elapsed();
            *count += 1;
        }
    }
}

/// Whether a candidate was so slow in the first round that it is not run again.
fn hopeless(candidates: &[Candidate], shapes: &[LayerShape]) -> Vec<bool> {
    let first = |c: &Candidate| {
        let seconds = c.seconds.first()?;
        Some(layer_seconds(seconds, shapes))
    };
    let is = |candidate: &Candidate| {
        let rivals = candidates.iter().filter(|c| candidate.is_rival(c));
        let best = rivals.filter_map(first).reduce(f64::min);
        match (first(candidate), best) {
            (Some(own), Some(best)) => own > HOPELESS * best,
            _ => false,
        }
    };
    candidates.iter().map(is).collect()
}

/// Seconds of all linear layers of one layer.
#[expect(clippy::cast_precision_loss, reason = "matrices of a layer")]
fn layer_seconds(seconds: &[f64], shapes: &[LayerShape]) -> f64 {
    let weighted = seconds.iter().zip(shapes);
    weighted.map(|(s, shape)| s * shape.in_layer as f64).sum()
}

impl Candidate {
    /// Whether the other does the same work with as many threads, in the same kind of weights.
    fn is_rival(&self, other: &Candidate) -> bool {
        self.phase == other.phase
            && self.threads == other.threads
            && precision(self.kernel) == precision(other.kernel)
    }

    /// Seconds of all linear layers of one layer of the model, one number a round.
    pub fn layer_seconds(&self, shapes: &[LayerShape]) -> Vec<f64> {
        let rounds = self.seconds.iter();
        rounds.map(|s| layer_seconds(s, shapes)).collect()
    }

    /// 10^9 weights a second (times tokens) by a matrix of one shape.
    #[expect(clippy::cast_precision_loss, reason = "weights of a matrix")]
    pub fn gweights(&self, index: usize, shape: &LayerShape, tokens: usize) -> Option<Figure> {
        let tokens = if self.phase == Phase::Decode {
            1
        } else {
            tokens
        };
        let work = (shape.rows * shape.cols * tokens) as f64 * 1e-9;
        let rates: Vec<f64> = self.seconds.iter().map(|s| work / s[index]).collect();
        Figure::of(&rates)
    }
}

/// The fastest of some rivals, the one after it, and by how much.
#[derive(Debug, Clone)]
pub struct Verdict<'c> {
    /// The fastest over all linear layers of the model.
    pub winner: &'c Candidate,
    /// The second.
    pub runner_up: Option<&'c Candidate>,
    /// Time of the second over time of the first, one number a round that both have.
    pub ratio: Option<Figure>,
}

impl Verdict<'_> {
    /// Whether the second may be as fast: its time is within the spread of that of the first.
    pub fn within_noise(&self) -> bool {
        self.ratio
            .is_some_and(|r| r.median - r.mad.unwrap_or(0.0) <= 1.0)
    }
}

/// The fastest of these candidates; nothing where there is none.
pub fn verdict<'c>(candidates: &[&'c Candidate], shapes: &[LayerShape]) -> Option<Verdict<'c>> {
    let mut ranked: Vec<(f64, &Candidate)> = candidates
        .iter()
        .filter_map(|c| Some((Figure::of(&c.layer_seconds(shapes))?.median, *c)))
        .collect();
    ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
    let winner = ranked.first()?.1;
    let runner_up = ranked.get(1).map(|(_, c)| *c);
    let ratio = runner_up.and_then(|second| {
        let second = second.layer_seconds(shapes);
        let ratios = second.iter().zip(winner.layer_seconds(shapes));
        Figure::of(&ratios.map(|(b, a)| b / a).collect::<Vec<f64>>())
    });
    Some(Verdict {
        winner,
        runner_up,
        ratio,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitbench_engine::kernels::find;

    const SHAPES: [LayerShape; 2] = [
        LayerShape {
            rows: 8,
            cols: 4,
            in_layer: 2,
        },
        LayerShape {
            rows: 4,
            cols: 8,
            in_layer: 1,
        },
    ];

    fn candidate(kernel: &str, seconds: &[[f64; 2]]) -> Candidate {
        Candidate {
            kernel: find(kernel).expect(kernel),
            phase: Phase::Decode,
            threads: 1,
            seconds: seconds.iter().map(|s| s.to_vec()).collect(),
        }
    }

    #[test]
    fn shapes_are_those_of_the_weights_of_a_model() {
        let shapes = crate::suite::load_shapes().expect("models.toml");
        for shape in &shapes {
            let config = shape.config().expect("a shape");
            let of_layer: usize = layer_shapes(&config)
                .iter()
                .map(|s| s.rows * s.cols * s.in_layer)
                .sum();
            let all = (of_layer * config.layers) as u64;
            assert_eq!(all, config.linear_weights(), "{}", shape.name);
        }
    }

    #[test]
    fn layers_weigh_by_how_often_a_shape_comes() {
        // The first is faster by the second shape alone, which comes half as often.
        let a = candidate("i2s-scalar", &[[3.0, 1.0], [3.0, 1.0], [3.3, 1.0]]);
        let b = candidate("f16-scalar", &[[2.0, 2.0], [2.0, 2.0], [2.0, 2.0]]);
        assert_eq!(a.layer_seconds(&SHAPES), [7.0, 7.0, 7.6]);
        let verdict = verdict(&[&a, &b], &SHAPES).expect("two candidates");
        assert_eq!(verdict.winner.kernel.name, "f16-scalar");
        assert!(!verdict.within_noise());
        let rate = a.gweights(0, &SHAPES[0], 128).expect("three rounds").median;
        assert!((rate - 32e-9 / 3.0).abs() < 1e-15, "{rate}");
    }

    #[test]
    fn a_lead_within_the_spread_is_noise_and_one_candidate_wins_alone() {
        let a = candidate("i2s-scalar", &[[1.0, 1.0], [1.1, 1.0], [0.9, 1.0]]);
        let b = candidate("f16-scalar", &[[1.05, 1.0], [1.0, 1.0], [1.1, 1.0]]);
        assert!(verdict(&[&b, &a], &SHAPES).expect("two").within_noise());
        let alone = verdict(&[&a], &SHAPES).expect("one");
        assert!(alone.runner_up.is_none() && !alone.within_noise());
        assert!(verdict(&[], &SHAPES).is_none());
    }

    #[test]
    fn only_rivals_make_a_candidate_hopeless() {
        let a = candidate("i2s-scalar", &[[1.0, 1.0]]);
        let slow = candidate("i2s-scalar", &[[4.0, 4.0]]);
        let half = candidate("f16-scalar", &[[9.0, 9.0]]);
        let not_yet = candidate("i2s-scalar", &[]);
        let candidates = [a, slow, half, not_yet];
        assert_eq!(hopeless(&candidates, &SHAPES), [false, true, false, false]);
    }

    #[test]
    fn every_runnable_variant_is_measured_in_every_round() {
        let cpu = Cpu::detect();
        let kernels: Vec<&KernelVariant> = bitbench_engine::kernels::VARIANTS
            .iter()
            .copied()
            .filter(|k| cpu.require(k.requires).is_ok())
            .collect();
        let shapes = [LayerShape {
            rows: 64,
            cols: 256,
            in_layer: 3,
        }];
        let task = Task {
            cpu: &cpu,
            last_level_cache: Some(1 << 16),
            layers: 2,
            shapes: &shapes,
            kernels: &kernels,
            threads: &[1],
            prefill_tokens: 5,
            rounds: 2,
            seed: 1,
        };
        let candidates = task.measure(|_| {}).expect("measured");
        assert_eq!(candidates.len(), 2 * kernels.len());
        for candidate in &candidates {
            assert!((1..=2).contains(&candidate.seconds.len()));
            assert!(candidate.seconds.iter().flatten().all(|s| *s > 0.0));
        }
    }
}
