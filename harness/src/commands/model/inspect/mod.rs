//! `bitbench model inspect`: what is in a model file, tensor by tensor, and what can be done with it.

mod file;
mod folder;
mod table;

use crate::commands::{Code, CommandError};
use crate::models;
use crate::progress;
use bitbench_engine::cpu::Cpu;
use bitbench_engine::kernels::VARIANTS;
use bitbench_engine::model::{LoadError, Model};
use serde::Serialize;
use std::path::PathBuf;

/// Arguments of `bitbench model inspect`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  bitbench model inspect model.gguf
  bitbench model inspect folder --json")]
pub struct Arguments {
    /// GGUF file, or folder with config.json and safetensors files
    #[arg(value_name = "FILE|FOLDER")]
    model: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What a model's files hold.
#[derive(Debug, Default, Serialize)]
struct Contents {
    path: PathBuf,
    /// What kind of file it is.
    container: String,
    file_bytes: u64,
    architecture: Option<String>,
    name: Option<String>,
    /// Those of the network, as the file has them.
    hyperparameters: Vec<(String, String)>,
    tokenizer: Option<TokenizerFacts>,
    chat_template: bool,
    tensors: Vec<TensorFacts>,
    weights: u64,
    weights_bytes: u64,
    bits_per_weight: f64,
    /// Bytes of weights that one decode step reads, as they are stored.
    decode_bytes: u64,
    /// Why this program cannot run it.
    does_not_run: Option<String>,
    /// Why ternary kernels cannot run it as it is.
    not_ternary: Option<String>,
    kernels: Vec<KernelFacts>,
}

#[derive(Debug, Serialize)]
struct TokenizerFacts {
    kind: String,
    /// How text is split before.
    pre: Option<String>,
    tokens: Option<usize>,
}

#[derive(Debug, Serialize)]
struct TensorFacts {
    name: String,
    /// The columns last.
    shape: Vec<u64>,
    format: String,
    bytes: u64,
    bits_per_weight: f64,
    /// Of the bytes that a decode step reads.
    decode_share: f64,
}

#[derive(Debug, Serialize)]
struct KernelFacts {
    name: &'static str,
    /// What this CPU lacks for it.
    cpu_lacks: Option<String>,
}

/// Prints what a file holds.
///
/// # Errors
/// See [`CommandError`].
pub fn inspect(arguments: &Arguments) -> Result<Code, CommandError> {
    let contents = if arguments.model.is_dir() {
        folder::contents(&arguments.model)
    } else {
        file::contents(&arguments.model)
    };
    let contents = contents.map_err(CommandError::usage)?;
    if arguments.json {
        let object = serde_json::to_string_pretty(&contents).map_err(CommandError::internal)?;
        progress::say(&object);
    } else {
        table::print(&contents);
    }
    Ok(Code::Done)
}

/// A tensor before the whole is known.
struct Found {
    name: String,
    shape: Vec<u64>,
    format: String,
    weights: u64,
    bytes: u64,
    /// Bytes that a decode step reads.
    read: u64,
}

impl Contents {
    /// Adds the tensors, and what follows from them and from the attempt to load the model.
    fn with(mut self, tensors: Vec<Found>, loaded: Result<Model, LoadError>) -> Contents {
        self.weights = tensors.iter().map(|t| t.weights).sum();
        self.weights_bytes = tensors.iter().map(|t| t.bytes).sum();
        self.bits_per_weight = bits(self.weights_bytes, self.weights);
        self.decode_bytes = tensors.iter().map(|t| t.read).sum();
        let share = |read| ratio(read, self.decode_bytes);
        let facts = tensors.into_iter().map(|tensor| TensorFacts {
            bits_per_weight: bits(tensor.bytes, tensor.weights),
            decode_share: share(tensor.read),
            name: tensor.name,
            shape: tensor.shape,
            format: tensor.format,
            bytes: tensor.bytes,
        });
        self.tensors = facts.collect();
        match loaded {
            Ok(model) => {
                self.not_ternary = models::not_ternary(&model);
                self.kernels = kernels(self.not_ternary.is_none());
            }
            Err(error) => self.does_not_run = Some(error.to_string()),
        }
        self
    }
}

/// The variants that compute this model, here or elsewhere.
fn kernels(ternary: bool) -> Vec<KernelFacts> {
    let cpu = Cpu::detect();
    VARIANTS
        .iter()
        .filter(|variant| ternary || !variant.family.is_ternary())
        .map(|variant| KernelFacts {
            name: variant.name,
            cpu_lacks: cpu.require(variant.requires).err().map(|e| e.to_string()),
        })
        .collect()
}

fn bits(bytes: u64, weights: u64) -> f64 {
    8.0 * ratio(bytes, weights)
}

#[expect(clippy::cast_precision_loss, reason = "a share or a mean")]
fn ratio(part: u64, of: u64) -> f64 {
    if of == 0 {
        0.0
    } else {
        part as f64 / of as f64
    }
}
