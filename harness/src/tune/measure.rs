//! Reading how long candidates take.

use super::{Candidate, LayerShape, Phase, Task, TuneError, layer_seconds};
use bitbench_engine::activations::Activations;
use bitbench_engine::kernels::{KernelVariant, PackError, PackedMatrix};
use bitbench_engine::linear::linear;
use bitbench_engine::ops::SharedIsa;
use bitbench_engine::threads::Pool;
use bitbench_engine::weights::LinearWeights;
use bitbench_reports::design::row;
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
            for index in row(self.seed, 0, round, candidates.len()) {
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
            let start = Instant::now();
            linear(self.pool, activations, &mut [(*matrix, out)]);
            let (sum, count) = &mut sums[*shape];
            *sum += start.elapsed();
            *count += 1;
        }
    }
}

/// Whether a candidate was so slow in the first round that it is not run again.
pub(super) fn hopeless(candidates: &[Candidate], shapes: &[LayerShape]) -> Vec<bool> {
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
