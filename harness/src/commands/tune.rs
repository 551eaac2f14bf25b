//! `bitbench tune`: which kernel and how many threads are fastest for a model here.

use super::{Code, CommandError};
use crate::host;
use crate::plan;
use crate::progress::plain;
use crate::roofline::default_threads;
use crate::suite::{self, Threads};
use crate::tune::{
    Candidate, Choice, Fingerprint, Phase, TUNED_FILE, Task, Tuned, TunedModel, Verdict,
    layer_shapes, precision, verdict,
};
use anyhow::anyhow;
use bitbench_engine::cpu::Cpu;
use bitbench_engine::kernels::{KernelVariant, VARIANTS};
use bitbench_reports::record::Precision;
use bitbench_reports::report::count;
use bitbench_reports::summary::Figure;
use std::path::{Path, PathBuf};

/// Arguments of `bitbench tune`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  bitbench tune --model 2B4T
  bitbench run --suite x86-energy --model 2B4T --kernel tuned

The choices are kept with a fingerprint of this host: `--kernel tuned` on another host, or with another version, is an error. \
`tuned` is the fastest ternary kernel at decoding, `tuned-prefill` at prompts; `tuned-half` and `tuned-half-prefill` are the \
fastest half-precision ones.")]
pub struct Arguments {
    /// Shape or GGUF file: its layers are what is tuned, with random weights
    #[arg(long, value_name = "FILE|SHAPE")]
    model: String,
    /// Kernel variants to choose from, such as 'i2s-*' [default: all that run here]; can be given more than once
    #[arg(long, value_name = "PATTERN")]
    kernel: Vec<String>,
    /// Numbers of threads, such as 1,2 or physical [default: each up to 4, powers of two, all physical cores]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    threads: Vec<Threads>,
    /// Tokens of a prefill batch
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(2..=4096))]
    prefill: u32,
    /// Rounds; each measures every candidate once, in an order drawn from a seed
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(3..=1000))]
    rounds: u32,
    /// File of the choices
    #[arg(long, value_name = "FILE", default_value = TUNED_FILE)]
    out: PathBuf,
}

/// Width of the names of kernels in the table.
const NAME_WIDTH: usize = 17;

/// Measures the candidates, prints why which was chosen, and stores it.
///
/// # Errors
/// See [`CommandError`].
pub fn tune(arguments: &Arguments) -> Result<Code, CommandError> {
    let cpu = Cpu::detect();
    let host = host::capture(&cpu);
    let (name, config) = plan::model_config(&arguments.model).map_err(CommandError::usage)?;
    let shapes = layer_shapes(&config);
    let kernels = kernels(&arguments.kernel, &cpu)?;
    let threads = threads(&arguments.threads, host.physical_cores)?;
    let caches = host::caches(Path::new("/sys"));
    let task = Task {
        cpu: &cpu,
        last_level_cache: caches.last().map(|c| c.bytes),
        layers: config.layers,
        shapes: &shapes,
        kernels: &kernels,
        threads: &threads,
        prefill_tokens: arguments.prefill as usize,
        rounds: arguments.rounds,
        seed: super::run::seed(),
    };
    if let Some(available) =
        host::available_memory().filter(|a| task.estimated_bytes() > a / 10 * 9)
    {
        return Err(CommandError::usage(anyhow!(
            "the layers of {} kernels take {:.1} GB together, and {:.1} GB are available: try fewer with --kernel",
            kernels.len(),
            gigabytes(task.estimated_bytes()),
            gigabytes(available)
        )));
    }
    let rounds = task.rounds;
    let candidates = task
        .measure(|round| tell!("round {} of {rounds}", round + 1))
        .map_err(CommandError::internal)?;
    say!(
        "{}: {} layers; 10^9 weights/s for each shape (times {} tokens in prefill), then",
        plain(&name),
        config.layers,
        arguments.prefill
    );
    say!("tokens/s of all linear layers alone (no attention, no head); medians of {rounds} rounds");
    say!("in turn, ± is the median absolute deviation times 1.4826");
    let mut choices = Vec::new();
    for phase in [Phase::Decode, Phase::Prefill] {
        for &threads in &threads {
            let of_table: Vec<&Candidate> = candidates
                .iter()
                .filter(|c| c.phase == phase && c.threads == threads)
                .collect();
            let mut winners = Vec::new();
            for weights in [Precision::Ternary, Precision::Half] {
                let rivals: Vec<&Candidate> = of_table
                    .iter()
                    .copied()
                    .filter(|c| precision(c.kernel) == weights)
                    .collect();
                if let Some(found) = verdict(&rivals, &shapes) {
                    winners.push(found.winner.kernel.name);
                    choices.push(choice(&found, &task));
                }
            }
            say!("");
            print_table(&of_table, &winners, &task);
        }
    }
    say!("");
    say!("* the fastest by all layers; a figure without ± is one round of a kernel more");
    say!("than 3 times slower than the best of its kind, which was not run again");
    say!("");
    print_choices(&arguments.model, &candidates, &mut choices, &task);
    let model = TunedModel {
        name: name.clone(),
        tuned_at: jiff::Timestamp::now().to_string(),
        layers: config.layers,
        prefill_tokens: task.prefill_tokens,
        rounds,
        shapes: shapes.clone(),
        choices,
    };
    let fingerprint = Fingerprint::of(&host, caches);
    Tuned::store(&arguments.out, &fingerprint, model).map_err(CommandError::usage)?;
    say!("stored in {}", plain(&arguments.out.display().to_string()));
    Ok(Code::Done)
}

