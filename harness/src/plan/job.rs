//! One job of a plan: what it needs, how long it takes, and why it is not tried.

use super::subject::{Subject, SubjectKind};
use super::{CHECK_PROMPT, Machine, PlannedJob, Timing, check_continuation};
use crate::worker::ModelSource;
use bitbench_engine::cpu::Cpu;
use bitbench_engine::heads::{self, HeadChoice};
use bitbench_engine::kernels::{self, Family, KernelVariant};
use bitbench_engine::network::Network;
use bitbench_reports::record::{EngineInfo, Job, ModelInfo, Precision, WeightsOrigin};
use bitbench_reports::stats;

/// Seed of synthetic weights: the same in every run, so that figures of two runs are about the same work.
pub const WEIGHTS_SEED: u64 = 1;
/// Share of the available memory that a job may take.
const MEMORY_SHARE: f64 = 0.9;
/// What a worker takes beside weights and KV cache: code, working memory of a 512-token batch.
const WORKER_BYTES: u64 = 128 << 20;

/// What a job is to measure.
pub(super) struct Wanted<'a> {
    pub(super) subject: &'a Subject,
    pub(super) kernel: &'static KernelVariant,
    pub(super) head: &'static HeadChoice,
    pub(super) threads: u32,
    pub(super) prefill: u32,
    pub(super) decode: u32,
    pub(super) batch: u32,
    pub(super) rounds: u32,
    /// Whether ternary kernels get half-precision layers made ternary.
    pub(super) ternarize: bool,
}

/// Where the weights of a job come from.
struct Weights {
    source: ModelSource,
    origin: WeightsOrigin,
    ternarized: bool,
    /// Why the kernel cannot multiply by them.
    unfit: Option<String>,
}

pub(super) fn plan_job(
    wanted: &Wanted<'_>,
    machine: &Machine<'_>,
    timing: &Timing<'_>,
) -> PlannedJob {
    let &Wanted {
        subject,
        kernel,
        head,
        threads,
        prefill,
        decode,
        batch,
        rounds,
        ..
    } = wanted;
    let precision = precision_of(kernel);
    let weights = weights(wanted, precision);
    let round_s = round_s(wanted, timing);
    let needed = needed_bytes(wanted);
    let skip = obstacle(
        wanted,
        weights.unfit,
        needed,
        round_s,
        machine,
        timing.limit_s,
    );
    let mut id = format!("{}/{}/{threads}", subject.name, kernel.name);
    if head.name != heads::default().name {
        id = format!("{id}/{}", head.name);
    }
    if batch != 1 {
        id = format!("{id}/b{batch}");
    }
    let job = Job {
        id,
        model: ModelInfo {
            name: subject.name.clone(),
            weights: weights.origin,
            ternarized: weights.ternarized,
        },
        layer: None,
        build: None,
        engine: EngineInfo {
            name: "bitbench".to_owned(),
            version: crate::VERSION.to_owned(),
        },
        kernel: kernel.name.to_owned(),
        head: head.name.to_owned(),
        precision,
        threads,
        prefill_tokens: prefill,
        decode_tokens: decode,
        batch,
        rounds,
        control_of: None,
        injected_percent: None,
    };
    let reference_head = if head.exact { heads::default() } else { head };
    PlannedJob {
        job,
        source: weights.source,
        reference_kernel: reference_of(kernel.family),
        reference_head: reference_head.name,
        vocab: u32::try_from(subject.config.vocab).unwrap_or(u32::MAX),
        round_s,
        needed_bytes: needed,
        slice_s: None,
        skip,
    }
}

fn weights(wanted: &Wanted<'_>, precision: Precision) -> Weights {
    match &wanted.subject.kind {
        SubjectKind::Shape(shape) => Weights {
            source: ModelSource::Synthetic {
                shape: shape.clone(),
                seed: WEIGHTS_SEED,
            },
            origin: WeightsOrigin::Synthetic { seed: WEIGHTS_SEED },
            ternarized: false,
            unfit: None,
        },
        SubjectKind::File {
            path,
            hash,
            not_ternary,
        } => {
            // The baseline runs the file as it is; only ternary kernels get the ternarized weights.
            let not_ternary = not_ternary
                .as_ref()
                .filter(|_| precision == Precision::Ternary);
            let ternarized = wanted.ternarize && not_ternary.is_some();
            Weights {
                source: ModelSource::File {
                    path: path.clone(),
                    ternarize: ternarized,
                },
                origin: WeightsOrigin::File {
                    path: path.display().to_string(),
                    hash: hash.clone(),
                },
                ternarized,
                unfit: not_ternary.filter(|_| !ternarized).cloned(),
            }
        }
    }
}

