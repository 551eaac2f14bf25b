//! The stored form of a run: one JSON object a line, appended and flushed as it happens.
//!
//! A record holds what was read (durations, counter values, bytes); figures such as tokens/s or J/token are derived when a
//! report is made. Unknown is never zero: what could not be measured is absent or carries a reason.

mod counters;
mod energy;
mod gate;
mod host;
mod read;
mod shape;
mod surroundings;

pub use counters::{Count, CounterReadings};
pub use energy::{
    DomainEnergy, DomainInfo, DomainKind, Energy, EnergySourceInfo, MeasuredMicrojoules,
    Provenance, WindowEnergy,
};
pub use gate::{Build, BuildInfo, GateInfo, GatePolicy, MOST_GATE_ROUNDS, NoiseFloor, Stage};
pub use host::{
    CacheInfo, CoreKind, Hardware, Host, Limits, MemoryNode, Moment, Settings, alike, unlike,
};
pub use read::{ReadError, Records};
pub use shape::NetworkShape;
pub use surroundings::{Surroundings, TICK_NS};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Number of the stored format. Raised whenever an older reader would misread a newer file or not get through it.
///
/// 2 added the window of the compute peak, and heads: a job of format 1 has its head in half precision.
/// 3 added batches: a job of format 1 or 2 has one sequence.
/// 4 added the windows of the warm-up and of whole requests, cold starts, and where threads were bound.
pub const SCHEMA: u32 = 4;

/// The oldest format that is still read: what it did not store is missing, never zero.
pub const OLDEST_SCHEMA: u32 = 1;

/// The name of the record file inside a results folder.
pub const FILE_NAME: &str = "records.jsonl";

/// One line of `records.jsonl`, told apart by its `record` key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    /// The first line: what was asked for, on which machine, with which plan.
    Run(Box<Run>),
    /// A later process went on with the run.
    Resumed(Resumed),
    /// A worker has its weights in memory and told what they are.
    Loaded(Loaded),
    /// One finished measuring window.
    Sample(Box<Sample>),
    /// What the worker's memory looked like after its last window.
    Memory(Memory),
    /// A load of a model file that the system had to read from its disk.
    ColdStart(ColdStart),
    /// How one round of one job ended.
    Outcome(JobOutcome),
    /// The run ended on purpose; absent after a crash.
    End(End),
}

/// What was asked for, on which machine, with which plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Run {
    /// [`SCHEMA`] of the writer.
    pub schema: u32,
    /// Start of the run, RFC 3339, UTC.
    pub started_at: String,
    /// Version of bitbench, with the git revision it was built from where that is known.
    pub bitbench: String,
    /// The command line, as given.
    pub command: Vec<String>,
    /// The suite that was run.
    pub suite: SuiteInfo,
    /// Seed of the order of the rounds (weights have their own seed, in [`ModelInfo`]).
    pub seed: u64,
    /// What the run may take, or how well it is to know its figures, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    /// How the order follows from the seed; absent before format 4, when each round was a shuffle of all jobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub design: Option<Design>,
    /// Of a run of a gate: which builds it holds against each other, and by what policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<GateInfo>,
    /// The machine.
    pub host: Host,
    /// The energy source, or why there is none.
    pub energy: EnergySourceInfo,
    /// Every job of the plan, those that were skipped included.
    pub jobs: Vec<Job>,
}

/// When a run has measured enough, beside its plan.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Budget {
    /// No block of rounds is begun that is likely to end later than so many seconds after the start of the process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_s: Option<f64>,
    /// Contenders get no more rounds when the interval of each of their decode figures is within so many percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_precision_percent: Option<f64>,
}

/// What ended a run before its plan was done, or after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StoppedBy {
    /// [`Budget::time_s`].
    TimeBudget,
    /// [`Budget::target_precision_percent`].
    TargetPrecision,
}

/// How the processes of a run are put in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Design {
    /// Jobs that are held against each other in rows of balanced Latin squares, each followed by the same row backwards
    /// (`ABBA` for two): [`crate::design`].
    MirroredRows,
}

/// Which suite was run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SuiteInfo {
    /// Name, such as `x86-energy`.
    pub name: String,
    /// Why the suite exists and how to read it, for the report.
    pub about: String,
    /// `blake3:` and the hash of the suite file.
    pub hash: String,
    /// Whether the shortened form was asked for (`--quick`).
    pub quick: bool,
    /// What the suite is about first: a table with room for few columns shows these; absent where it is speed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leads: Option<Topic>,
}

/// What a suite can be about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// Latency and tokens/s.
    Speed,
    /// Energy and power.
    Energy,
    /// Memory and bandwidth.
    Memory,
}

