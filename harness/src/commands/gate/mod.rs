//! `bitbench gate`: whether a new build is slower or bigger than the one before.

mod noise;
mod stored;
mod told;

use super::energy::EnergyArguments;
use super::jobs::JobArguments;
use super::run::{self, Scratch};
use super::{Code, CommandError};
use crate::gate::{Place, Session, SessionError, design, folder_of, place, revision};
use crate::host;
use crate::interrupt;
use crate::journal::JournalError;
use crate::plan::{self, Choices, ControlChoice, Machine, two_builds};
use crate::runner::{Answers, Builds};
use crate::suite::{self, LoadedSuite};
use anyhow::{Context, anyhow};
use bitbench_engine::cpu::Cpu;
use bitbench_reports::gate::{Gate, gate as judge, name_of, open_after, open_after_confirming};
use bitbench_reports::record::{Build, GateInfo, GatePolicy, Records, Stage};
use std::path::{Path, PathBuf};
use stored::{against_stored, judge_again};
use told::{conclude, in_short, print_plan};

/// Where revisions are built.
const BUILDS: &str = "bitbench-results/builds";
/// Length of the slices in which builds take turns, where the suite says nothing: a tenth of the time in which the clocks of a
/// virtual machine change.
const SLICE_S: f64 = 0.02;

/// Arguments of `bitbench gate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  bitbench gate --base-bin before/bitbench --new-bin after/bitbench
  bitbench gate --base-rev main                        build that revision first
  bitbench gate --base-rev HEAD~1 --new-rev HEAD --time-budget 5m
  bitbench gate --base-bin old --suite kernels --model 2560x2560
  bitbench gate --baseline bitbench-results/before          against a stored run
  bitbench gate --judge bitbench-results/gate-20260102-030405

Both builds are measured in the same rounds, in fresh processes that take turns; what looks slower in a screening run is measured \
again in a run of its own. Exit codes: 0 OK; 6 REGRESSED: a cell costs more, certainly and by its limit or more; 7 INCONCLUSIVE: the \
rounds do not tell; 8 CONTAMINATED: the base build differs from itself, so nothing can be trusted; 9 INCORRECT: the builds compute \
different things, and nothing was timed.")]
pub struct Arguments {
    /// The build that things are as they should be with: a bitbench binary
    #[arg(long, value_name = "FILE")]
    base_bin: Option<PathBuf>,
    /// The same as a git revision of the current folder, which is built in a worktree
    #[arg(long, value_name = "REV", conflicts_with = "base_bin")]
    base_rev: Option<String>,
    /// The build that is asked about [default: this bitbench]
    #[arg(long, value_name = "FILE")]
    new_bin: Option<PathBuf>,
    /// The same as a git revision
    #[arg(long, value_name = "REV", conflicts_with = "new_bin")]
    new_rev: Option<String>,
    /// A stored run of the suite on this host, from `bitbench run`, in the place of a base build: nothing is paired then, so limits
    /// are twice as wide
    #[arg(long, value_name = "DIR", conflicts_with_all = ["base_bin", "base_rev", "new_bin", "new_rev", "time_budget"])]
    baseline: Option<PathBuf>,
    /// Suite whose jobs are gated: a name (see `bitbench list`) or the path of a .toml file
    #[arg(long, value_name = "NAME", default_value = "gate")]
    suite: String,
    #[command(flatten)]
    jobs: JobArguments,
    /// What a regression is, in the place of the suite's [gate]: a TOML file with those keys
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Make no more confirming rounds than fit into this, such as 5m; a time in which nothing could be found is refused
    #[arg(long, value_name = "TIME", value_parser = run::seconds)]
    time_budget: Option<f64>,
    /// Outcomes that end with exit code 0 as well: inconclusive, contaminated
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    allow: Vec<Allowed>,
    /// History that keeps what the A/A controls showed, from which the noise of this host is known once 20 gates are stored: no
    /// limit is below it
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
    /// Print the annotations of GitHub Actions too [default: where GITHUB_ACTIONS is set]
    #[arg(long)]
    annotations: bool,
    /// Folder of the results [default: bitbench-results/gate-START]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Judge the stored runs of a gate again, and measure nothing; with --baseline as it was given
    #[arg(long, value_name = "DIR", conflicts_with_all = ["base_bin", "base_rev", "new_bin", "new_rev", "out", "time_budget"])]
    judge: Option<PathBuf>,
    /// Print the jobs with the predicted time and stop: nothing is built
    #[arg(long)]
    list: bool,
    #[command(flatten)]
    energy: EnergyArguments,
}

