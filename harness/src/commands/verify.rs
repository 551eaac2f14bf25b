//! `bitbench verify`: whether every kernel variant gives a model's own answer here.

use super::text::TextArguments;
use super::{Code, CommandError, tell_notes};
use crate::verify::{self, Expected, Finding, Measured};
use crate::{host, models, pair, progress};
use anyhow::{Context, anyhow};
use bitbench_engine::cpu::Cpu;
use serde::Serialize;
use std::path::PathBuf;

/// Arguments of `bitbench verify`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The oracle is the definition of the network in double precision; it shares no code with the kernels. `bits` compares the \
logits of a ternary variant with those of the portable one. Exit code 1 where a variant is not what it promises.

Examples:
  bitbench verify
  bitbench verify --model models/SmolLM2-135M-Instruct.Q4_1.gguf --ternarize")]
pub struct Arguments {
    /// GGUF file, or one of the small pair that bitbench brings: pair:ternary, pair:f16
    #[arg(long, value_name = "FILE", default_value = pair::TERNARY)]
    model: PathBuf,
    #[command(flatten)]
    text: TextArguments,
    /// Tokens from the start of the text; the oracle is slow
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(2..=4096))]
    tokens: u32,
    /// Make half-precision linear layers ternary
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
    tokens: usize,
    oracle_perplexity: f64,
    /// How far rounding inputs to int8 moves the oracle's logits.
    cost_of_int8: Option<f64>,
    holds: bool,
    variants: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    kernel: &'static str,
    #[serde(flatten)]
    finding: Finding,
}

/// Holds every variant against the oracle.
///
/// # Errors
/// See [`CommandError`].
pub fn verify(arguments: &Arguments) -> Result<Code, CommandError> {
    let opened =
        models::open(&arguments.model, arguments.ternarize).map_err(CommandError::usage)?;
    let model = &opened.model;
    tell_notes(model);
    let mut tokens = arguments.text.tokens(&opened)?.ids;
    let most = model.config.context_length.min(arguments.tokens as usize);
    tokens.truncate(most);
    if tokens.len() < 2 {
        return Err(CommandError::usage(anyhow!(
            "the text has {} tokens, and nothing is predicted from less than two",
            tokens.len()
        )));
    }
    let threads = arguments
        .threads
        .unwrap_or_else(|| host::capture(&Cpu::detect()).physical_cores);
    let threads = threads as usize;
    let about = || format!("{}", arguments.model.display());
    let not_ternary = models::not_ternary(model);
    let count = tokens.len();
    if !arguments.json {
        tell!("asking the oracle about {count} tokens");
    }
    let expected = Expected::of(model, not_ternary.is_none(), tokens, threads)
        .with_context(about)
        .map_err(CommandError::usage)?;
    if !arguments.json {
        header(count);
    }
    let mut rows = Vec::new();
    for variant in verify::variants() {
        let finding = expected
            .find(variant, not_ternary.as_deref(), threads)
            .with_context(|| format!("{}: {}", about(), variant.name))
            .map_err(CommandError::usage)?;
        if !arguments.json {
            line(variant.name, &finding, count);
        }
        let kernel = variant.name;
        rows.push(Row { kernel, finding });
    }
    let answer = Answer {
        tokens: count,
        oracle_perplexity: expected.perplexity(),
        cost_of_int8: expected.cost_of_int8(),
        holds: !rows.iter().any(|row| row.finding.broken()),
        variants: rows,
    };
    if arguments.json {
        let object = serde_json::to_string(&answer).map_err(CommandError::internal)?;
        progress::say(&object);
    } else {
        footer(&answer);
    }
    Ok(if answer.holds {
        Code::Done
    } else {
        Code::JobFailed
    })
}

fn header(tokens: usize) {
    let greedy = format!("of {tokens}");
    say!(
        "{:<16} {:>5} {:>9} {:>9} {:>7} {:>10}",
        "",
        "",
        "largest",
        "relative",
        "greedy",
        ""
    );
    say!(
        "{:<16} {:>5} {:>9} {:>9} {:>7} {:>10}  verdict",
        "kernel",
        "bits",
        "error",
        "distance",
        greedy,
        "perplexity"
    );
}

fn line(kernel: &str, finding: &Finding, tokens: usize) {
    match finding {
        Finding::Skipped { .. } => say!("{kernel:<16} skipped"),
        Finding::Failed { reason } => say!("{kernel:<16} FAILED: {reason}"),
        Finding::Ran(found) => {
            let bits = match found.same_bits {
                None => "-",
                Some(true) => "same",
                Some(false) => "OTHER",
            };
            say!(
                "{kernel:<16} {bits:>5} {:>9.1e} {:>9.1e} {:>7} {:>10.4}  {}",
                found.largest_error,
                found.distance,
                found.same_greedy,
                found.perplexity,
                verdict(found)
            );
            if let Some(margin) = found.widest_margin {
                let parts = tokens - found.same_greedy;
                say!(
                    "{:<16} parts at {parts}, where the oracle's choice leads by {margin:.1e} at most",
                    ""
                );
            }
        }
    }
}

/// The promise and whether it is kept.
fn verdict(found: &Measured) -> String {
    match (found.holds, found.same_bits) {
        (true, Some(_)) => "lossless".to_owned(),
        (true, None) => format!("within {:.0e}", found.allowed),
        (false, Some(false)) => "NOT LOSSLESS".to_owned(),
        (false, _) => format!("OFF by > {:.0e}", found.allowed),
    }
}

fn footer(answer: &Answer) {
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for row in &answer.variants {
        if let Finding::Skipped { reason } = &row.finding {
            match reasons.iter_mut().find(|(known, _)| known == reason) {
                Some((_, kernels)) => kernels.push(row.kernel),
                None => reasons.push((reason, vec![row.kernel])),
            }
        }
    }
    for (reason, kernels) in reasons {
        say!("skipped: {}: {reason}", kernels.join(", "));
    }
    say!(
        "oracle: double precision, perplexity {:.4} over {} tokens",
        answer.oracle_perplexity,
        answer.tokens
    );
    if let Some(cost) = answer.cost_of_int8 {
        say!("rounding inputs to int8, as BitNet defines it, moves its logits by {cost:.1e}:");
        say!("a ternary variant must be nearer than that, with the bits of the portable one");
    }
}
