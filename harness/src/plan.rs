//! Suite times host gives jobs: what will be measured, what will not and why, and how long it will take.

use crate::models;
use crate::speeds::Speeds;
use crate::suite::{self, Case, LoadedSuite, Shape, Threads, find_shape};
use crate::tune::{self, Fingerprint, StoredError, TUNED_FILE, Tuned, layer_shapes};
use crate::worker::ModelSource;
use bitbench_engine::cpu::Cpu;
use bitbench_engine::heads::{self, HEADS, HeadChoice};
use bitbench_engine::kernels::{self, Family, KernelVariant};
use bitbench_engine::model::Config;
use bitbench_engine::network::Network;
use bitbench_reports::record::{EngineInfo, Job, ModelInfo, Precision, WeightsOrigin};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Seed of synthetic weights: the same in every run, so that figures of two runs are about the same work.
const WEIGHTS_SEED: u64 = 1;
/// Tokens of the check that every worker passes before it is measured: a batch, and single tokens after it.
pub const CHECK_PROMPT: u32 = 8;
/// Tokens of the check that are run one by one.
pub const CHECK_CONTINUATION: u32 = 8;
/// Share of the available memory that a job may take.
const MEMORY_SHARE: f64 = 0.9;
/// What a worker takes beside weights and KV cache: code, working memory of a 512-token batch.
const WORKER_BYTES: u64 = 128 << 20;
/// The pattern of the best variant of each half-precision family: the report takes the faster one as baseline, phase by phase.
const BEST_HALF: &str = "half-best";
/// The half-precision families.
const HALF: [Family; 2] = [Family::F16, Family::Bf16];

/// What the command line changes in a suite.
#[derive(Debug, Clone, Default)]
pub struct Choices {
    /// Shapes or files in the place of the suite's cases.
    pub models: Vec<String>,
    /// Whether half-precision files are made ternary for ternary kernels.
    pub ternarize: bool,
    /// Kernel patterns in the place of the suite's.
    pub kernels: Vec<String>,
    /// LM heads in the place of the suite's.
    pub heads: Vec<String>,
    /// Numbers of threads in the place of the suite's.
    pub threads: Vec<Threads>,
    /// What `bitbench tune` stored, in the place of [`TUNED_FILE`].
    pub tuned: Option<PathBuf>,
    /// The shortened form.
    pub quick: bool,
}

/// What the plan has to know of the machine.
#[derive(Debug)]
pub struct Machine<'a> {
    /// Its CPU.
    pub cpu: &'a Cpu,
    /// Its physical cores.
    pub physical_cores: u32,
    /// Memory that can be had, in bytes.
    pub available_memory: Option<u64>,
    /// Shortest window the energy counters can measure; absent where none are read.
    pub shortest_energy_window: Option<Duration>,
}

/// Everything a run will do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The jobs, in the order of the report.
    pub jobs: Vec<PlannedJob>,
    /// Shortest measuring window.
    pub window_s: f64,
    /// Length of each idle window; 0 without energy counters.
    pub idle_s: f64,
    /// Predicted time of the whole run.
    pub predicted_s: f64,
}