/// Outcomes that a caller may take for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Allowed {
    Inconclusive,
    Contaminated,
}

/// Gates a build.
///
/// # Errors
/// See [`CommandError`].
pub fn gate(arguments: &Arguments) -> Result<Code, CommandError> {
    if let Some(folder) = &arguments.judge {
        return judge_again(arguments, folder);
    }
    let now = jiff::Timestamp::now();
    let folder = arguments.out.clone().unwrap_or_else(|| {
        PathBuf::from("bitbench-results").join(format!("gate-{}", now.strftime("%Y%m%d-%H%M%S")))
    });
    if folder.to_str().is_none() {
        let error = anyhow!("--out {} is not UTF-8", folder.display());
        return Err(CommandError::usage(error));
    }
    if !arguments.list && folder.join(folder_of(Stage::Screen)).exists() {
        return Err(CommandError::usage(anyhow!(
            "{} holds a gate already; --judge {0} judges it again, another --out starts a new one",
            folder.display()
        )));
    }
    let loaded = suite::load(&arguments.suite).map_err(CommandError::usage)?;
    let policy = policy(arguments, &loaded)?;
    if let Some(baseline) = &arguments.baseline {
        return against_stored(arguments, baseline, &folder, &policy);
    }
    let cpu = Cpu::detect();
    let host = host::capture(&cpu);
    let mut meter = arguments.energy.open_meter(&loaded)?;
    let machine = Machine::here(&cpu, &host, &meter);
    let single =
        plan::expand(&loaded, &choices(arguments), &machine).map_err(CommandError::usage)?;
    single.notes.iter().for_each(|note| tell!("note: {note}"));
    let slice_s = loaded.suite.slice_s.unwrap_or(SLICE_S);
    let both = |rounds| two_builds(&single, rounds, slice_s, &machine);
    let designed = design(&both(policy.screen_rounds), &policy, arguments.time_budget)
        .map_err(|reason| CommandError::usage(anyhow!(reason)))?;
    let mut plan = both(designed.policy.screen_rounds);
    if arguments.list {
        print_plan(&plan, &designed);
        return Ok(Code::Done);
    }
    let (base, new) = binaries(arguments)?;
    let builds_folder = folder.join("builds");
    let built = |build, binary: &Path, name: &str| {
        place(
            Place {
                build,
                folder: &builds_folder,
                name,
            },
            binary,
            |binary| run::worker_of(binary).unwrap_or_default(),
        )
        .map_err(CommandError::usage)
    };
    let linked = Linked(builds_folder.clone());
    let base = built(Build::Base, &base, "base")?;
    let again = built(Build::Base, &base.binary, "base-under-another-name")?;
    let new = built(Build::New, &new, "new")?;
    for planned in &mut plan.jobs {
        // As each build calls itself.
        let build = match planned.job.build {
            Some(Build::New) => &new,
            _ => &base,
        };
        planned.job.engine = build.engine.clone();
    }
    tell!(
        "{}; results go to {}",
        in_short(&plan, &designed),
        folder.display()
    );
    for planned in &plan.jobs {
        if let (Some(reason), Some(Build::New)) = (&planned.skip, planned.job.build) {
            tell!("skipped: {}: {reason}", name_of(&planned.job));
        }
    }
    interrupt::listen()
        .context("cannot listen for Ctrl-C")
        .map_err(CommandError::internal)?;
    let scratch = Scratch::create(&folder)?;
    let energy = meter.info();
    let info = GateInfo {
        stage: Stage::Screen,
        builds: vec![base.info.clone(), new.info.clone()],
        policy: designed.policy.clone(),
        floors: noise::floors(arguments.history.as_deref(), &host, &loaded.name)?,
    };
    let mut session = Session {
        folder: &folder,
        plan: &plan,
        builds: Builds {
            base: run::worker_of(&base.binary)?,
            base_again: run::worker_of(&again.binary)?,
            new: run::worker_of(&new.binary)?,
        },
        info,
        header: run::header(&loaded, false, &plan, &energy, host, now),
        meter: &mut meter,
        scratch: scratch.path.clone(),
    };
    let runs = match measure(&mut session, &designed.policy)? {
        Measured::Runs(runs) => runs,
        Measured::Wrong(wrong) => {
            let run = &session.header;
            let judged = Gate::incorrect(&run.suite.name, &run.started_at, &session.info, &wrong);
            return conclude(arguments, &folder, &judged);
        }
        Measured::Interrupted => {
            tell!("interrupted: there is no verdict");
            return Ok(Code::Interrupted);
        }
    };
    drop(linked);
    let judged = judge(&runs).map_err(CommandError::internal)?;
    if let Some(history) = &arguments.history {
        noise::remember(history, &judged, &runs)?;
    }
    conclude(arguments, &folder, &judged)
}