fn kernels(patterns: &[String], cpu: &Cpu) -> Result<Vec<&'static KernelVariant>, CommandError> {
    let fits = |name: &str| patterns.is_empty() || patterns.iter().any(|p| suite::matches(p, name));
    let kernels: Vec<&KernelVariant> = VARIANTS
        .iter()
        .copied()
        .filter(|k| cpu.require(k.requires).is_ok() && fits(k.name))
        .collect();
    if kernels.is_empty() {
        let known: Vec<&str> = VARIANTS.iter().map(|k| k.name).collect();
        return Err(CommandError::usage(anyhow!(
            "no kernel variant that runs here matches `{}`; there are: {}",
            patterns.join("`, `"),
            known.join(", ")
        )));
    }
    Ok(kernels)
}

fn threads(asked: &[Threads], physical_cores: u32) -> Result<Vec<u32>, CommandError> {
    if asked.is_empty() {
        return Ok(default_threads(physical_cores));
    }
    let threads = Threads::all(asked, physical_cores);
    match threads.iter().find(|t| **t > physical_cores) {
        None => Ok(threads),
        Some(many) => Err(CommandError::usage(anyhow!(
            "{many} threads on {physical_cores} physical cores: they would share a core and measure each other"
        ))),
    }
}

/// Tokens a second of all linear layers, one figure over the rounds.
#[expect(clippy::cast_precision_loss, reason = "tokens and layers")]
fn tokens_per_second(candidate: &Candidate, task: &Task<'_>) -> Option<Figure> {
    let tokens = match candidate.phase {
        Phase::Decode => 1,
        Phase::Prefill => task.prefill_tokens,
    };
    let seconds = candidate.layer_seconds(task.shapes);
    let rates = seconds
        .iter()
        .map(|s| tokens as f64 / (s * task.layers as f64));
    Figure::of(&rates.collect::<Vec<f64>>())
}

fn choice(found: &Verdict<'_>, task: &Task<'_>) -> Choice {
    let winner = found.winner;
    Choice {
        phase: winner.phase,
        precision: precision(winner.kernel),
        threads: winner.threads,
        kernel: winner.kernel.name.to_owned(),
        linear_tokens_per_second: tokens_per_second(winner, task).map_or(0.0, |f| f.median),
        runner_up: found.runner_up.map(|c| c.kernel.name.to_owned()),
        within_noise: found.within_noise(),
        fastest_threads: false,
    }
}

