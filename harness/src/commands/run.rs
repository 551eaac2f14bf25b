//! `bitbench run`: measures a suite.

use super::energy::EnergyArguments;
use super::jobs::JobArguments;
use super::{Code, CommandError};
use crate::host;
use crate::interrupt;
use crate::journal::{Done, Journal, JournalError};
use crate::plan::{self, Choices, ControlChoice, Machine, Plan};
use crate::progress::{self, Progress, minutes, plain};
use crate::runner::{Ended, Runner};
use crate::suite::{self, LoadedSuite};
use anyhow::{Context, anyhow};
use bitbench_engine::cpu::Cpu;
use bitbench_reports::record::{
    Budget, Design, End, EnergySourceInfo, Host, Record, Records, Resumed, Run, SCHEMA, SuiteInfo,
};
use bitbench_reports::render;
use bitbench_reports::report::Report;
use bitbench_reports::summary::Status;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Arguments of `bitbench run`.
#[derive(Debug, Default, clap::Args)]
#[command(after_help = "Examples:
  bitbench run --suite x86-energy --quick
  bitbench run --suite x86-energy --model 2B4T --threads 1,2
  bitbench run --suite x86-energy --model model.gguf --ternarize
  bitbench run --suite x86-energy --list")]
pub struct Arguments {
    /// Suite to run: a name (see `bitbench list`) or the path of a .toml file
    #[arg(long, value_name = "NAME")]
    suite: String,
    #[command(flatten)]
    jobs: JobArguments,
    /// Make half-precision linear layers ternary for the ternary kernels. It destroys the quality of the model and is
    /// marked so: it answers what a ternary version of the model would cost here
    #[arg(long)]
    ternarize: bool,
    /// What `bitbench tune` stored, for --kernel tuned [default: bitbench-results/tuned.toml]
    #[arg(long, value_name = "FILE")]
    tuned: Option<PathBuf>,
    /// The shortened form of the suite
    #[arg(long)]
    quick: bool,
    /// Have contenders take turns at each window in slices of so many seconds, such as 0.05, where no counter is read; 0 for
    /// one after the other
    #[arg(long, value_name = "SECONDS", value_parser = slice)]
    slice: Option<f64>,
    /// Read each model file from its disk once: ask the system to drop its pages, load it, and store how long that took
    #[arg(long)]
    cold_start: bool,
    /// Begin no block of rounds that is likely to end later than this, such as 90s or 5m. The first block is always run
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    time_budget: Option<f64>,
    /// Stop measuring contenders when the 95 % interval of each of their decode figures is within so many percent, such as 1%.
    /// With --time-budget, more rounds than the suite's are made until then
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    target_precision: Option<f64>,
    /// Leave out the A/A control: one job that is measured a second time, to show the noise of the run
    #[arg(long)]
    no_control: bool,
    /// Measure the first job twice whatever the plan
    #[arg(long, hide = true, conflicts_with = "no_control")]
    control: bool,
    /// Have the control waste so many percent of its time: a test of whether that is found
    #[arg(long, hide = true, value_name = "PERCENT", value_parser = percent, conflicts_with = "no_control")]
    slow_down_control: Option<f64>,
    /// Folder of the results [default: bitbench-results/SUITE-START]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Go on with the run in --out that was killed or interrupted
    #[arg(long, requires = "out")]
    resume: bool,
    #[command(flatten)]
    energy: EnergyArguments,
    /// Print the plan with predicted times and stop
    #[arg(long)]
    list: bool,
}

impl Arguments {
    /// A run of a suite that a gate holds against a stored one.
    pub(super) fn of_gate(
        suite: &str,
        jobs: &JobArguments,
        energy: &EnergyArguments,
        out: &Path,
        list: bool,
    ) -> Arguments {
        Arguments {
            suite: suite.to_owned(),
            jobs: jobs.clone(),
            energy: energy.clone(),
            out: Some(out.to_owned()),
            list,
            ..Arguments::default()
        }
    }
}