/// One job and what will become of it.
#[derive(Debug, Clone)]
pub struct PlannedJob {
    /// As it is recorded.
    pub job: Job,
    /// Where the worker finds the weights.
    pub source: ModelSource,
    /// Portable variant whose logits are the reference.
    pub reference_kernel: &'static str,
    /// Head of the reference, with portable loops: that of the job, or half precision where its logits are those.
    pub reference_head: &'static str,
    /// Tokens of the vocabulary.
    pub vocab: u32,
    /// Predicted time of a round.
    pub round_s: f64,
    /// Why it is not tried.
    pub skip: Option<String>,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// A data file is at fault.
    #[error(transparent)]
    Suite(#[from] suite::SuiteError),
    /// A shape is at fault.
    #[error(transparent)]
    Shape(#[from] suite::ShapeError),
    /// Neither a shape nor a file.
    #[error("there is no shape and no file `{name}`; shapes: {known}")]
    UnknownModel {
        /// What was asked for.
        name: String,
        /// The shapes there are.
        known: String,
    },
    /// A head that is not there.
    #[error("there is no head `{name}`; there are: {known}")]
    UnknownHead {
        /// What was asked for.
        name: String,
        /// The heads there are.
        known: String,
    },
    /// The shortened form of a suite that has none.
    #[error(
        "no case of suite {suite} has `quick = true`: leave `--quick` out, or name a model with `--model`"
    )]
    NothingQuick {
        /// The suite.
        suite: String,
    },
    /// A model file is at fault.
    #[error("{0}")]
    Model(String),
    /// A pattern asks for what was tuned, and nothing was, or not here.
    #[error(transparent)]
    Tuned(#[from] StoredError),
    /// A pattern that no variant matches.
    #[error("no kernel variant matches `{pattern}`; there are: {known}")]
    UnknownKernel {
        /// The pattern.
        pattern: String,
        /// The variants there are.
        known: String,
    },
}

/// One model of the plan, resolved.
struct Subject {
    name: String,
    config: Config,
    tied_head: bool,
    kind: SubjectKind,
}

enum SubjectKind {
    Shape(Box<Shape>),
    /// A file, its hash, and why ternary kernels cannot run it as it is.
    File {
        path: PathBuf,
        hash: String,
        not_ternary: Option<String>,
    },
}

impl Subject {
    /// Whether a worker finds these weights there.
    fn is(&self, source: &ModelSource) -> bool {
        match (&self.kind, source) {
            (SubjectKind::Shape(_), ModelSource::Synthetic { .. }) => true,
            (SubjectKind::File { path: a, .. }, ModelSource::File { path: b, .. }) => a == b,
            _ => false,
        }
    }
}

/// Expands a suite on a machine.
///
/// # Errors
/// See [`PlanError`]. A job that cannot run here is no error: it is in the plan, with the reason.
pub fn expand(
    loaded: &LoadedSuite,
    choices: &Choices,
    machine: &Machine<'_>,
) -> Result<Plan, PlanError> {
    let suite = &loaded.suite;
    let shapes = suite::load_shapes()?;
    let cases: Vec<Case> = if choices.models.is_empty() {
        suite
            .cases
            .iter()
            .filter(|c| c.quick || !choices.quick)
            .cloned()
            .collect()
    } else {
        let same = |model: &String| {
            let case = suite
                .cases
                .iter()
                .find(|c| c.model.eq_ignore_ascii_case(model))
                .cloned();
            case.unwrap_or(Case {
                model: model.clone(),
                kernels: None,
                heads: None,
                rounds: None,
                prefill: None,
                decode: None,
                quick: true,
            })
        };
        choices.models.iter().map(same).collect()
    };
    if cases.is_empty() {
        let suite = loaded.name.clone();
        return Err(PlanError::NothingQuick { suite });
    }
    let (plain_s, energy_s, idle_s) = if choices.quick {
        (
            suite.quick.window_s,
            suite.quick.energy_window_s,
            suite.quick.idle_s,
        )
    } else {
        (suite.window_s, suite.energy_window_s, suite.idle_s)
    };
    let (window_s, idle_s) = match machine.shortest_energy_window {
        Some(shortest) => {
            let shortest_s = shortest.as_secs_f64();
            (
                energy_s.max(plain_s).max(shortest_s),
                idle_s.max(shortest_s),
            )
        }
        None => (plain_s, 0.0),
    };
    let speeds = Speeds::probe(machine.cpu, &runnable(machine.cpu), machine.physical_cores);
    let mut jobs: Vec<PlannedJob> = Vec::new();
    for case in &cases {
        let mut subject = resolve(&shapes, &case.model)?;
        // Two files of one name, or a file with the name of a shape: the path tells them apart.
        if jobs
            .iter()
            .any(|j| j.job.model.name == subject.name && !subject.is(&j.source))
        {
            subject.name.clone_from(&case.model);
        }
        let patterns = match (choices.kernels.is_empty(), &case.kernels) {
            (false, _) => &choices.kernels,
            (true, Some(kernels)) => kernels,
            (true, None) => &suite.kernels,
        };
        let threads = if choices.threads.is_empty() {
            &suite.threads
        } else {
            &choices.threads
        };
        let mut counts: Vec<u32> = threads
            .iter()
            .map(|t| t.count(machine.physical_cores))
            .collect();
        counts.sort_unstable();
        counts.dedup();
        let (prefill, decode, rounds) = if choices.quick {
            (suite.quick.prefill, suite.quick.decode, suite.quick.rounds)
        } else {
            let prefill = case.prefill.unwrap_or(suite.prefill);
            (
                prefill,
                case.decode.unwrap_or(suite.decode),
                case.rounds.unwrap_or(suite.rounds),
            )
        };
        let heads = match (choices.heads.is_empty(), &case.heads) {
            (false, _) => &choices.heads,
            (true, Some(heads)) => heads,
            (true, None) => &suite.heads,
        };
        let heads = find_heads(heads)?;
        let mut selected = Vec::new();
        for &threads in &counts {
            let patterns = name_tuned(
                patterns,
                &case.model,
                &subject.config,
                threads,
                choices,
                machine.cpu,
            )?;
            selected.extend(
                select(&patterns, machine.cpu)?
                    .into_iter()
                    .map(|(place, kernel)| (place, threads, kernel)),
            );
        }
        // A kernel with all its numbers of threads, then the next, in the order of the registry.
        selected.sort_by_key(|(place, threads, _)| (*place, *threads));
        let combinations = selected.into_iter().flat_map(|(_, threads, kernel)| {
            heads.iter().map(move |head| (threads, kernel, *head))
        });
        for (threads, kernel, head) in combinations {
            let timing = Timing {
                speeds: &speeds,
                window_s,
                idle_s,
                limit_s: suite.round_limit_s,
            };
            let planned = plan_job(
                &subject,
                kernel,
                head,
                threads,
                (prefill, decode),
                rounds,
                choices.ternarize,
                machine,
                &timing,
            );
            if jobs.iter().all(|j| j.job.id != planned.job.id) {
                jobs.push(planned);
            }
        }
    }
    let runs = || jobs.iter().filter(|j| j.skip.is_none());
    let mut predicted_s: f64 = runs().map(|j| j.round_s * f64::from(j.job.rounds)).sum();
    predicted_s += reference_s(&jobs, machine, &speeds);
    Ok(Plan {
        window_s,
        idle_s,
        predicted_s,
        jobs,
    })
}

struct Timing<'a> {
    speeds: &'a Speeds,
    window_s: f64,
    idle_s: f64,
    limit_s: f64,
}

