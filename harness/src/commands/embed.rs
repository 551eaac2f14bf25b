//! `bitbench embed`: the vector that an embedding model makes of a text.

use super::{Code, CommandError, choose_kernel, tell_notes};
use crate::{host, models, progress};
use anyhow::Context;
use bitbench_engine::cpu::Cpu;
use bitbench_engine::model::Pooling;
use bitbench_engine::network::Network;
use bitbench_engine::session::Session;
use std::path::PathBuf;
use std::sync::Arc;

/// Arguments of `bitbench embed`.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("input").required(true))]
#[command(after_help = "Example:
  bitbench embed --model embedding.gguf --text \"The capital of France\"")]
pub struct Arguments {
    /// GGUF file
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// Text to make a vector of
    #[arg(long, group = "input")]
    text: Option<String>,
    /// Token ids instead, such as 1,2,3
    #[arg(long, value_name = "IDS", value_delimiter = ',', group = "input")]
    tokens: Option<Vec<u32>>,
    /// Kernel variant of the linear layers [default: the best for the weights of the file]
    #[arg(long, value_name = "NAME")]
    kernel: Option<String>,
    /// Make half-precision linear layers ternary
    #[arg(long)]
    ternarize: bool,
}

/// Prints the vector of a text, of length 1, as a JSON array. States are pooled as the file says, and else the last is taken.
///
/// # Errors
/// See [`CommandError`].
pub fn embed(arguments: &Arguments) -> Result<Code, CommandError> {
    let cpu = Cpu::detect();
    let opened =
        models::open(&arguments.model, arguments.ternarize).map_err(CommandError::usage)?;
    tell_notes(&opened.model);
    let tokens = match (&arguments.tokens, &arguments.text) {
        (Some(tokens), _) => tokens.clone(),
        (None, text) => opened
            .tokenizer()
            .map_err(CommandError::usage)?
            .encode(text.as_deref().unwrap_or_default())
            .context("--text")
            .map_err(CommandError::usage)?,
    };
    let kernel = choose_kernel(
        arguments.kernel.as_deref(),
        models::not_ternary(&opened.model).is_none(),
        &cpu,
    )?;
    let about = || format!("{}", arguments.model.display());
    let network = Network::pack(&opened.model, kernel, &cpu)
        .with_context(about)
        .map_err(CommandError::usage)?;
    let threads = host::capture(&cpu).physical_cores as usize;
    let mut session = Session::new(Arc::new(network), threads, tokens.len())
        .with_context(about)
        .map_err(CommandError::usage)?;
    let pooling = opened.model.pooling.unwrap_or(Pooling::Last);
    let vector = session
        .embed(&tokens, pooling)
        .with_context(about)
        .map_err(CommandError::usage)?;
    progress::say(&serde_json::to_string(&vector).map_err(CommandError::internal)?);
    Ok(Code::Done)
}
