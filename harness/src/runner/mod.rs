//! Runs a plan: blocks of fresh worker processes in an order that the seed gives, every window recorded as it ends.

mod answers;
mod budget;
mod cold_start;
mod contender;
mod layer;
mod places;
mod team;
mod warm_up;
mod windows;

use crate::interrupt;
use crate::journal::{Done, Journal, JournalError};
use crate::meter::Meter;
use crate::plan::{Plan, PlannedJob, positions};
use crate::progress::Progress;
use crate::roots::Roots;
use crate::worker::{LoadedReply, Process, Reply, Request, WorkerError};
use answers::ReferenceKey;
use bitbench_reports::design::{ROUNDS_OF_BLOCK, Schedule};
use bitbench_reports::record::{Budget, Build, JobOutcome, Outcome, Place, Record};
pub use budget::Ended;
use budget::{Judgement, Pace};
use places::Places;
use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::Rng;
use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The environment of a process is longer than it need be by less than this, in bytes: a page.
const LARGEST_PADDING: u64 = 4096;

/// Everything a run needs.
pub struct Runner<'a> {
    /// What to do.
    pub plan: &'a Plan,
    /// Where it is recorded.
    pub journal: &'a mut Journal,
    /// What an earlier process did.
    pub done: Done,
    /// The energy counters.
    pub meter: &'a mut Meter,
    /// Command of a worker.
    pub command: Vec<String>,
    /// Commands of the workers of a gate, in the place of that.
    pub builds: Option<Builds>,
    /// Seed of the order.
    pub seed: u64,
    /// When enough was measured, beside the plan.
    pub budget: Budget,
    /// Folder for logits, which workers write and the harness compares.
    pub scratch: PathBuf,
    /// What the user sees.
    pub progress: &'a mut Progress,
    /// Logits of the references so far.
    references: HashMap<ReferenceKey, Vec<f32>>,
    /// How often a reference was tried in vain, and why.
    vain: HashMap<ReferenceKey, (u32, String)>,
    /// Where the harness itself runs.
    places: Places,
    /// Where the system tells what else happens.
    roots: Roots,
    /// When the process started.
    start: Instant,
}

/// Commands of the workers of two builds.
#[derive(Debug, Clone)]
pub struct Builds {
    /// The base build.
    pub base: Vec<String>,
    /// The same build under another path, for its control.
    pub base_again: Vec<String>,
    /// The new build.
    pub new: Vec<String>,
}

/// What a worker is to load of a model, and where it is to run.
struct What<'a> {
    kernel: &'a str,
    head: &'a str,
    /// Whether the head's integer loops are the portable ones: a reference.
    portable_head: bool,
    threads: u32,
    /// A CPU for each thread; empty to leave them to the system.
    cpus: &'a [u32],
}

/// What came of asking every job for its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answers {
    /// All of them are right.
    Right,
    /// Some are not: the id of each job, and what is wrong with it.
    Wrong(Vec<(String, String)>),
    /// The user asked to stop.
    Interrupted,
}

/// Why a round gave no figure, or why the run cannot go on.
enum Stop {
    Failed(String),
    Cut(Cut),
}

/// Why the run cannot go on.
enum Cut {
    Interrupted,
    Journal(JournalError),
}

impl From<JournalError> for Cut {
    fn from(error: JournalError) -> Cut {
        Cut::Journal(error)
    }
}

impl From<JournalError> for Stop {
    fn from(error: JournalError) -> Stop {
        Stop::Cut(Cut::Journal(error))
    }
}

impl From<WorkerError> for Stop {
    fn from(error: WorkerError) -> Stop {
        match error {
            WorkerError::Interrupted => Stop::Cut(Cut::Interrupted),
            other => Stop::Failed(other.to_string()),
        }
    }
}