fn policy(arguments: &Arguments, loaded: &LoadedSuite) -> Result<GatePolicy, CommandError> {
    match &arguments.policy {
        Some(path) => suite::load_policy(path).map_err(CommandError::usage),
        None => Ok(loaded.suite.gate.clone().unwrap_or_default()),
    }
}

fn choices(arguments: &Arguments) -> Choices {
    Choices {
        control: ControlChoice::Never,
        // The gate gives slices itself, to the jobs of both builds.
        slice_s: Some(0.0),
        ..arguments.jobs.choices()
    }
}

/// The binaries of both builds; a revision is built here.
fn binaries(arguments: &Arguments) -> Result<(PathBuf, PathBuf), CommandError> {
    let built = |rev: &String| {
        tell!("building revision {rev}, unless it was built before");
        revision(rev, Path::new(BUILDS)).map_err(CommandError::usage)
    };
    let base = match (&arguments.base_bin, &arguments.base_rev) {
        (Some(binary), _) => binary.clone(),
        (None, Some(rev)) => built(rev)?,
        (None, None) => {
            return Err(CommandError::usage(anyhow!(
                "a gate needs a build to hold this one against: --base-bin FILE or --base-rev REV"
            )));
        }
    };
    let new = match (&arguments.new_bin, &arguments.new_rev) {
        (Some(binary), _) => binary.clone(),
        (None, Some(rev)) => built(rev)?,
        (None, None) => {
            if cfg!(debug_assertions) {
                tell!(
                    "CARE: this bitbench, the new build, is built without optimisation; say --new-bin for another"
                );
            }
            std::env::current_exe()
                .context("cannot find the running binary")
                .map_err(CommandError::internal)?
        }
    };
    Ok((base, new))
}

/// What measuring came to.
enum Measured {
    Runs(Vec<Records>),
    Wrong(Vec<(String, String)>),
    Interrupted,
}

/// The runs of a gate, one after the other, as far as something is open.
fn measure(session: &mut Session<'_>, policy: &GatePolicy) -> Result<Measured, CommandError> {
    let failed = |error: SessionError| match error {
        SessionError::Journal(JournalError::Write { .. } | JournalError::Scratch { .. }) => {
            CommandError::internal(error)
        }
        other => CommandError::usage(other),
    };
    match session.answers().map_err(failed)? {
        Answers::Right => {}
        Answers::Wrong(wrong) => return Ok(Measured::Wrong(wrong)),
        Answers::Interrupted => return Ok(Measured::Interrupted),
    }
    tell!("both builds give the right answers");
    let Some(screen) = session
        .stage(Stage::Screen, None, policy.screen_rounds)
        .map_err(failed)?
    else {
        return Ok(Measured::Interrupted);
    };
    let open = open_after(&screen).map_err(CommandError::internal)?;
    let mut runs = vec![screen];
    if open.is_empty() {
        return Ok(Measured::Runs(runs));
    }
    tell!("the screening leaves open: {}", open.join(", "));
    let Some(confirm) = session
        .stage(Stage::Confirm, Some(&open), policy.confirm_rounds)
        .map_err(failed)?
    else {
        return Ok(Measured::Interrupted);
    };
    let open = open_after_confirming(&runs[0], &confirm).map_err(CommandError::internal)?;
    runs.push(confirm);
    let more = policy.most_rounds - policy.confirm_rounds;
    if open.is_empty() || more == 0 {
        return Ok(Measured::Runs(runs));
    }
    tell!("{more} more rounds for: {}", open.join(", "));
    match session
        .stage(Stage::Extend, Some(&open), more)
        .map_err(failed)?
    {
        Some(extend) => runs.push(extend),
        None => return Ok(Measured::Interrupted),
    }
    Ok(Measured::Runs(runs))
}

/// The folder with the linked builds, which goes when they were measured.
struct Linked(PathBuf);

impl Drop for Linked {
    fn drop(&mut self) {
        // What stays behind is a name of a file that exists anyway.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