/// One combination to be measured: a model on a kernel with a number of threads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Job {
    /// Unique within the run, such as `2B4T/i2s-avx2/2`.
    pub id: String,
    /// The model.
    pub model: ModelInfo,
    /// The shape of the layer where one linear layer is measured alone, [`Job::batch`] tokens at a time, and not a network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<Layer>,
    /// Which build of the engine, where a gate holds two against each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<Build>,
    /// The engine that runs it.
    pub engine: EngineInfo,
    /// Kernel variant of the linear layers, such as `i2s-avx2`.
    pub kernel: String,
    /// How the LM head is kept: `f16`, or one of the engine's other heads.
    #[serde(default = "half_precision_head")]
    pub head: String,
    /// What the kernel computes with.
    pub precision: Precision,
    /// Worker threads.
    pub threads: u32,
    /// Tokens of the prompt of each sequence (pp); 0 for a layer alone.
    pub prefill_tokens: u32,
    /// Tokens generated by each sequence (tg); 0 for a layer alone.
    pub decode_tokens: u32,
    /// Sequences that are prefilled and decoded together, or tokens that a layer is multiplied by together.
    #[serde(default = "one_sequence")]
    pub batch: u32,
    /// Rounds planned, each in a fresh process.
    pub rounds: u32,
    /// The A/A control of the run: the id of the job that this one repeats. It is no row of a report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_of: Option<String>,
    /// A control whose worker wasted so many percent of its time on purpose, to see whether that is found: a test, never a
    /// result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub injected_percent: Option<f64>,
}

/// One linear layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Layer {
    /// Outputs.
    pub rows: u64,
    /// Inputs.
    pub columns: u64,
}

impl Job {
    /// `, 8 sequences` where several are run together (of a layer alone, `, 8 tokens`), nothing for one.
    pub fn of_sequences(&self) -> String {
        match (self.batch, self.layer) {
            (1, _) => String::new(),
            (batch, None) => format!(", {batch} sequences"),
            (batch, Some(_)) => format!(", {batch} tokens"),
        }
    }

    /// The kernel, the head where it is not in half precision, and the build where there are two: `i2s-avx2`,
    /// `i2s-avx2 + screened`, `i2s-avx2, new build`.
    pub fn kernel_and_head(&self) -> String {
        let mut text = self.kernel.clone();
        if self.head != half_precision_head() {
            text.push_str(&format!(" + {}", self.head));
        }
        if let Some(build) = self.build {
            text.push_str(&format!(", {} build", build.word()));
        }
        text
    }
}

/// The head of every job before format 2.
fn half_precision_head() -> String {
    "f16".to_owned()
}

/// The batch of every job before format 3.
fn one_sequence() -> u32 {
    1
}

/// What a kernel's weights are.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// {-1, 0, +1} and one scale.
    Ternary,
    /// 16-bit floating point: a baseline.
    Half,
}

/// Which model, and where its weights come from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct ModelInfo {
    /// Name of the shape, or of the file without its folder.
    pub name: String,
    /// Where the weights come from.
    pub weights: WeightsOrigin,
    /// Whether half-precision layers were made ternary by absmean, which destroys quality.
    pub ternarized: bool,
}

/// Where weights come from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WeightsOrigin {
    /// Random, from a seed, in the shape of a published model.
    Synthetic {
        /// The seed.
        seed: u64,
    },
    /// Read from a file.
    File {
        /// Path as given.
        path: String,
        /// `blake3:` and the hash of the file.
        hash: String,
    },
}

/// Which program did the computing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct EngineInfo {
    /// Name, such as `bitbench`.
    pub name: String,
    /// Version, as the engine itself tells it.
    pub version: String,
}

/// A later process went on with the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Resumed {
    /// When, RFC 3339, UTC.
    pub at: String,
    /// Version of bitbench that went on.
    pub bitbench: String,
    /// Its command line.
    pub command: Vec<String>,
}

/// Which window of a run a line belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Place {
    /// [`Job::id`].
    pub job: String,
    /// Round, from 0.
    pub round: u32,
    /// Number of the worker process within the run, from 0; a resumed round has another one.
    pub process: u32,
}

/// A worker has its weights in memory and told what they are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Loaded {
    /// Which round.
    #[serde(flatten)]
    pub place: Place,
    /// Time from the load command to the reply.
    pub duration_ns: u64,
    /// Parameters of the model: linear layers, embedding, head, norms.
    pub parameters: u64,
    /// Weights of the linear layers (embedding and head not among them). Of a layer alone, those of one copy.
    pub linear_weights: u64,
    /// Bytes of the packed linear layers, padding and scales included. Of a layer alone, those of one copy.
    pub linear_bytes: u64,
    /// Bytes of all weights in memory: linear layers, embedding, head, norms; of a layer alone, all its copies.
    pub weights_bytes: u64,
    /// Bytes of weights read for each decoded token (linear layers, head, norms, one embedding row), whatever the token and
    /// once for a token of each sequence of a batch; see [`Sample::rescored_bytes`].
    pub weights_bytes_per_token: u64,
    /// Bytes of the LM head among them; absent before format 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_bytes_per_token: Option<u64>,
    /// Bytes of the KV cache for each position.
    pub kv_bytes_per_position: u64,
    /// Variant that computes the LM head.
    pub head_kernel: String,
    /// Dimensions of the network; absent before format 4 and where the engine does not tell them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shape: Option<NetworkShape>,
    /// The CPU that each worker thread was bound to; absent where threads were left to the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<Vec<u32>>,
    /// The CPUs that were left to the harness while it measured; absent where none was left over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub harness_cpus: Option<Vec<u32>>,
}

