//! The commands. Each reads its arguments, calls the library and says what went wrong with the file or case it was about.

/// Prints a line on standard output, inert: names and descriptions come from files.
macro_rules! say {
    ($($argument:tt)*) => {
        crate::progress::say(&crate::progress::plain_lines(&format!($($argument)*)))
    };
}

/// Prints a line on standard error, inert.
macro_rules! tell {
    ($($argument:tt)*) => {
        crate::progress::tell(&crate::progress::plain_lines(&format!($($argument)*)))
    };
}

pub mod compare;
pub mod doctor;
pub mod embed;
mod energy;
pub mod energy_model;
pub mod explain;
pub mod export;
pub mod gate;
pub mod generate;
pub mod history;
pub mod instructions;
mod jobs;
pub mod list;
pub mod logits;
pub mod model;
mod overview;
pub mod perplexity;
pub mod report;
pub mod roofline;
pub mod run;
mod sample;
pub mod schema;
pub mod shell;
pub mod text;
pub mod tune;
pub mod verify;

use crate::{progress, worker};
use bitbench_engine::cpu::Cpu;
use bitbench_engine::heads::{self, HEADS};
use bitbench_engine::kernels::{self, Family, KernelVariant};
use bitbench_engine::model::Model;
use bitbench_engine::network::HeadOptions;
use clap::{CommandFactory, Parser, Subcommand};
use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

/// How much faster, smaller and thriftier a ternary language model is on this machine: measured, not modelled.
#[derive(Debug, Parser)]
#[command(name = "bitbench", version = crate::VERSION, after_help = AFTER_HELP)]
pub struct Cli {
    /// What to do; without it, what can be done here.
    #[command(subcommand)]
    pub command: Option<Command>,
}

const AFTER_HELP: &str = "\
Start with:
  bitbench                                    what can be done here
  bitbench run --suite x86-energy --quick     a first table within a minute
  bitbench run --suite x86-energy             the whole suite
  bitbench list suites                        the tables that people quote
  bitbench doctor                             what can be measured here
  bitbench roofline                           bandwidth and compute peak

Exit codes: 0 done; 1 a job failed inside a finished run, or a kernel is not what it promises; 2 wrong usage or input; \
3 a required energy source is absent; 4 internal error; 5 the machine is too noisy (`doctor --require quiet`); \
of a gate: 6 REGRESSED, 7 INCONCLUSIVE, 8 CONTAMINATED, 9 INCORRECT; \
130 interrupted.";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Measure a suite and write a report
    Run(run::Arguments),
    /// List suites, kernels, models and energy sources
    List(list::Arguments),
    /// Write the report of a finished or interrupted run again
    Report(report::Arguments),
    /// Say what a column means and how its figures come from the record
    Explain(explain::Arguments),
    /// Print the JSON Schema of the record or of the JSON export
    Schema(schema::Arguments),
    /// Hold stored runs of two builds against each other
    Compare(compare::Arguments),
    /// Keep figures by commit, and show how they went
    History(history::Arguments),
    /// Count the instructions of a multiplication in two builds
    Instructions(instructions::Arguments),
    /// Say whether a new build is slower or bigger than the one before, for CI
    Gate(gate::Arguments),
    /// Measure what this machine allows: read bandwidth and multiply-add peaks
    Roofline(roofline::Arguments),
    /// Find the fastest kernel and number of threads for a model on this machine
    Tune(tune::Arguments),
    /// Say what can be measured on this machine, and what would help
    Doctor(doctor::Arguments),
    /// Print what a model of energy says: never a measurement, and never in a report
    EnergyModel(energy_model::Arguments),
    /// Generate text with a model file
    Generate(generate::Arguments),
    /// Write the logits of given tokens, to hold them against other tools'
    Logits(logits::Arguments),
    /// Look into a model file, convert one, or make one from a shape
    Model(model::Arguments),
    /// Print the vector that an embedding model makes of a text
    Embed(embed::Arguments),
    /// Hold every kernel variant against an oracle in double precision
    Verify(verify::Arguments),
    /// Say how well a model predicts a text
    Perplexity(perplexity::Arguments),
    /// Print completions for a shell
    #[command(hide = true)]
    Completions(shell::Completions),
    /// Print a page for `man`
    #[command(hide = true)]
    Man(shell::Man),
    /// Serve the embedded engine to a harness
    #[command(hide = true)]
    Worker,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// Done.
    Done,
    /// A job failed inside a finished run.
    JobFailed,
    /// Wrong usage or input.
    Usage,
    /// A required energy source is absent.
    NoEnergy,
    /// Something that should not happen, such as a full disk.
    Internal,
    /// The machine is too noisy to compare kernels, and quiet was required.
    Noisy,
    /// A gate found a regression.
    Regressed,
    /// A gate cannot tell.
    Inconclusive,
    /// A gate saw a build differ from itself.
    Contaminated,
    /// A gate's builds compute different things.
    Incorrect,
    /// The user stopped it.
    Interrupted,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> ExitCode {
        ExitCode::from(match code {
            Code::Done => 0,
            Code::JobFailed => 1,
            Code::Usage => 2,
            Code::NoEnergy => 3,
            Code::Internal => 4,
            Code::Noisy => 5,
            Code::Regressed => 6,
            Code::Inconclusive => 7,
            Code::Contaminated => 8,
            Code::Incorrect => 9,
            Code::Interrupted => 130,
        })
    }
}

