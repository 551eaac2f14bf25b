//! Suite times host gives jobs: what will be measured, what will not and why, and how long it will take.

mod builds;
mod control;
mod job;
mod layer;
mod select;
mod slices;
mod subject;

pub use builds::{among, two_builds};
pub use job::{WEIGHTS_SEED, positions};
pub use subject::model_config;

use crate::host;
use crate::host::topology::{self, Core};
use crate::meter::Meter;
use crate::speeds::Speeds;
use crate::suite::{self, Case, LoadedSuite, Suite, Threads};
use crate::tune::StoredError;
use crate::worker::ModelSource;
use bitbench_engine::cpu::Cpu;
use bitbench_engine::heads;
use bitbench_engine::kernels;
use bitbench_engine::network::Network;
use bitbench_reports::record::{Host, Job, ModelInfo};
use bitbench_reports::stats;
use job::{Wanted, plan_job};
use std::path::PathBuf;
use std::time::Duration;

/// Tokens of the check that every worker passes before it is measured: the prompt of each sequence, and single tokens after it.
pub const CHECK_PROMPT: u32 = 8;

/// Tokens of the check that each sequence of a batch runs after its prompt, one by one: eight in all, and at least two steps.
pub fn check_continuation(batch: u32) -> u32 {
    8u32.div_ceil(batch).max(2)
}

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
    /// Numbers of sequences at a time in the place of the suite's.
    pub batch: Vec<u32>,
    /// What `bitbench tune` stored, in the place of [`crate::tune::TUNED_FILE`].
    pub tuned: Option<PathBuf>,
    /// The shortened form.
    pub quick: bool,
    /// Length of the slices in which contenders take turns, in the place of the suite's; 0 for none.
    pub slice_s: Option<f64>,
    /// Whether threads are left to the system, rather than bound to a core each.
    pub no_pin: bool,
    /// Whether files are read from their disk once before the rounds of a job.
    pub cold_start: bool,
    /// The A/A control.
    pub control: ControlChoice,
}

/// Whether one of the jobs is measured a second time, as an A/A control.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum ControlChoice {
    /// Where jobs are held against each other, in rounds enough, and not in the shortened form.
    #[default]
    WhereItPays,
    /// Never.
    Never,
    /// The first job that can run, whatever the plan.
    Always {
        /// Percent of its time that the control wastes on purpose: a test.
        slowed_percent: Option<f64>,
    },
}

/// What the plan has to know of the machine.
#[derive(Debug)]
pub struct Machine<'a> {
    /// Its CPU.
    pub cpu: &'a Cpu,
    /// Its physical cores.
    pub physical_cores: u32,
    /// Those cores, the fast ones first; empty where the system does not tell.
    pub cores: Vec<Core>,
    /// Memory that can be had, in bytes.
    pub available_memory: Option<u64>,
    /// Shortest window the energy counters can measure; absent where none are read.
    pub shortest_energy_window: Option<Duration>,
}

