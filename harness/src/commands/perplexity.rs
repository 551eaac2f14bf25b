//! `bitbench perplexity`: how well a model predicts a text.

use super::text::TextArguments;
use super::{Code, CommandError, choose_head, choose_kernel, tell_notes};
use crate::{host, likelihood, models, pair, progress};
use anyhow::{Context, anyhow};
use bitbench_engine::cpu::Cpu;
use bitbench_engine::network::Network;
use bitbench_engine::session::Session;
use serde::Serialize;
use std::path::PathBuf;
use std::sync::Arc;

/// Arguments of `bitbench perplexity`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The rule is that of llama-perplexity: chunks of --context tokens from an empty cache, each beginning with the token that \
begins a text where the model wants one; the second half of each chunk is scored, the rest of the text dropped.

Examples:
  bitbench perplexity --model pair:f16
  bitbench perplexity --model SmolLM2.gguf --file text.txt --context 512")]
pub struct Arguments {
    /// GGUF file, or one of the small pair that bitbench brings: pair:ternary, pair:f16
    #[arg(long, value_name = "FILE", default_value = pair::TERNARY)]
    model: PathBuf,
    #[command(flatten)]
    text: TextArguments,
    /// Tokens of a chunk [default: 512, or what the model was made for where that is less]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(3..))]
    context: Option<u32>,
    /// Kernel variant of the linear layers [default: the best for the weights of the file]
    #[arg(long, value_name = "NAME")]
    kernel: Option<String>,
    /// How the LM head is kept: see `bitbench list heads` [default: f16]
    #[arg(long, value_name = "NAME")]
    head: Option<String>,
    /// Make half-precision linear layers ternary, which destroys the quality of the model
    #[arg(long)]
    ternarize: bool,
    /// Threads [default: one for each physical core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    threads: Option<u32>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Answer {
    kernel: &'static str,
    head: &'static str,
    ternarized: bool,
    context: usize,
    chunks: usize,
    text_tokens: usize,
    scored_tokens: u64,
    nats_per_token: f64,
    nats_standard_error: Option<f64>,
    perplexity: f64,
    perplexity_standard_error: Option<f64>,
}

/// Scores a text.
///
/// # Errors
/// See [`CommandError`].
pub fn perplexity(arguments: &Arguments) -> Result<Code, CommandError> {
    let cpu = Cpu::detect();
    let opened =
        models::open(&arguments.model, arguments.ternarize).map_err(CommandError::usage)?;
    tell_notes(&opened.model);
    let ternary = models::not_ternary(&opened.model).is_none();
    let kernel = choose_kernel(arguments.kernel.as_deref(), ternary, &cpu)?;
    let head = choose_head(arguments.head.as_deref())?;
    let tokens = arguments.text.tokens(&opened)?;
    let most = opened.model.config.context_length.min(512);
    let context = arguments.context.map_or(most, |context| context as usize);
    if tokens.ids.len() < context {
        return Err(CommandError::usage(anyhow!(
            "the text has {} tokens, less than one chunk of {context}: give a longer one, or a smaller --context",
            tokens.ids.len()
        )));
    }
    let about = || format!("{}", arguments.model.display());
    let network = Network::pack_with_head(&opened.model, kernel, head, &cpu)
        .with_context(about)
        .map_err(CommandError::usage)?;
    let threads = arguments
        .threads
        .unwrap_or_else(|| host::capture(&cpu).physical_cores);
    let mut session = Session::new(Arc::new(network), threads as usize, context)
        .with_context(about)
        .map_err(CommandError::usage)?;
    let chunks = tokens.ids.len() / context;
    let mut chunk = 0;
    let likelihood = likelihood::score(&mut session, &tokens.ids, context, tokens.bos, |so_far| {
        chunk += 1;
        if !arguments.json && chunk < chunks {
            tell!("[{chunk}/{chunks}] {:.4}", so_far.perplexity());
        }
    })
    .with_context(about)
    .map_err(CommandError::usage)?;
    let answer = Answer {
        kernel: kernel.name,
        head: head.choice.name,
        ternarized: arguments.ternarize && ternary,
        context,
        chunks,
        text_tokens: tokens.ids.len(),
        scored_tokens: likelihood.count(),
        nats_per_token: likelihood.nats(),
        nats_standard_error: likelihood.nats_error(),
        perplexity: likelihood.perplexity(),
        perplexity_standard_error: likelihood.perplexity_error(),
    };
    if arguments.json {
        let object = serde_json::to_string(&answer).map_err(CommandError::internal)?;
        progress::say(&object);
        return Ok(Code::Done);
    }
    let error = |error: Option<f64>| error.map_or(String::new(), |e| format!(" +/- {e:.4}"));
    say!(
        "perplexity {:.4}{}, negative log-likelihood {:.5}{} nats a token",
        answer.perplexity,
        error(answer.perplexity_standard_error),
        answer.nats_per_token,
        error(answer.nats_standard_error)
    );
    let mark = if arguments.ternarize {
        ", ternarized: quality destroyed"
    } else {
        ""
    };
    tell!(
        "{} tokens scored in {chunks} chunks of {context}; kernel {}, head {}, threads {threads}{mark}",
        answer.scored_tokens,
        answer.kernel,
        answer.head
    );
    Ok(Code::Done)
}