#[expect(clippy::too_many_arguments, reason = "the parts of one job")]
fn plan_job(
    subject: &Subject,
    kernel: &'static KernelVariant,
    head: &'static HeadChoice,
    threads: u32,
    (prefill, decode): (u32, u32),
    rounds: u32,
    ternarize: bool,
    machine: &Machine<'_>,
    timing: &Timing<'_>,
) -> PlannedJob {
    let config = &subject.config;
    let precision = if kernel.family.is_ternary() {
        Precision::Ternary
    } else {
        Precision::Half
    };
    let (source, weights, ternarized, not_ternary) = match &subject.kind {
        SubjectKind::Shape(shape) => {
            let source = ModelSource::Synthetic {
                shape: shape.clone(),
                seed: WEIGHTS_SEED,
            };
            (
                source,
                WeightsOrigin::Synthetic { seed: WEIGHTS_SEED },
                false,
                None,
            )
        }
        SubjectKind::File {
            path,
            hash,
            not_ternary,
        } => {
            // The baseline runs the file as it is; only ternary kernels get the ternarized weights.
            let ternarized = ternarize && not_ternary.is_some() && precision == Precision::Ternary;
            let source = ModelSource::File {
                path: path.clone(),
                ternarize: ternarized,
            };
            let origin = WeightsOrigin::File {
                path: path.display().to_string(),
                hash: hash.clone(),
            };
            (
                source,
                origin,
                ternarized,
                not_ternary
                    .as_ref()
                    .filter(|_| !ternarized && precision == Precision::Ternary),
            )
        }
    };
    let bytes = Network::estimated_bytes(config, subject.tied_head, kernel, head);
    let positions = positions(prefill, decode);
    let kv_bytes =
        4 * u64::from(positions) * (config.layers * config.kv_heads * config.head_dim) as u64;
    let needed = bytes + kv_bytes + WORKER_BYTES;
    let speeds = timing.speeds;
    let token_s = speeds.token_s(kernel.name, config.linear_weights(), bytes, threads);
    let prompt_s = |tokens| speeds.prompt_s(kernel.name, config.linear_weights(), tokens, threads);
    // Load, check, prefill window, prompt and decode window, bandwidth and compute windows, idle windows.
    let round_s = speeds.load_s(config.linear_weights(), bytes)
        + prompt_s(CHECK_PROMPT)
        + f64::from(CHECK_CONTINUATION) * token_s
        + prompt_s(prefill).max(timing.window_s)
        + prompt_s(prefill)
        + (f64::from(decode) * token_s).max(timing.window_s)
        + 2.0 * (0.3 * timing.window_s).max(0.1)
        + 2.0 * timing.idle_s;
    let skip = if let Err(missing) = machine.cpu.require(kernel.requires) {
        Some(missing.to_string())
    } else if let Some(reason) = not_ternary {
        Some(reason.clone())
    } else if positions as usize > config.context_length {
        Some(format!(
            "pp{prefill} and tg{decode} need more than the {} positions of this model",
            config.context_length
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
    } else if round_s > timing.limit_s {
        Some(format!(
            "a round is predicted to take {round_s:.0} s, more than the {:.0} s this suite allows",
            timing.limit_s
        ))
    } else {
        None
    };
    let mut id = format!("{}/{}/{threads}", subject.name, kernel.name);
    if head.name != heads::default().name {
        id = format!("{id}/{}", head.name);
    }
    let job = Job {
        id,
        model: ModelInfo {
            name: subject.name.clone(),
            weights,
            ternarized,
        },
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
        rounds,
    };
    let reference_kernel = reference_of(kernel.family);
    let vocab = u32::try_from(config.vocab).unwrap_or(u32::MAX);
    PlannedJob {
        job,
        source,
        reference_kernel,
        reference_head: if head.exact {
            heads::default().name
        } else {
            head.name
        },
        vocab,
        round_s,
        skip,
    }
}

/// Positions a job takes, those of the check included.
pub fn positions(prefill: u32, decode: u32) -> u32 {
    (prefill + decode).max(CHECK_PROMPT + CHECK_CONTINUATION)
}

/// The portable variant that others of its family are checked against.
fn reference_of(family: Family) -> &'static str {
    kernels::best(family, &Cpu::scalar()).name
}

fn too_much(needed: u64, available: u64) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "bytes of memory")]
    let share = needed as f64 / available as f64;
    share > MEMORY_SHARE
}