fn print_table(candidates: &[&Candidate], winners: &[&str], task: &Task<'_>) {
    let Some(first) = candidates.first() else {
        return;
    };
    // Five shapes leave no room for the spread of each.
    let spread = task.shapes.len() <= 4;
    let width = if spread { 11 } else { 10 };
    let title = format!("{}, {}T", first.phase, first.threads);
    let mut head = format!("{title:<w$}", w = NAME_WIDTH + 2);
    for shape in task.shapes {
        head.push_str(&format!(
            "{:>width$}",
            format!("{}x{}", shape.rows, shape.cols)
        ));
    }
    say!("{head}{:>15}", "all, tok/s");
    for candidate in candidates {
        let name = candidate.kernel.name;
        let star = if winners.contains(&name) { '*' } else { ' ' };
        let mut row = format!("{star} {name:<NAME_WIDTH$}");
        for (index, shape) in task.shapes.iter().enumerate() {
            let figure = candidate.gweights(index, shape, task.prefill_tokens);
            let shown = figure.map_or_else(|| "-".to_owned(), |f| shown(&f, spread, 0));
            row.push_str(&format!("{shown:>width$}"));
        }
        let all = tokens_per_second(candidate, task);
        let all = all.map_or_else(|| "-".to_owned(), |f| shown(&f, true, 1));
        say!("{row}{all:>15}");
    }
}

/// `12.3 ±1%`; without ± where there is one round.
fn shown(figure: &Figure, spread: bool, decimals_of_spread: usize) -> String {
    let decimals = match figure.median {
        value if value < 10.0 => 2,
        value if value < 1000.0 => 1,
        _ => 0,
    };
    let number = format!("{:.decimals$}", figure.median);
    match figure.mad.filter(|_| spread && figure.median > 0.0) {
        Some(mad) => format!(
            "{number} ±{:.decimals_of_spread$}%",
            mad / figure.median * 100.0
        ),
        None => number,
    }
}

/// Says what won for each phase and kind of weights over all numbers of threads, and marks those in `choices`.
fn print_choices(model: &str, candidates: &[Candidate], choices: &mut [Choice], task: &Task<'_>) {
    let mut threads_of_decode = None;
    for phase in [Phase::Decode, Phase::Prefill] {
        for (weights, word, pattern) in [
            (Precision::Ternary, "ternary", "tuned"),
            (Precision::Half, "half precision", "tuned-half"),
        ] {
            let rivals: Vec<&Candidate> = candidates
                .iter()
                .filter(|c| c.phase == phase && precision(c.kernel) == weights)
                .collect();
            let Some(found) = verdict(&rivals, task.shapes) else {
                continue;
            };
            let winner = found.winner;
            for choice in choices.iter_mut() {
                choice.fastest_threads |= (choice.phase, choice.precision, choice.threads)
                    == (phase, weights, winner.threads);
            }
            if (phase, weights) == (Phase::Decode, Precision::Ternary) {
                threads_of_decode = Some(winner.threads);
            }
            let suffix = if phase == Phase::Prefill {
                "-prefill"
            } else {
                ""
            };
            say!("{phase}, {word} (`{pattern}{suffix}`): {}", named(winner));
            if let (Some(second), Some(ratio)) = (found.runner_up, found.ratio) {
                let lead = format!(
                    "  {:.2}x as fast as {} ({:.2} to {:.2})",
                    ratio.median,
                    named(second),
                    ratio.min,
                    ratio.max
                );
                say!(
                    "{lead}{}",
                    if found.within_noise() {
                        ": within noise"
                    } else {
                        ""
                    }
                );
            }
        }
    }
    if let Some(threads) = threads_of_decode {
        say!("");
        let model = plain(model);
        say!("use it: bitbench run --suite x86-energy --model {model} \\");
        say!("          --kernel tuned --kernel tuned-half --threads {threads}");
    }
}

fn named(candidate: &Candidate) -> String {
    let threads = count(candidate.threads as usize, "thread");
    format!("{}, {threads}", candidate.kernel.name)
}

#[expect(clippy::cast_precision_loss, reason = "for a message")]
fn gigabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e9
}