/// Measures a suite.
///
/// # Errors
/// See [`CommandError`].
pub fn run(arguments: &Arguments) -> Result<Code, CommandError> {
    let loaded = suite::load(&arguments.suite).map_err(CommandError::usage)?;
    let cpu = Cpu::detect();
    let host = host::capture(&cpu);
    let mut meter = arguments.energy.open_meter(&loaded)?;
    let energy = meter.info();
    let choices = Choices {
        ternarize: arguments.ternarize,
        tuned: arguments.tuned.clone(),
        quick: arguments.quick,
        slice_s: arguments.slice,
        cold_start: arguments.cold_start,
        control: control(arguments),
        ..arguments.jobs.choices()
    };
    let machine = Machine::here(&cpu, &host, &meter);
    let plan = plan::expand(&loaded, &choices, &machine).map_err(CommandError::usage)?;
    plan.notes.iter().for_each(|note| tell!("note: {note}"));
    if arguments.list {
        say!("{}", loaded.suite.about.trim());
        say!("");
        print_plan(&plan, &energy);
        return Ok(Code::Done);
    }
    if let Some(out) = arguments.out.as_ref().filter(|o| o.to_str().is_none()) {
        // Workers are told paths as text.
        let error = anyhow!("--out {} is not UTF-8", out.display());
        return Err(CommandError::usage(error));
    }
    let now = jiff::Timestamp::now();
    let folder = arguments.out.clone().unwrap_or_else(|| {
        let start = now.strftime("%Y%m%d-%H%M%S");
        PathBuf::from("bitbench-results").join(format!("{}-{start}", loaded.name))
    });
    let budget = Budget {
        time_s: arguments.time_budget,
        target_precision_percent: arguments.target_precision,
    };
    let mut planned = header(&loaded, arguments.quick, &plan, &energy, host, now);
    planned.budget = (budget != Budget::default()).then_some(budget);
    let (mut journal, done, seed) = open_journal(&folder, planned, arguments.resume)?;
    interrupt::listen()
        .context("cannot listen for Ctrl-C")
        .map_err(CommandError::internal)?;
    let scratch = Scratch::create(&folder)?;
    announce(&plan, &energy, &folder);
    meter
        .warning()
        .iter()
        .for_each(|warning| tell!("energy: {}", plain(warning)));
    let mut progress = Progress::new(plan.rounds(), plan.predicted_s);
    let command = worker_command()?;
    let mut runner = Runner::new(
        &plan,
        &mut journal,
        done,
        &mut meter,
        command,
        seed,
        scratch.path.clone(),
        &mut progress,
    );
    runner.budget = budget;
    let ended = runner.run().map_err(CommandError::internal)?;
    progress.finish();
    drop(scratch);
    let end = End {
        at: jiff::Timestamp::now().to_string(),
        interrupted: ended == Ended::Interrupted,
        stopped_by: match ended {
            Ended::Stopped(by) => Some(by),
            Ended::Complete | Ended::Interrupted => None,
        },
    };
    journal
        .append(&Record::End(end))
        .map_err(CommandError::internal)?;
    let report = write_report(&folder, &folder)?;
    if ended == Ended::Interrupted {
        tell!(
            "interrupted; go on with the same command and --out {} --resume",
            folder.display()
        );
        return Ok(Code::Interrupted);
    }
    let failed = report
        .rows
        .iter()
        .any(|row| matches!(row.summary.status, Status::Failed { .. }))
        || report.controls.iter().any(|control| control.failed);
    Ok(if failed { Code::JobFailed } else { Code::Done })
}

/// The first line of the record of a run that starts now, with what every run has.
pub(super) fn header(
    loaded: &LoadedSuite,
    quick: bool,
    plan: &Plan,
    energy: &EnergySourceInfo,
    host: Host,
    now: jiff::Timestamp,
) -> Run {
    Run {
        schema: SCHEMA,
        started_at: now.to_string(),
        bitbench: crate::VERSION.to_owned(),
        command: std::env::args_os()
            .map(|argument| argument.to_string_lossy().into_owned())
            .collect(),
        suite: SuiteInfo {
            name: loaded.name.clone(),
            about: loaded.suite.about.trim().to_owned(),
            hash: loaded.hash.clone(),
            quick,
            leads: loaded.suite.leads,
        },
        seed: seed(),
        budget: None,
        design: Some(Design::MirroredRows),
        gate: None,
        host,
        energy: energy.clone(),
        jobs: plan.jobs.iter().map(|j| j.job.clone()).collect(),
    }
}

fn control(arguments: &Arguments) -> ControlChoice {
    match arguments.slow_down_control {
        _ if arguments.no_control => ControlChoice::Never,
        None if !arguments.control => ControlChoice::WhereItPays,
        slowed_percent => ControlChoice::Always { slowed_percent },
    }
}

/// A time such as `90s` or `5m`, in seconds.
pub(super) fn seconds(text: &str) -> Result<f64, String> {
    let duration: jiff::SignedDuration = text
        .parse()
        .map_err(|_| "not a time such as 90s or 5m".to_owned())?;
    let seconds = duration.as_secs_f64();
    if (1.0..=1e6).contains(&seconds) {
        Ok(seconds)
    } else {
        Err("between a second and eleven days".to_owned())
    }
}

/// The length of a slice, in seconds.
fn slice(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds == 0.0 || (suite::SHORTEST_SLICE_S..=3600.0).contains(&seconds) => {
            Ok(seconds)
        }
        _ => Err(format!(
            "0, or between {} and 3600 seconds",
            suite::SHORTEST_SLICE_S
        )),
    }
}

/// A share such as `1%` or `0.5`, in percent.
fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim();
    match number.parse::<f64>() {
        Ok(percent) if (0.01..=100.0).contains(&percent) => Ok(percent),
        _ => Err("between 0.01 and 100 percent, such as 1%".to_owned()),
    }
}

/// Writes the pages of a results folder into one, often the same, and prints the table.
pub(super) fn write_report(folder: &Path, out: &Path) -> Result<Report, CommandError> {
    let records = Records::read(folder).map_err(CommandError::usage)?;
    let written = render::write_all(out, &records).map_err(CommandError::internal)?;
    let report = Report::new(&records);
    let terminal = std::io::stdout().is_terminal();
    let width = output_width();
    let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    progress::say(&render::terminal::render(&report, width, colour));
    for path in written {
        say!("{}", plain(&path.display().to_string()));
    }
    Ok(report)
}