/// Why a command failed.
#[derive(Debug)]
pub struct CommandError {
    /// Exit code.
    pub code: Code,
    /// What to print.
    pub error: anyhow::Error,
}

impl CommandError {
    /// The user can mend it.
    pub fn usage(error: impl Into<anyhow::Error>) -> CommandError {
        CommandError {
            code: Code::Usage,
            error: error.into(),
        }
    }

    /// The user cannot.
    pub fn internal(error: impl Into<anyhow::Error>) -> CommandError {
        CommandError {
            code: Code::Internal,
            error: error.into(),
        }
    }
}

/// The first example of the command that these arguments begin with, for somebody whose arguments were not understood.
pub fn example(arguments: impl IntoIterator<Item = OsString>) -> Option<String> {
    let cli = Cli::command();
    let mut command = &cli;
    for argument in arguments {
        match command.find_subcommand(&argument) {
            Some(found) => command = found,
            None => break,
        }
    }
    let help = command.get_after_help()?.to_string();
    let examples = help.lines().filter_map(|line| line.strip_prefix("  "));
    // What follows three spaces says what an example is for.
    let example = examples.filter_map(|line| line.split("   ").next());
    example
        .map(str::trim)
        .find(|line| line.starts_with("bitbench "))
        .map(ToOwned::to_owned)
}

/// Runs a command.
///
/// # Errors
/// See [`CommandError`].
pub fn dispatch(cli: Cli) -> Result<Code, CommandError> {
    let Some(command) = cli.command else {
        return Ok(overview::overview());
    };
    let code = match command {
        Command::Run(arguments) => run::run(&arguments),
        Command::List(arguments) => list::list(&arguments),
        Command::Report(arguments) => report::report(&arguments),
        Command::Explain(arguments) => explain::explain(&arguments),
        Command::Schema(arguments) => schema::schema(&arguments),
        Command::Completions(arguments) => shell::completions(&arguments),
        Command::Man(arguments) => shell::man(&arguments),
        Command::Compare(arguments) => compare::compare(&arguments),
        Command::History(arguments) => history::history(&arguments),
        Command::Instructions(arguments) => instructions::instructions(&arguments),
        Command::Gate(arguments) => gate::gate(&arguments),
        Command::Roofline(arguments) => roofline::roofline(&arguments),
        Command::Tune(arguments) => tune::tune(&arguments),
        Command::Doctor(arguments) => doctor::doctor(&arguments),
        Command::EnergyModel(arguments) => energy_model::energy_model(&arguments),
        Command::Generate(arguments) => generate::generate(&arguments),
        Command::Logits(arguments) => logits::logits(&arguments),
        Command::Model(arguments) => model::model(&arguments),
        Command::Embed(arguments) => embed::embed(&arguments),
        Command::Verify(arguments) => verify::verify(&arguments),
        Command::Perplexity(arguments) => perplexity::perplexity(&arguments),
        Command::Worker => {
            worker::serve(io::stdin().lock(), io::stdout().lock())
                .map_err(CommandError::internal)?;
            Ok(Code::Done)
        }
    }?;
    match code {
        Code::Done if progress::output_failed() => Ok(Code::Internal),
        code => Ok(code),
    }
}

/// Tells what was decided about a file that it does not say itself.
fn tell_notes(model: &Model) {
    for note in &model.notes {
        tell!("note: {note}");
    }
}

/// The variant of this name, or the best one for the weights of a model.
fn choose_kernel(
    name: Option<&str>,
    ternary: bool,
    cpu: &Cpu,
) -> Result<&'static KernelVariant, CommandError> {
    match name {
        None => Ok(kernels::best(
            if ternary { Family::I2s } else { Family::F16 },
            cpu,
        )),
        Some(name) => kernels::find(name).ok_or_else(|| {
            let known: Vec<&str> = kernels::VARIANTS.iter().map(|k| k.name).collect();
            CommandError::usage(anyhow::anyhow!(
                "there is no kernel variant `{name}`; there are: {}",
                known.join(", ")
            ))
        }),
    }
}

/// The head of this name, or the default.
fn choose_head(name: Option<&str>) -> Result<HeadOptions, CommandError> {
    let Some(name) = name else {
        return Ok(HeadOptions::default());
    };
    let choice = heads::find(name).ok_or_else(|| {
        let known: Vec<&str> = HEADS.iter().map(|h| h.name).collect();
        CommandError::usage(anyhow::anyhow!(
            "there is no head `{name}`; there are: {}",
            known.join(", ")
        ))
    })?;
    Ok(HeadOptions {
        choice,
        portable: false,
    })
}