impl<'a> Runner<'a> {
    /// A runner of a plan.
    #[expect(clippy::too_many_arguments, reason = "everything a run needs")]
    pub fn new(
        plan: &'a Plan,
        journal: &'a mut Journal,
        done: Done,
        meter: &'a mut Meter,
        command: Vec<String>,
        seed: u64,
        scratch: PathBuf,
        progress: &'a mut Progress,
    ) -> Self {
        let start = Instant::now();
        Runner {
            plan,
            journal,
            done,
            meter,
            command,
            builds: None,
            seed,
            budget: Budget::default(),
            scratch,
            progress,
            references: HashMap::new(),
            vain: HashMap::new(),
            places: Places::default(),
            roots: Roots::machine(),
            start,
        }
    }

    /// Runs what is left of the plan.
    ///
    /// # Errors
    /// If the record file cannot be written: what was measured before is in it.
    pub fn run(&mut self) -> Result<Ended, JournalError> {
        let plan = self.plan;
        for planned in &plan.jobs {
            if let Some(reason) = planned
                .skip
                .as_ref()
                .filter(|_| !self.done.covers(&planned.job.id, 0))
            {
                let place = Place {
                    job: planned.job.id.clone(),
                    round: 0,
                    process: self.next_process(),
                };
                self.end_round(
                    place,
                    Outcome::Skipped {
                        reason: reason.clone(),
                    },
                )?;
            }
        }
        let rounds = plan.jobs.iter().map(|planned| planned.job.rounds).max();
        let planned_blocks = rounds.unwrap_or(0).div_ceil(ROUNDS_OF_BLOCK);
        let schedule = Schedule::of(self.seed, plan.jobs.iter().map(|planned| &planned.job));
        let mut pace = Pace::default();
        for block in 0.. {
            let due = match self.judge(block, planned_blocks, &mut pace)? {
                Judgement::GoOn(due) => due,
                Judgement::Stop(None) => break,
                Judgement::Stop(Some(by)) => return Ok(Ended::Stopped(by)),
            };
            for mut row in schedule.rows(block) {
                row.retain(|turn| {
                    let planned = &plan.jobs[turn.job];
                    let more = budget::allows_more(&self.budget);
                    let in_plan = turn.round < planned.job.rounds || more;
                    let due = planned.skip.is_none() && due[turn.job] && in_plan;
                    due && !self.done.covers(&planned.job.id, turn.round)
                });
                match self.row(&row) {
                    Ok(()) => {}
                    Err(Cut::Interrupted) => return Ok(Ended::Interrupted),
                    Err(Cut::Journal(error)) => return Err(error),
                }
            }
        }
        Ok(Ended::Complete)
    }

    /// Has every job that is to be measured show that it computes the right thing, and measures nothing. Gives what is wrong,
    /// each with the id of its job.
    ///
    /// # Errors
    /// If the answers cannot be written.
    pub fn answers(&mut self) -> Result<Answers, JournalError> {
        let plan = self.plan;
        let mut wrong = Vec::new();
        let due = plan.jobs.iter().filter(|planned| planned.skip.is_none());
        for planned in due.filter(|planned| planned.job.control_of.is_none()) {
            if interrupt::requested() {
                return Ok(Answers::Interrupted);
            }
            match self.shows_answer(planned) {
                Ok(()) => {}
                Err(Stop::Failed(reason)) => wrong.push((planned.job.id.clone(), reason)),
                Err(Stop::Cut(Cut::Interrupted)) => return Ok(Answers::Interrupted),
                Err(Stop::Cut(Cut::Journal(error))) => return Err(error),
            }
        }
        Ok(match wrong.is_empty() {
            true => Answers::Right,
            false => Answers::Wrong(wrong),
        })
    }

    fn shows_answer(&mut self, planned: &PlannedJob) -> Result<(), Stop> {
        let limit = contender::limit_of(planned);
        self.reference(planned, limit)?;
        let what = What {
            kernel: &planned.job.kernel,
            head: &planned.job.head,
            portable_head: false,
            threads: planned.job.threads,
            cpus: &[],
        };
        let (mut worker, _) = self.start_worker(planned, &what, limit, |_| {})?;
        let answer = self.answer(&mut worker, planned, limit)?;
        self.compare(planned, &answer)
    }