/// Bytes of the weights in memory.
fn weights_bytes(wanted: &Wanted<'_>) -> u64 {
    let subject = wanted.subject;
    Network::estimated_bytes(
        &subject.config,
        subject.tied_head,
        wanted.kernel,
        wanted.head,
    )
}

/// Predicted time of a round: load, check, warm-up, prefill window, prompt and decode window, whole requests, bandwidth and
/// compute windows, idle windows.
fn round_s(wanted: &Wanted<'_>, timing: &Timing<'_>) -> f64 {
    let (speeds, kernel, threads) = (timing.speeds, wanted.kernel, wanted.threads);
    let (weights, bytes) = (
        wanted.subject.config.linear_weights(),
        weights_bytes(wanted),
    );
    let batch = wanted.batch;
    let prompt_s = |tokens| speeds.prompt_s(kernel, weights, tokens, threads);
    // A step reads the weights once, and multiplies them by a token of each sequence.
    let token_s = speeds.token_s(kernel, weights, bytes, threads);
    let step_s = if batch == 1 {
        token_s
    } else {
        token_s.max(prompt_s(batch))
    };
    speeds.load_s(weights, bytes)
        + prompt_s(CHECK_PROMPT * batch)
        + f64::from(check_continuation(batch)) * step_s
        + prompt_s(wanted.prefill * batch).max(timing.window_s)
        + prompt_s(wanted.prefill * batch)
        + (f64::from(wanted.decode) * step_s).max(timing.window_s)
        + timing
            .warm_up_s
            .max(2.0 * stats::TREND_LENGTH as f64 * step_s)
        + if timing.requests {
            (prompt_s(wanted.prefill * batch) + f64::from(wanted.decode) * step_s)
                .max(timing.window_s)
        } else {
            0.0
        }
        + 2.0 * (0.3 * timing.window_s).max(0.1)
        + 2.0 * timing.idle_s
}

/// Memory of a worker: weights, the keys and values of each sequence in half precision, and what it takes besides.
fn needed_bytes(wanted: &Wanted<'_>) -> u64 {
    let config = &wanted.subject.config;
    let kv_bytes = 4
        * u64::from(wanted.batch)
        * u64::from(positions(wanted.prefill, wanted.decode))
        * (config.layers * config.kv_heads * config.head_dim) as u64;
    weights_bytes(wanted) + kv_bytes + WORKER_BYTES
}

/// Why a job is not tried.
fn obstacle(
    wanted: &Wanted<'_>,
    unfit: Option<String>,
    needed: u64,
    round_s: f64,
    machine: &Machine<'_>,
    limit_s: f64,
) -> Option<String> {
    let (config, threads) = (&wanted.subject.config, wanted.threads);
    let positions = positions(wanted.prefill, wanted.decode);
    if let Err(missing) = machine.cpu.require(wanted.kernel.requires) {
        Some(missing.to_string())
    } else if unfit.is_some() {
        unfit
    } else if positions as usize > config.context_length {
        Some(format!(
            "pp{} and tg{} need more than the {} positions of this model",
            wanted.prefill, wanted.decode, config.context_length
        ))
    } else if let Some(available) = machine.available_memory.filter(|a| too_much(needed, *a)) {
        Some(format!(
            "needs about {} of memory, {} is available",
            gigabytes(needed),
            gigabytes(available)
        ))
    } else if threads > machine.physical_cores {
        Some(format!(
            "{threads} threads on {} physical cores",
            machine.physical_cores
        ))
    } else if round_s > limit_s {
        Some(format!(
            "a round is predicted to take {round_s:.0} s, more than the {limit_s:.0} s this suite allows"
        ))
    } else {
        None
    }
}

/// Positions that each sequence of a job takes, those of the check included.
pub fn positions(prefill: u32, decode: u32) -> u32 {
    (prefill + decode).max(CHECK_PROMPT + check_continuation(1))
}

/// What a kernel computes with.
pub(super) fn precision_of(kernel: &KernelVariant) -> Precision {
    match kernel.family.is_ternary() {
        true => Precision::Ternary,
        false => Precision::Half,
    }
}

/// The portable variant that others of its family are checked against.
pub(super) fn reference_of(family: Family) -> &'static str {
    kernels::best(family, &Cpu::scalar()).name
}

/// Whether a worker of so many bytes, or several together, must not be tried.
pub(super) fn too_much(needed: u64, available: u64) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "bytes of memory")]
    let share = needed as f64 / available as f64;
    share > MEMORY_SHARE
}

#[expect(clippy::cast_precision_loss, reason = "for a message")]
pub(super) fn gigabytes(bytes: u64) -> String {
    format!("{:.1} GB", bytes as f64 / 1e9)
}
