//! Which kernel and how many threads are fastest for the layers of a model on this machine.
//!
//! Every variant packs the shapes of the model's linear layers, as many of them as no last-level cache holds (or as the model
//! has), and multiplies by them one after the other, as a forward pass does. A task is a variant with a number of threads in
//! one phase; a round runs every task once, in an order drawn from a seed.

mod measure;
mod stored;
mod verdict;

pub use stored::{Choice, Fingerprint, StoredError, TUNED_FILE, Tuned, TunedModel};
pub use verdict::{Verdict, verdict};

use bitbench_engine::cpu::Cpu;
use bitbench_engine::kernels::{KernelVariant, PackError};
use bitbench_engine::model::Config;
use bitbench_reports::record::Precision;
use bitbench_reports::summary::Figure;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io;

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
    let wide = if config.has_gate() { 2 } else { 1 };
    for (rows, cols, in_layer) in [
        (query, hidden, 1),
        (kv, hidden, 2),
        (hidden, query, 1),
        (ffn, hidden, wide),
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

#[cfg(test)]
mod tests {
    use super::measure::hopeless;
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