    fn next_process(&mut self) -> u32 {
        let process = self.done.next_process;
        self.done.next_process += 1;
        process
    }

    fn end_round(&mut self, place: Place, outcome: Outcome) -> Result<(), JournalError> {
        self.done.note(&place, &outcome);
        let ended = JobOutcome { place, outcome };
        let record = Record::Outcome(ended.clone());
        // What the user is told is in the record already.
        self.journal.append(&record)?;
        self.progress.end(&ended.place, &ended.outcome);
        Ok(())
    }

    /// The worker that a job is measured with.
    fn command_of(&self, planned: &PlannedJob, what: &What<'_>) -> &[String] {
        match (&self.builds, planned.job.build) {
            (Some(builds), _) if what.portable_head => &builds.base,
            (Some(builds), Some(Build::New)) => &builds.new,
            (Some(builds), _) if planned.job.control_of.is_some() => &builds.base_again,
            (Some(builds), _) => &builds.base,
            (None, _) => &self.command,
        }
    }

    /// Bytes that the environment of the next process is made longer by, drawn from the seed of the run: two processes of a
    /// build do not have their stacks in the same place, so that no build is faster for where its own happens to be.
    fn padding(&self) -> usize {
        let stream = u128::from(self.seed) << 64 | u128::from(self.done.next_process) << 1 | 1;
        let drawn = Pcg64Mcg::new(stream).next_u64() % LARGEST_PADDING;
        usize::try_from(drawn).unwrap_or(0)
    }

    /// Starts a worker and has it load its weights.
    fn start_worker(
        &mut self,
        planned: &PlannedJob,
        what: &What<'_>,
        limit: Duration,
        started: impl FnOnce(&Process),
    ) -> Result<(Process, LoadedReply), Stop> {
        // A worker inherits the CPUs of the harness, and needs all of them to load.
        self.places.spread();
        let mut worker = Process::start_padded(self.command_of(planned, what), self.padding())?;
        let (name, version) = worker.engine();
        let engine = &planned.job.engine;
        // The reference of a gate is that of the base build, whoever is held against it.
        let of_base = what.portable_head && self.builds.is_some();
        if !of_base && (name, version) != (&*engine.name, &*engine.version) {
            return Err(Stop::Failed(format!(
                "the worker is {name} {version}, not the engine of the plan"
            )));
        }
        // Before it starts its threads.
        started(&worker);
        let request = Request::Load {
            model: planned.source.clone(),
            kernel: what.kernel.to_owned(),
            head: what.head.to_owned(),
            portable_head: what.portable_head,
            threads: what.threads,
            sequences: planned.job.batch,
            positions: positions(planned.job.prefill_tokens, planned.job.decode_tokens),
            cpus: what.cpus.to_vec(),
            // A reference is the truth, however slow.
            burn_percent: planned.job.injected_percent.filter(|_| !what.portable_head),
        };
        match worker.ask(&request, limit)? {
            Reply::Loaded(loaded) => Ok((worker, loaded)),
            _ => Err(Stop::Failed(
                "the worker did not say what it loaded".to_owned(),
            )),
        }
    }
}

fn expect_done(reply: Reply) -> Result<(), Stop> {
    match reply {
        Reply::Done => Ok(()),
        other => Err(senseless(&other)),
    }
}

fn senseless(reply: &Reply) -> Stop {
    Stop::Failed(format!("the worker's reply makes no sense here: {reply:?}"))
}

/// Random tokens for each sequence, other ones for each: one token again and again would flatter caches, and sequences that
/// are mixed up must show.
fn tokens(planned: &PlannedJob, count: u32, stream: u64) -> Vec<Vec<u32>> {
    let mut random = Pcg64Mcg::new(u128::from(stream) << 1 | 1);
    let mut token = || {
        let token = random.next_u64() % u64::from(planned.vocab.max(1));
        u32::try_from(token).unwrap_or(0)
    };
    (0..planned.job.batch)
        .map(|_| (0..count).map(|_| token()).collect())
        .collect()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "suites are checked to be within a day"
)]
fn nanoseconds(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}
