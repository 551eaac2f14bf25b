//! `bitbench generate`: text from a real model, which shows that the engine computes what it is timed for.

use super::sample::Sampler;
use super::{Code, CommandError, choose_head, choose_kernel, tell_notes};
use crate::chat::{self, Message};
use crate::{host, models, pair, progress};
use anyhow::{Context, anyhow};
use bitbench_engine::cpu::Cpu;
use bitbench_engine::network::Network;
use bitbench_engine::session::Session;
use bitbench_engine::tokenizer::Tokenizer;
use serde::Serialize;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

/// Arguments of `bitbench generate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  bitbench generate --prompt \"And it came to pass\" --temperature 0.5
  bitbench generate --model SmolLM2.gguf --prompt \"The capital of France is\"")]
pub struct Arguments {
    /// GGUF file, folder with config.json and safetensors files, or one of the small pair that bitbench brings: pair:ternary,
    /// pair:f16
    #[arg(long, value_name = "PATH", default_value = pair::TERNARY)]
    model: PathBuf,
    /// Text to go on with
    #[arg(long, value_name = "TEXT")]
    prompt: String,
    /// Take the text for what a user says, and write it as the chat template of the model has it
    #[arg(long)]
    chat: bool,
    /// What the system says before the user
    #[arg(long, value_name = "TEXT", requires = "chat")]
    system: Option<String>,
    /// Most tokens to generate; the model may end before
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    max_tokens: u32,
    /// Draw each token by its probability, at this temperature [default: the most probable token]
    #[arg(long, value_name = "T", default_value_t = 0.0, hide_default_value = true, value_parser = temperature)]
    temperature: f64,
    /// Seed of the draw
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
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
    /// Print one JSON object with prompt_ids, ids and text
    #[arg(long)]
    json: bool,
}

fn temperature(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(value) if (0.0..=100.0).contains(&value) => Ok(value),
        _ => Err("a number from 0 to 100".to_owned()),
    }
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Generated {
    prompt_ids: Vec<u32>,
    ids: Vec<u32>,
    text: String,
}

/// Generates text, greedily unless a temperature is given.
///
/// # Errors
/// See [`CommandError`].
pub fn generate(arguments: &Arguments) -> Result<Code, CommandError> {
    let cpu = Cpu::detect();
    let opened =
        models::open(&arguments.model, arguments.ternarize).map_err(CommandError::usage)?;
    tell_notes(&opened.model);
    let tokenizer = opened.tokenizer().map_err(CommandError::usage)?;
    let ternary = models::not_ternary(&opened.model).is_none();
    let kernel = choose_kernel(arguments.kernel.as_deref(), ternary, &cpu)?;
    let head = choose_head(arguments.head.as_deref())?;
    let prompt_ids = prompt_ids(arguments, &tokenizer).map_err(CommandError::usage)?;
    if prompt_ids.is_empty() {
        return Err(CommandError::usage(anyhow!(
            "--prompt gives no token: say something"
        )));
    }
    let about = || format!("{}", arguments.model.display());
    let network = Network::pack_with_head(&opened.model, kernel, head, &cpu)
        .with_context(about)
        .map_err(CommandError::usage)?;
    let most = arguments.max_tokens as usize;
    let positions = prompt_ids
        .len()
        .saturating_add(most)
        .min(network.config().context_length);
    let threads = arguments
        .threads
        .unwrap_or_else(|| host::capture(&cpu).physical_cores);
    let mut session = Session::new(Arc::new(network), threads as usize, positions)
        .with_context(about)
        .map_err(CommandError::usage)?;
    let mark = if arguments.ternarize {
        ", ternarized: quality destroyed"
    } else {
        ""
    };
    let head = match arguments.head {
        Some(_) => format!(", head {}", session.network().head_kernel()),
        None => String::new(),
    };
    tell!("kernel {}{head}, threads {threads}{mark}", kernel.name);

    let mut out = Output {
        json: arguments.json,
        text: String::new(),
    };
    let mut stream = tokenizer.stream();
    let mut ids = Vec::new();
    let mut sampler = Sampler::new(arguments.temperature, arguments.seed);
    let start = Instant::now();
    let mut token = sampler
        .next(&mut session, &prompt_ids)
        .map_err(CommandError::usage)?;
    let first = start.elapsed();
    while !tokenizer.is_end(token) {
        ids.push(token);
        out.say(&stream.push(token))?;
        if ids.len() == most || session.positions() == positions {
            break;
        }
        token = sampler
            .next(&mut session, &[token])
            .map_err(CommandError::usage)?;
    }
    out.say(&stream.finish())?;
    if arguments.json {
        let generated = Generated {
            prompt_ids,
            ids,
            text: out.text,
        };
        let object = serde_json::to_string(&generated).map_err(CommandError::internal)?;
        progress::say(&object);
        return Ok(Code::Done);
    }
    say!("");
    tell!(
        "{} prompt tokens, the first token after {:.0} ms, {} tokens in {:.2} s; `bitbench run` measures properly",
        prompt_ids.len(),
        first.as_secs_f64() * 1e3,
        ids.len(),
        start.elapsed().as_secs_f64()
    );
    if arguments.head.is_some() {
        #[expect(clippy::cast_precision_loss, reason = "for a message")]
        let megabytes = session.head_bytes() as f64 / 1e6 / ids.len().max(1) as f64;
        tell!("the head read {megabytes:.1} MB of weights a token");
    }
    Ok(Code::Done)
}

/// The tokens of the prompt, alone or in a conversation.
fn prompt_ids(arguments: &Arguments, tokenizer: &Tokenizer) -> anyhow::Result<Vec<u32>> {
    if !arguments.chat {
        return tokenizer.encode(&arguments.prompt).context("--prompt");
    }
    let system = arguments.system.as_deref().map(Message::system);
    let user = Message::user(&arguments.prompt);
    let messages: Vec<Message<'_>> = system.into_iter().chain([user]).collect();
    let text = chat::render(tokenizer, &messages)
        .with_context(|| format!("--chat: {}", arguments.model.display()))?;
    tokenizer.encode_rendered(&text).context("--prompt")
}

/// Text as it comes, or kept for one JSON object.
struct Output {
    json: bool,
    text: String,
}

impl Output {
    fn say(&mut self, piece: &str) -> Result<(), CommandError> {
        self.text.push_str(piece);
        if self.json {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        // What a model says can hold anything, and a terminal obeys escape sequences.
        let inert = |c: char| {
            if c.is_control() && c != '\n' && c != '\t' {
                ' '
            } else {
                c
            }
        };
        let piece: String = match out.is_terminal() {
            true => piece.chars().map(inert).collect(),
            false => piece.to_owned(),
        };
        let written = out.write_all(piece.as_bytes()).and_then(|()| out.flush());
        written
            .context("cannot write to standard output")
            .map_err(CommandError::internal)
    }
}