/// The part of the work a window measures.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The worker is up, its weights are touched, its threads are parked.
    Idle,
    /// Short windows of decode before the others, until neither speed nor power has a trend.
    WarmUp,
    /// The prompts as one batch, up to and with the choice of the first token of each.
    Prefill,
    /// Token after token of each sequence, from prompts that were prefilled outside the window.
    Decode,
    /// Whole requests: the prompts from empty caches and all tokens after them, in one go.
    Request,
    /// A layer alone: multiplications by one of its copies after the other, from activations to products.
    Multiply,
    /// A plain read of the packed weights by all threads: the bandwidth that decode is held against.
    ReadBandwidth,
    /// Multiply-adds in registers on all threads, with the instructions of the kernel: the peak that prefill is held against.
    ComputePeak,
}

/// One finished measuring window: one or more repetitions of a phase in one worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sample {
    /// Which round.
    #[serde(flatten)]
    pub place: Place,
    /// What was measured.
    pub phase: Phase,
    /// Which piece of the window of its phase this is, from 0, where contenders took turns at it; absent for a window in one
    /// piece.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slice: Option<u32>,
    /// Start of the window in nanoseconds after the start of the process that wrote it.
    pub at_ns: u64,
    /// Tokens in each repetition, those of all sequences together (0 for idle, bandwidth and compute peak). Of whole requests,
    /// the generated ones.
    pub tokens: u32,
    /// Copies of the layer that each repetition multiplies all its tokens by (layers alone).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matrices: Option<u32>,
    /// Bytes read in each repetition (bandwidth only).
    pub bytes: Option<u64>,
    /// Operations of each repetition, a multiply-add counting as two (compute peak only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operations: Option<u64>,
    /// Name of the peak, such as `int8-avx2` (compute peak only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak: Option<String>,
    /// Decode with a head that rules tokens out: bytes of weights read beyond those that every token reads, all repetitions
    /// together, counted as they were read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rescored_bytes: Option<u64>,
    /// Duration of each repetition, timed by the worker.
    pub durations_ns: Vec<u64>,
    /// Decode: duration of each step, a token of each sequence, repetition after repetition.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub token_durations_ns: Vec<u64>,
    /// Hash of the tokens that came out; equal for equal work.
    pub digest: Option<String>,
    /// Energy of the window.
    pub energy: Energy,
    /// What else happened meanwhile; absent where nobody looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub surroundings: Option<Surroundings>,
    /// What event counters of the worker said; absent where none were tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counters: Option<CounterReadings>,
}

/// What a worker's memory looked like after its last window, read from outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Memory {
    /// Which round.
    #[serde(flatten)]
    pub place: Place,
    /// Largest resident set of the process (VmHWM).
    pub peak_bytes: Option<u64>,
    /// Anonymous pages now (RssAnon).
    pub anonymous_bytes: Option<u64>,
    /// File pages now (RssFile).
    pub file_bytes: Option<u64>,
    /// The most that its allocator had handed out at a time; absent before format 4 and where the engine does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocated_peak_bytes: Option<u64>,
}

/// A load of a model file whose pages the system was asked to drop before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ColdStart {
    /// Which round.
    #[serde(flatten)]
    pub place: Place,
    /// Time from the load command to the reply.
    pub duration_ns: u64,
    /// Bytes of the files.
    pub file_bytes: u64,
    /// Bytes that the storage delivered to the process meanwhile (`read_bytes` of `/proc/PID/io`): below the size of the files,
    /// what was missing came from memory, and the start was not cold. Absent where the system does not tell.
    pub storage_bytes: Option<u64>,
}

/// How one round of one job ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JobOutcome {
    /// Which round. A job that is skipped has one outcome, in round 0.
    #[serde(flatten)]
    pub place: Place,
    /// How it ended.
    pub outcome: Outcome,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// All windows of the round are stored.
    Measured,
    /// It was not tried.
    Skipped {
        /// Why.
        reason: String,
    },
    /// It was tried and gave no figure; a wrong answer is a failure too.
    Failed {
        /// What happened.
        reason: String,
    },
}

/// The run ended on purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct End {
    /// When, RFC 3339, UTC.
    pub at: String,
    /// Whether it was interrupted (Ctrl-C) before its plan was done.
    pub interrupted: bool,
    /// Which budget ended it, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_by: Option<StoppedBy>,
}