impl<'a> Machine<'a> {
    /// The machine that this runs on, with these counters.
    pub fn here(cpu: &'a Cpu, host: &Host, meter: &Meter) -> Machine<'a> {
        Machine {
            cpu,
            physical_cores: host.physical_cores,
            cores: topology::cores(),
            available_memory: host::available_memory(),
            shortest_energy_window: meter.shortest_window(),
        }
    }
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
    /// Length of each window of the warm-up, and the longest that the warm-up may take.
    pub warm_up: WarmUpTimes,
    /// Whether whole requests are measured too.
    pub requests: bool,
    /// The cores that threads are bound to, the fast ones first; empty where they are left to the system.
    pub cores: Vec<Core>,
    /// Whether files are read from their disk once before the rounds of a job.
    pub cold_start: bool,
    /// Whether each process measures the limits of the machine too: read bandwidth and compute peak.
    pub yardsticks: bool,
    /// Predicted time of the whole run.
    pub predicted_s: f64,
    /// What was decided about model files that they do not say themselves, each with the model as it was asked for.
    pub notes: Vec<String>,
}

impl Plan {
    /// Rounds of all jobs that are tried.
    pub fn rounds(&self) -> u64 {
        let runs = self.jobs.iter().filter(|planned| planned.skip.is_none());
        runs.map(|planned| u64::from(planned.job.rounds)).sum()
    }
}

/// How long a warm-up takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WarmUpTimes {
    /// Length of each window, in seconds.
    pub window_s: f64,
    /// The longest that all of them may take together, in seconds.
    pub limit_s: f64,
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
    /// Memory that its worker is predicted to need, in bytes.
    pub needed_bytes: u64,
    /// Length of the slices in which it and its contenders take turns at a window; nothing where they run one after the other.
    pub slice_s: Option<f64>,
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
    #[error(
        "there is no shape and no file `{name}`, and it is no layer such as 6912x2560; shapes: {known}"
    )]
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
    /// More sequences than are run together.
    #[error(
        "{many} sequences at a time are too many for a network: 1 to {}; a layer alone takes up to {} tokens",
        suite::LARGEST_BATCH,
        suite::LARGEST_TOKENS
    )]
    Batch {
        /// How many.
        many: u32,
    },
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
    let (window_s, idle_s) = windows(suite, choices, machine);
    let warm_up = warm_up(choices, machine, window_s);
    let with_energy = machine.shortest_energy_window.is_some();
    let requests = suite.requests.unwrap_or(with_energy && !choices.quick);
    let cores = match choices.no_pin {
        true => Vec::new(),
        false => machine.cores.clone(),
    };
    let extra_s = 2.0 * idle_s
        + 3.0 * (window_s - suite.window_s).max(0.0)
        + warm_up.window_s * stats::TREND_LENGTH as f64;
    let timing = Timing {
        speeds: &Speeds::probe(machine.cpu, machine.physical_cores),
        window_s,
        idle_s,
        warm_up_s: warm_up.window_s * stats::TREND_LENGTH as f64,
        requests,
        // What the windows of counters take is no fault of a slow job.
        limit_s: suite.round_limit_s + if with_energy { extra_s } else { 0.0 },
    };
    let mut jobs: Vec<PlannedJob> = Vec::new();
    let mut notes: Vec<String> = Vec::new();
    for case in cases(loaded, choices)? {
        if let Some(layer) = layer::named(&shapes, &case.model) {
            let of_layer = layer::jobs(&case, layer, suite, choices, machine, &timing)?;
            jobs.extend(of_layer);
            continue;
        }
        let mut subject = subject::resolve(&shapes, &case.model)?;
        for note in &subject.notes {
            let note = format!("{}: {note}", case.model);
            // A model may be in several cases.
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
        // Two files of one name, or a file with the name of a shape: the path tells them apart.
        if jobs
            .iter()
            .any(|j| j.job.model.name == subject.name && !subject.is(&j.source))
        {
            subject.name.clone_from(&case.model);
        }
        let heads = given(&choices.heads, case.heads.as_ref(), &suite.heads);
        let heads = select::find_heads(heads)?;
        let patterns = given(&choices.kernels, case.kernels.as_ref(), &suite.kernels);
        let mut selected = Vec::new();
        for threads in thread_counts(suite, choices, machine) {
            let patterns = select::name_tuned(
                patterns,
                &case.model,
                &subject.config,
                threads,
                choices,
                machine.cpu,
            )?;
            selected.extend(
                select::select(&patterns, machine.cpu)?
                    .into_iter()
                    .map(|(place, kernel)| (place, threads, kernel)),
            );
        }
        // A kernel with all its numbers of threads, then the next, in the order of the registry.
        selected.sort_by_key(|(place, threads, _)| (*place, *threads));
        let (prefill, decode, rounds) = lengths(suite, &case, choices);
        let batches = given(&choices.batch, case.batch.as_ref(), &suite.batch);
        if let Some(many) = batches.iter().find(|b| **b > suite::LARGEST_BATCH) {
            return Err(PlanError::Batch { many: *many });
        }
        // A batch is a table of its own in the report, as a model is.
        for &batch in batches {
            for &(_, threads, kernel) in &selected {
                for head in &heads {
                    let wanted = Wanted {
                        subject: &subject,
                        kernel,
                        head,
                        threads,
                        prefill,
                        decode,
                        batch,
                        rounds,
                        ternarize: choices.ternarize,
                    };
                    let planned = plan_job(&wanted, machine, &timing);
                    if jobs.iter().all(|j| j.job.id != planned.job.id) {
                        jobs.push(planned);
                    }
                }
            }
        }
    }
    jobs.extend(match choices.control {
        ControlChoice::WhereItPays if !choices.quick => control::control(&jobs),
        ControlChoice::WhereItPays | ControlChoice::Never => None,
        ControlChoice::Always { slowed_percent } => control::forced(&jobs, slowed_percent),
    });
    if let Some(slice_s) = choices.slice_s.or(suite.slice_s).filter(|s| *s > 0.0) {
        if with_energy {
            notes.push("windows are in one piece, for counters are read".to_owned());
        } else {
            slices::give(slice_s, &mut jobs, machine);
        }
    }
    let runs = || jobs.iter().filter(|j| j.skip.is_none());
    let mut predicted_s: f64 = runs().map(|j| j.round_s * f64::from(j.job.rounds)).sum();
    predicted_s += reference_s(&jobs, machine, timing.speeds);
    Ok(Plan {
        window_s,
        idle_s,
        warm_up,
        requests,
        cores,
        cold_start: choices.cold_start,
        yardsticks: true,
        predicted_s,
        jobs,
        notes,
    })
}

