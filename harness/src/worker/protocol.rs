//! What the harness and a worker say to each other: one JSON object a line, requests on standard input, one reply to each on
//! standard output. The worker times its own work; the harness reads energy counters before a request and after its reply.

use crate::suite::Shape;
use bitbench_reports::record::NetworkShape;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Number of the protocol; a worker that speaks another one is not measured.
///
/// 2 added sequences that are run together. 3 added CPUs to be bound to, whole requests and what the allocator handed out. 4 added
/// layers alone.
pub const PROTOCOL: u32 = 4;

/// Where a worker finds its weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelSource {
    /// Random weights in a shape.
    Synthetic {
        /// The shape.
        shape: Box<Shape>,
        /// Seed of the weights.
        seed: u64,
    },
    /// A file.
    File {
        /// Its path.
        path: PathBuf,
        /// Whether half-precision linear layers are made ternary by absmean.
        ternarize: bool,
    },
    /// One linear layer of random weights, packed as often as no cache holds. It is multiplied by as many tokens at a time as
    /// [`Request::Load`] has sequences; head and positions mean nothing.
    Layer {
        /// Outputs.
        rows: usize,
        /// Inputs.
        columns: usize,
        /// Seed of the weights and of the activations.
        seed: u64,
    },
}

/// What the harness asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Who are you? Always the first request.
    Hello,
    /// Bring the weights into memory.
    Load {
        /// Where they are.
        model: ModelSource,
        /// Kernel variant of the linear layers.
        kernel: String,
        /// How the LM head is kept, one of the heads that the engine lists.
        #[serde(default = "half_precision")]
        head: String,
        /// Whether the head's integer loops are the portable ones: a reference.
        #[serde(default)]
        portable_head: bool,
        /// Worker threads.
        threads: u32,
        /// Sequences that are run together; the requests below give a prompt for each.
        sequences: u32,
        /// Positions of the KV cache of each sequence.
        positions: u32,
        /// A CPU for each thread to be bound to; empty to leave them to the system.
        #[serde(default)]
        cpus: Vec<u32>,
        /// Percent of the time of the work in the windows to waste besides, for tests of whether that is found.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        burn_percent: Option<f64>,
    },
    /// Run the prompts as a batch and then a token of each sequence at a time, and write the logits after the prompts and after
    /// each step to a file, little-endian single precision, `[1 + tokens][sequences][vocab]`. It is the warm-up too.
    Check {
        /// The prompt of each sequence.
        prompts: Vec<Vec<u32>>,
        /// The tokens after it, as many for each.
        continuations: Vec<Vec<u32>>,
        /// The file.
        logits: PathBuf,
    },
    /// Run the prompts from empty caches and choose the next token of each, again and again.
    Prefill {
        /// The prompt of each sequence.
        prompts: Vec<Vec<u32>>,
        /// Repeat until this much time has passed, in nanoseconds.
        least_ns: u64,
    },
    /// Run the prompts, outside any window.
    PrepareDecode {
        /// The prompt of each sequence.
        prompts: Vec<Vec<u32>>,
    },
    /// Generate greedily after the prepared prompts, a token of each sequence at a time, again and again from the same
    /// positions.
    Decode {
        /// Tokens to generate for each sequence in each repetition.
        tokens: u32,
        /// Repeat until this much time has passed, in nanoseconds.
        least_ns: u64,
    },
    /// Run the prompts from empty caches and generate greedily after them, a token of each sequence at a time, as one repetition,
    /// again and again.
    Whole {
        /// The prompt of each sequence.
        prompts: Vec<Vec<u32>>,
        /// Tokens to generate for each sequence, the one that prefill chooses among them.
        tokens: u32,
        /// Repeat until this much time has passed, in nanoseconds.
        least_ns: u64,
    },
    /// Multiply by the loaded layer and write the products to a file, little-endian single precision, `[tokens][rows]`.
    CheckProducts {
        /// The file.
        products: PathBuf,
    },
    /// Multiply by one copy of the loaded layer after the other, from activations to products, again and again.
    Multiply {
        /// Repeat until this much time has passed, in nanoseconds.
        least_ns: u64,
    },
    /// How much did the allocator hand out? An engine that does not know refuses, and is measured all the same.
    Allocated,
    /// Read the packed weights plainly with all threads, again and again.
    ReadBandwidth {
        /// Repeat until this much time has passed, in nanoseconds.
        least_ns: u64,
    },
    /// Multiply and add in registers with all threads and the instructions of the loaded kernel, again and again. An engine
    /// without such a yardstick refuses, and is measured all the same.
    ComputePeak {
        /// Repeat until this much time has passed, in nanoseconds.
        least_ns: u64,
    },
}

/// The head that is meant where none is named.
fn half_precision() -> String {
    bitbench_engine::heads::default().name.to_owned()
}

/// What a worker answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// To `Hello`.
    Hello {
        /// Name of the engine.
        name: String,
        /// Its version: no version, no measurement.
        version: String,
        /// [`PROTOCOL`] of the worker.
        protocol: u32,
    },
    /// To `Load`.
    Loaded(LoadedReply),
    /// To `Check`, `CheckProducts` and `PrepareDecode`.
    Done,
    /// To the measuring requests.
    Window(WindowReply),
    /// To `Allocated`.
    Allocated {
        /// The most that it had handed out at a time.
        peak_bytes: u64,
    },
    /// The request failed; the worker goes on.
    Error {
        /// Why.
        message: String,
    },
}

/// What was loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadedReply {
    /// Time from the request to the end of loading.
    pub duration_ns: u64,
    /// Parameters of the model.
    pub parameters: u64,
    /// Weights of the linear layers.
    pub linear_weights: u64,
    /// Bytes of the packed linear layers.
    pub linear_bytes: u64,
    /// Bytes of all weights.
    pub weights_bytes: u64,
    /// Bytes of weights read for each decoded token, whatever the token, and once for a token of each sequence.
    pub weights_bytes_per_token: u64,
    /// Bytes of the LM head among them.
    pub head_bytes_per_token: u64,
    /// Bytes of the KV cache for each position.
    pub kv_bytes_per_position: u64,
    /// Variant that computes the LM head.
    pub head_kernel: String,
    /// Dimensions of the network, where the engine tells them.
    #[serde(default)]
    pub shape: Option<NetworkShape>,
    /// The CPUs that the threads are bound to, as the system told it afterwards; absent where it places them.
    #[serde(default)]
    pub cpus: Option<Vec<u32>>,
}

/// What a measuring request gave.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct WindowReply {
    /// Duration of each repetition.
    pub durations_ns: Vec<u64>,
    /// Decode: duration of each step, a token of each sequence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub token_durations_ns: Vec<u64>,
    /// Multiplications: copies of the layer that each repetition multiplies by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matrices: Option<u32>,
    /// Bandwidth: bytes read in each repetition.
    pub bytes: Option<u64>,
    /// Compute peak: operations of each repetition, a multiply-add counting as two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operations: Option<u64>,
    /// Compute peak: its name, such as `int8-avx2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak: Option<String>,
    /// Decode with a head that rules tokens out: bytes of weights read beyond those of every token, all repetitions together,
    /// counted as they were read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rescored_bytes: Option<u64>,
    /// Hash of the tokens of one repetition, those of all sequences, or of the products of a layer; the worker fails the request if its repetitions differ.
    pub digest: Option<String>,
}
