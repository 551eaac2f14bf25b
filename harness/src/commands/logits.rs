//! `bitbench logits`: raw answers, to hold them against other tools'.

use super::{Code, CommandError, choose_head, choose_kernel, tell_notes};
use crate::{host, models};
use anyhow::Context;
use bitbench_engine::cpu::Cpu;
use bitbench_engine::network::Network;
use bitbench_engine::session::Session;
use std::path::PathBuf;
use std::sync::Arc;

/// Arguments of `bitbench logits`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  bitbench logits --model model.gguf --tokens 1,2,3 --out logits.f32")]
pub struct Arguments {
    /// GGUF file, or folder with config.json and safetensors files
    #[arg(long, value_name = "PATH")]
    model: PathBuf,
    /// Token ids, such as 1,2,3
    #[arg(long, value_name = "IDS", value_delimiter = ',', required = true)]
    tokens: Vec<u32>,
    /// Kernel variant of the linear layers [default: the best for the weights of the file]
    #[arg(long, value_name = "NAME")]
    kernel: Option<String>,
    /// How the LM head is kept: see `bitbench list heads` [default: f16]
    #[arg(long, value_name = "NAME")]
    head: Option<String>,
    /// Make half-precision linear layers ternary
    #[arg(long)]
    ternarize: bool,
    /// File for the logits: little-endian float32, `[positions][vocab]`
    #[arg(long, value_name = "FILE.f32")]
    out: PathBuf,
}

/// Writes the logits after each of the given tokens.
///
/// # Errors
/// See [`CommandError`].
pub fn logits(arguments: &Arguments) -> Result<Code, CommandError> {
    let cpu = Cpu::detect();
    let opened =
        models::open(&arguments.model, arguments.ternarize).map_err(CommandError::usage)?;
    tell_notes(&opened.model);
    let kernel = choose_kernel(
        arguments.kernel.as_deref(),
        models::not_ternary(&opened.model).is_none(),
        &cpu,
    )?;
    let about = || format!("{}", arguments.model.display());
    let network = Network::pack_with_head(
        &opened.model,
        kernel,
        choose_head(arguments.head.as_deref())?,
        &cpu,
    )
    .with_context(about)
    .map_err(CommandError::usage)?;
    let threads = host::capture(&cpu).physical_cores as usize;
    let mut session = Session::new(Arc::new(network), threads, arguments.tokens.len())
        .with_context(about)
        .map_err(CommandError::usage)?;
    let logits = session
        .run_all(&arguments.tokens)
        .with_context(about)
        .map_err(CommandError::usage)?;
    let bytes: Vec<u8> = logits.iter().flat_map(|v| v.to_le_bytes()).collect();
    std::fs::write(&arguments.out, bytes)
        .with_context(|| format!("cannot write {}", arguments.out.display()))
        .map_err(CommandError::internal)?;
    let vocab = session.network().config().vocab;
    say!(
        "{} positions of {vocab} logits, kernel {}",
        arguments.tokens.len(),
        kernel.name
    );
    Ok(Code::Done)
}