/// What a round's time is predicted from, and what it may be.
struct Timing<'a> {
    speeds: &'a Speeds,
    window_s: f64,
    idle_s: f64,
    /// The shortest warm-up.
    warm_up_s: f64,
    requests: bool,
    limit_s: f64,
}

/// The cases of the suite that are to be run, or one for each model of the command line.
fn cases(loaded: &LoadedSuite, choices: &Choices) -> Result<Vec<Case>, PlanError> {
    let all = &loaded.suite.cases;
    let cases: Vec<Case> = if choices.models.is_empty() {
        let wanted = all.iter().filter(|c| c.quick || !choices.quick);
        wanted.cloned().collect()
    } else {
        let same = |model: &String| {
            let named = all.iter().find(|c| c.model.eq_ignore_ascii_case(model));
            named.cloned().unwrap_or(Case {
                model: model.clone(),
                kernels: None,
                heads: None,
                rounds: None,
                prefill: None,
                decode: None,
                batch: None,
                quick: true,
            })
        };
        choices.models.iter().map(same).collect()
    };
    if cases.is_empty() {
        let suite = loaded.name.clone();
        return Err(PlanError::NothingQuick { suite });
    }
    Ok(cases)
}

/// Seconds of a measuring window and of an idle one: energy counters need longer ones, and no idle window is needed without.
fn windows(suite: &Suite, choices: &Choices, machine: &Machine<'_>) -> (f64, f64) {
    let (plain_s, energy_s, idle_s) = if choices.quick {
        let quick = &suite.quick;
        (quick.window_s, quick.energy_window_s, quick.idle_s)
    } else {
        (suite.window_s, suite.energy_window_s, suite.idle_s)
    };
    match machine.shortest_energy_window.map(|s| s.as_secs_f64()) {
        Some(shortest_s) => (
            energy_s.max(plain_s).max(shortest_s),
            idle_s.max(shortest_s),
        ),
        None => (plain_s, 0.0),
    }
}

/// Windows of a warm-up, and its limit: with counters a minute, for power takes that long to settle where it does; without, what
/// twenty windows take.
fn warm_up(choices: &Choices, machine: &Machine<'_>, window_s: f64) -> WarmUpTimes {
    match machine.shortest_energy_window.map(|s| s.as_secs_f64()) {
        Some(shortest_s) if !choices.quick => WarmUpTimes {
            window_s: (window_s / 10.0).max(shortest_s),
            limit_s: 60.0,
        },
        shortest_s => {
            let window_s = (window_s / 5.0).max(shortest_s.unwrap_or(0.0));
            WarmUpTimes {
                window_s,
                limit_s: 20.0 * window_s,
            }
        }
    }
}

/// What the command line says, or else the case, or else the suite.
fn given<'a, T>(line: &'a [T], case: Option<&'a Vec<T>>, suite: &'a Vec<T>) -> &'a [T] {
    if line.is_empty() {
        case.unwrap_or(suite)
    } else {
        line
    }
}

/// The numbers of threads, each once.
fn thread_counts(suite: &Suite, choices: &Choices, machine: &Machine<'_>) -> Vec<u32> {
    let threads = if choices.threads.is_empty() {
        &suite.threads
    } else {
        &choices.threads
    };
    Threads::all(threads, machine.physical_cores)
}

/// Tokens of the prompt, tokens that are generated, and rounds.
fn lengths(suite: &Suite, case: &Case, choices: &Choices) -> (u32, u32, u32) {
    if choices.quick {
        (suite.quick.prefill, suite.quick.decode, suite.quick.rounds)
    } else {
        (
            case.prefill.unwrap_or(suite.prefill),
            case.decode.unwrap_or(suite.decode),
            case.rounds.unwrap_or(suite.rounds),
        )
    }
}

/// Time of the reference runs: one for each model, precision and number of sequences.
fn reference_s(jobs: &[PlannedJob], machine: &Machine<'_>, speeds: &Speeds) -> f64 {
    let mut seen: Vec<(&ModelInfo, &str, &str, u32)> = Vec::new();
    let mut total = 0.0;
    for job in jobs.iter().filter(|j| j.skip.is_none()) {
        let batch = job.job.batch;
        let key = (
            &job.job.model,
            job.reference_kernel,
            job.reference_head,
            batch,
        );
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
            + speeds.prompt_s(
                kernel,
                weights,
                CHECK_PROMPT * batch,
                machine.physical_cores,
            )
            + f64::from(check_continuation(batch) * batch)
                * speeds.token_s(kernel, weights, bytes, machine.physical_cores);
    }
    total
}