#[expect(clippy::cast_precision_loss, reason = "for a message")]
fn gigabytes(bytes: u64) -> String {
    format!("{:.1} GB", bytes as f64 / 1e9)
}

/// Time of the reference runs: one for each model and precision.
fn reference_s(jobs: &[PlannedJob], machine: &Machine<'_>, speeds: &Speeds) -> f64 {
    let mut seen: Vec<(&ModelInfo, &str, &str)> = Vec::new();
    let mut total = 0.0;
    for job in jobs.iter().filter(|j| j.skip.is_none()) {
        let key = (&job.job.model, job.reference_kernel, job.reference_head);
        let (Ok(config), Some(kernel)) = (job.source.config(), kernels::find(job.reference_kernel))
        else {
            continue;
        };
        if seen.contains(&key) {
            continue;
        }
        seen.push(key);
        let (weights, bytes) = (
            config.linear_weights(),
            Network::estimated_bytes(&config, true, kernel, heads::default()),
        );
        total += speeds.load_s(weights, bytes)
            + speeds.prompt_s(kernel.name, weights, CHECK_PROMPT, machine.physical_cores)
            + f64::from(CHECK_CONTINUATION)
                * speeds.token_s(kernel.name, weights, bytes, machine.physical_cores);
    }
    total
}