/// Characters of a line of standard output: `COLUMNS`, or those of the terminal, or 80.
pub(super) fn output_width() -> usize {
    let asked = std::env::var("COLUMNS").ok().and_then(|c| c.parse().ok());
    if let Some(columns @ 40..=1000) = asked {
        return columns;
    }
    if !std::io::stdout().is_terminal() {
        return 80;
    }
    // A terminal that does not know its size says 0.
    match rustix::termios::tcgetwinsize(std::io::stdout()) {
        Ok(size) if size.ws_col > 0 => usize::from(size.ws_col).max(40),
        _ => 80,
    }
}

fn open_journal(
    folder: &Path,
    planned: Run,
    resume: bool,
) -> Result<(Journal, Done, u64), CommandError> {
    let usage_or_internal = |error: JournalError| match error {
        JournalError::Write { .. } => CommandError::internal(error),
        JournalError::Create { ref source, .. } if no_room(source) => CommandError::internal(error),
        _ => CommandError::usage(error),
    };
    if !resume {
        let seed = planned.seed;
        let journal = Journal::create(folder, planned).map_err(usage_or_internal)?;
        return Ok((journal, Done::default(), seed));
    }
    let (mut journal, done, seed) = Journal::resume(folder, &planned).map_err(usage_or_internal)?;
    let resumed = Resumed {
        at: planned.started_at,
        bitbench: planned.bitbench,
        command: planned.command,
    };
    journal
        .append(&Record::Resumed(resumed))
        .map_err(CommandError::internal)?;
    Ok((journal, done, seed))
}

/// Whether the disk is full, which is not a matter of how the command was called.
fn no_room(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// Folder for the logits of checks, beside the results; gone when the run ends.
pub(super) struct Scratch {
    pub(super) path: PathBuf,
}

impl Scratch {
    pub(super) fn create(folder: &Path) -> Result<Scratch, CommandError> {
        let path = folder.join(".check");
        std::fs::create_dir_all(&path)
            .with_context(|| format!("cannot create {}", path.display()))
            .map_err(CommandError::internal)?;
        Ok(Scratch { path })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays behind is a file of logits, which does no harm.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

fn worker_command() -> Result<Vec<String>, CommandError> {
    let binary = std::env::current_exe()
        .context("cannot find the running binary")
        .map_err(CommandError::internal)?;
    worker_of(&binary)
}

/// The command of a worker of a bitbench binary.
pub(super) fn worker_of(binary: &Path) -> Result<Vec<String>, CommandError> {
    let engine = suite::load_engine("bitbench").map_err(CommandError::usage)?;
    let binary = binary.to_str().ok_or_else(|| {
        CommandError::internal(anyhow!("the path {} is not UTF-8", binary.display()))
    })?;
    let part = |part: String| match part.as_str() {
        "{bitbench}" => binary.to_owned(),
        _ => part,
    };
    Ok(engine.run.into_iter().map(part).collect())
}

fn announce(plan: &Plan, energy: &EnergySourceInfo, folder: &Path) {
    let run = plan.jobs.iter().filter(|j| j.skip.is_none()).count();
    tell!(
        "{run} jobs ({} skipped), {} rounds in fresh processes, about {}; results go to {}",
        plan.jobs.len() - run,
        plan.rounds(),
        minutes(plan.predicted_s),
        folder.display()
    );
    if let EnergySourceInfo::Unavailable { reason, .. } = energy {
        tell!("energy: unavailable - {}", plain(reason));
    }
    if plan.cores.is_empty() {
        tell!("threads are left to the system, not bound to a core each");
    }
}

fn print_plan(plan: &Plan, energy: &EnergySourceInfo) {
    for planned in &plan.jobs {
        let job = &planned.job;
        let mut work = match job.layer {
            None => format!("pp{} tg{}", job.prefill_tokens, job.decode_tokens),
            Some(_) => format!("n{}", job.batch),
        };
        if job.batch != 1 && job.layer.is_none() {
            work.push_str(&format!(" x b{}", job.batch));
        }
        let fate = match &planned.skip {
            Some(reason) => format!("skipped: {}", plain(reason)),
            None => format!(
                "{} rounds of about {}",
                job.rounds,
                minutes(planned.round_s)
            ),
        };
        say!("{:<28} {work:<16} {fate}", plain(&job.id));
    }
    if let Some(slice_s) = plan.jobs.iter().find_map(|planned| planned.slice_s) {
        say!("contenders take turns at each window in slices of {slice_s} s");
    }
    match energy {
        EnergySourceInfo::Open { source, .. } => say!("energy: {source}"),
        EnergySourceInfo::Unavailable { reason, .. } => {
            say!("energy: unavailable - {}", plain(reason))
        }
    }
    say!("predicted: {}", minutes(plan.predicted_s));
}

/// A seed that differs from run to run; it is in the record.
pub(super) fn seed() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    since.as_secs() ^ u64::from(since.subsec_nanos()) << 32
}
