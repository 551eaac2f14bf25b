//! Jobs of single layers: one kernel, one shape, so many tokens at a time.

use super::job::{WEIGHTS_SEED, gigabytes, precision_of, reference_of, too_much};
use super::select;
use super::{Case, Choices, Machine, PlanError, PlannedJob, Suite, Timing, given, thread_counts};
use crate::models;
use crate::suite::{LARGEST_TOKENS, LayerShape, Shape, find_shape, layer_shape};
use crate::worker::{ModelSource, layer_copies, layer_matrices_of_repetition};
use bitbench_engine::heads;
use bitbench_engine::kernels::KernelVariant;
use bitbench_reports::record::{EngineInfo, Job, Layer, ModelInfo, WeightsOrigin};
use bitbench_reports::stats;
use std::path::Path;

/// What a worker takes beside its weights.
const WORKER_BYTES: u64 = 64 << 20;

/// The layer that a name stands for, unless a shape or a file has that name.
pub(super) fn named(shapes: &[Shape], name: &str) -> Option<LayerShape> {
    let layer = layer_shape(name)?;
    let other = find_shape(shapes, name).is_some() || models::exists(Path::new(name));
    (!other).then_some(layer)
}

/// The jobs of a case that is a layer.
pub(super) fn jobs(
    case: &Case,
    layer: LayerShape,
    suite: &Suite,
    choices: &Choices,
    machine: &Machine<'_>,
    timing: &Timing<'_>,
) -> Result<Vec<PlannedJob>, PlanError> {
    let patterns = given(&choices.kernels, case.kernels.as_ref(), &suite.kernels);
    let selected = select::select(patterns, machine.cpu)?;
    let rounds = match choices.quick {
        true => suite.quick.rounds,
        false => case.rounds.unwrap_or(suite.rounds),
    };
    let mut jobs = Vec::new();
    for &tokens in given(&choices.batch, case.batch.as_ref(), &suite.batch) {
        for (_, kernel) in &selected {
            for threads in thread_counts(suite, choices, machine) {
                let wanted = Wanted {
                    name: &case.model,
                    layer,
                    kernel,
                    threads,
                    tokens,
                    rounds,
                };
                jobs.push(wanted.plan(machine, timing));
            }
        }
    }
    Ok(jobs)
}

struct Wanted<'a> {
    name: &'a str,
    layer: LayerShape,
    kernel: &'static KernelVariant,
    threads: u32,
    tokens: u32,
    rounds: u32,
}

impl Wanted<'_> {
    fn plan(&self, machine: &Machine<'_>, timing: &Timing<'_>) -> PlannedJob {
        let (kernel, threads, tokens) = (self.kernel, self.threads, self.tokens);
        let LayerShape { rows, cols } = self.layer;
        let round_s = self.round_s(timing);
        let mut id = format!("{}/{}/{threads}", self.name, kernel.name);
        if tokens != 1 {
            id = format!("{id}/b{tokens}");
        }
        PlannedJob {
            job: Job {
                id,
                model: ModelInfo {
                    name: self.name.to_owned(),
                    weights: WeightsOrigin::Synthetic { seed: WEIGHTS_SEED },
                    ternarized: false,
                },
                layer: Some(Layer {
                    rows: rows as u64,
                    columns: cols as u64,
                }),
                build: None,
                engine: EngineInfo {
                    name: "bitbench".to_owned(),
                    version: crate::VERSION.to_owned(),
                },
                kernel: kernel.name.to_owned(),
                head: heads::default().name.to_owned(),
                precision: precision_of(kernel),
                threads,
                prefill_tokens: 0,
                decode_tokens: 0,
                batch: tokens,
                rounds: self.rounds,
                control_of: None,
                injected_percent: None,
            },
            source: ModelSource::Layer {
                rows,
                columns: cols,
                seed: WEIGHTS_SEED,
            },
            reference_kernel: reference_of(kernel.family),
            reference_head: heads::default().name,
            vocab: 0,
            round_s,
            needed_bytes: self.needed_bytes(),
            slice_s: None,
            skip: self.obstacle(round_s, machine, timing),
        }
    }

    fn weights(&self) -> u64 {
        (self.layer.rows * self.layer.cols) as u64
    }

    /// Bytes of all copies.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "an estimate"
    )]
    fn bytes(&self) -> u64 {
        let copies = layer_copies(self.layer, self.kernel) as f64;
        (self.weights() as f64 * copies * f64::from(self.kernel.bits_per_weight) / 8.0) as u64
    }

    /// Predicted time of a round: packing, check, warm-up, the window, the yardsticks, idle windows.
    #[expect(clippy::cast_precision_loss, reason = "a prediction")]
    fn round_s(&self, timing: &Timing<'_>) -> f64 {
        let (speeds, kernel, threads) = (timing.speeds, self.kernel, self.threads);
        let (weights, copies) = (self.weights(), layer_copies(self.layer, self.kernel));
        let one = match self.tokens {
            1 => speeds.token_s(kernel, weights, self.bytes() / copies as u64, threads),
            tokens => speeds.prompt_s(kernel, weights, tokens, threads),
        };
        let repetition = one * layer_matrices_of_repetition(self.layer, self.tokens, copies) as f64;
        let warm_up = timing
            .warm_up_s
            .max(stats::TREND_LENGTH as f64 * repetition);
        speeds.load_s(weights * copies as u64, self.bytes())
            + one
            + warm_up
            + repetition.max(timing.window_s)
            + 2.0 * (0.3 * timing.window_s).max(0.1)
            + 2.0 * timing.idle_s
    }

    /// Memory of a worker: all copies, the tokens in and out, and what it takes besides.
    fn needed_bytes(&self) -> u64 {
        let values = u64::from(self.tokens) * (self.layer.rows + 2 * self.layer.cols) as u64;
        self.bytes() + 4 * values + WORKER_BYTES
    }

    /// Why a job is not tried.
    fn obstacle(&self, round_s: f64, machine: &Machine<'_>, timing: &Timing<'_>) -> Option<String> {
        let needed = self.needed_bytes();
        if let Err(missing) = machine.cpu.require(self.kernel.requires) {
            Some(missing.to_string())
        } else if self.tokens > LARGEST_TOKENS {
            Some(format!(
                "{} tokens at a time, at most {LARGEST_TOKENS} are checked",
                self.tokens
            ))
        } else if let Some(available) = machine.available_memory.filter(|a| too_much(needed, *a)) {
            Some(format!(
                "needs about {} of memory, {} is available",
                gigabytes(needed),
                gigabytes(available)
            ))
        } else if self.threads > machine.physical_cores {
            Some(format!(
                "{} threads on {} physical cores",
                self.threads, machine.physical_cores
            ))
        } else if round_s > timing.limit_s {
            Some(format!(
                "a round is predicted to take {round_s:.0} s, more than the {:.0} s this suite allows",
                timing.limit_s
            ))
        } else {
            None
        }
    }
}