/// The family in the name of a variant, which is `{family}-{isa}`.
fn family_name(variant: &str) -> &str {
    variant
        .split_once('-')
        .map_or(variant, |(family, _)| family)
}

fn runnable(cpu: &Cpu) -> Vec<&'static KernelVariant> {
    kernels::VARIANTS
        .iter()
        .copied()
        .filter(|k| cpu.require(k.requires).is_ok())
        .collect()
}

/// The patterns that stand for what `bitbench tune` chose: for which weights, and for which phase.
fn tuned_pattern(pattern: &str) -> Option<(Precision, tune::Phase)> {
    match pattern {
        "tuned" => Some((Precision::Ternary, tune::Phase::Decode)),
        "tuned-prefill" => Some((Precision::Ternary, tune::Phase::Prefill)),
        "tuned-half" => Some((Precision::Half, tune::Phase::Decode)),
        "tuned-half-prefill" => Some((Precision::Half, tune::Phase::Prefill)),
        _ => None,
    }
}

/// The patterns, with the variants that were tuned for these layers and threads by their names: a record says what ran.
fn name_tuned(
    patterns: &[String],
    model: &str,
    config: &Config,
    threads: u32,
    choices: &Choices,
    cpu: &Cpu,
) -> Result<Vec<String>, PlanError> {
    if patterns.iter().all(|p| tuned_pattern(p).is_none()) {
        return Ok(patterns.to_vec());
    }
    let path = choices.tuned.as_deref().unwrap_or(Path::new(TUNED_FILE));
    let mut command = format!("bitbench tune --model {model}");
    if let Some(path) = &choices.tuned {
        command.push_str(&format!(" --out {}", path.display()));
    }
    let tuned = Tuned::load(path, &Fingerprint::of_this_host(cpu), &command)?;
    let shapes = layer_shapes(config);
    let mut named = Vec::new();
    for pattern in patterns {
        let Some((precision, phase)) = tuned_pattern(pattern) else {
            named.push(pattern.clone());
            continue;
        };
        let choice = tuned.choice(config.layers, &shapes, phase, precision, threads);
        let choice = choice.ok_or_else(|| {
            let known = tuned.model(config.layers, &shapes);
            let (what, command) = match known {
                None => (format!("choice for {model}"), command.clone()),
                Some(known) => {
                    // What was tuned is replaced, so the numbers there are must be in the list again.
                    let mut all: Vec<u32> = known.choices.iter().map(|c| c.threads).collect();
                    all.push(threads);
                    all.sort_unstable();
                    all.dedup();
                    let all: Vec<String> = all.iter().map(u32::to_string).collect();
                    (
                        format!("choice of {pattern} for {model} with threads = {threads}"),
                        format!("{command} --threads {}", all.join(",")),
                    )
                }
            };
            StoredError::NoChoice {
                path: path.to_owned(),
                what,
                command,
            }
        })?;
        named.push(choice.kernel.clone());
    }
    Ok(named)
}

/// The variants that match the patterns, with their places in the registry, in its order.
fn select(
    patterns: &[String],
    cpu: &Cpu,
) -> Result<Vec<(usize, &'static KernelVariant)>, PlanError> {
    let is_best = |family: Family, name: &str| kernels::best(family, cpu).name == name;
    let fits = |pattern: &str, name: &str| match pattern {
        BEST_HALF => HALF.iter().any(|family| is_best(*family, name)),
        _ => match pattern.strip_suffix("-best") {
            Some(family) => {
                let of_family = |k: &&&KernelVariant| family_name(k.name) == family;
                let member = kernels::VARIANTS.iter().find(of_family);
                member.is_some_and(|k| is_best(k.family, name))
            }
            None => suite::matches(pattern, name),
        },
    };
    for pattern in patterns {
        if !kernels::VARIANTS.iter().any(|k| fits(pattern, k.name)) {
            let known: Vec<&str> = kernels::VARIANTS.iter().map(|k| k.name).collect();
            return Err(PlanError::UnknownKernel {
                pattern: pattern.clone(),
                known: known.join(", "),
            });
        }
    }
    Ok(kernels::VARIANTS
        .iter()
        .copied()
        .enumerate()
        .filter(|(_, k)| patterns.iter().any(|p| fits(p, k.name)))
        .collect())
}

/// Name and hyperparameters of a shape, or of the file at this path.
///
/// # Errors
/// See [`PlanError`].
pub fn model_config(name: &str) -> Result<(String, Config), PlanError> {
    let subject = resolve(&suite::load_shapes()?, name)?;
    Ok((subject.name, subject.config))
}

/// The heads of these names, each once.
fn find_heads(names: &[String]) -> Result<Vec<&'static HeadChoice>, PlanError> {
    let mut found: Vec<&'static HeadChoice> = Vec::new();
    for name in names {
        let head = heads::find(name).ok_or_else(|| PlanError::UnknownHead {
            name: name.clone(),
            known: HEADS.iter().map(|h| h.name).collect::<Vec<_>>().join(", "),
        })?;
        if found.iter().all(|other| other.name != head.name) {
            found.push(head);
        }
    }
    Ok(found)
}

/// A shape of this name, or the file at this path.
fn resolve(shapes: &[Shape], name: &str) -> Result<Subject, PlanError> {
    if let Some(shape) = find_shape(shapes, name) {
        return Ok(Subject {
            name: shape.name.clone(),
            config: shape.config()?,
            tied_head: shape.tied_head,
            kind: SubjectKind::Shape(Box::new(shape.clone())),
        });
    }
    let path = Path::new(name);
    if !path.exists() {
        let known: Vec<&str> = shapes.iter().map(|s| s.name.as_str()).collect();
        return Err(PlanError::UnknownModel {
            name: name.to_owned(),
            known: known.join(", "),
        });
    }
    let opened = models::open(path, false).map_err(|e| PlanError::Model(e.to_string()))?;
    let hash = models::hash(path).map_err(|e| PlanError::Model(e.to_string()))?;
    let not_ternary = models::not_ternary(&opened.model);
    let stem = path
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    Ok(Subject {
        name: stem,
        tied_head: opened.model.head.is_none(),
        config: opened.model.config,
        kind: SubjectKind::File {
            path: path.to_owned(),
            hash,
            not_ternary,
        },
    })
}

impl ModelSource {
    /// The hyperparameters.
    ///
    /// # Errors
    /// If the shape or the file is at fault.
    pub fn config(&self) -> Result<Config, PlanError> {
        match self {
            ModelSource::Synthetic { shape, .. } => Ok(shape.config()?),
            ModelSource::File { path, .. } => models::open(path, false)
                .map(|m| m.model.config)
                .map_err(|e| PlanError::Model(e.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_best_is_the_best_variant_of_each_half_precision_family() {
        for cpu in [Cpu::scalar(), Cpu::detect()] {
            let families = |pattern: &str| -> Vec<Family> {
                let chosen = select(&[pattern.to_owned()], &cpu).expect("matches");
                assert!(chosen.iter().all(|(_, k)| cpu.require(k.requires).is_ok()));
                chosen.iter().map(|(_, k)| k.family).collect()
            };
            assert_eq!(families(BEST_HALF), HALF);
            assert_eq!(families("f16-best"), [Family::F16]);
            assert_eq!(families("i2s-best"), [Family::I2s]);
        }
        assert!(HALF.iter().all(|family| !family.is_ternary()));
    }
}
