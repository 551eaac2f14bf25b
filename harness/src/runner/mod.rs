//! Runs a plan: blocks of fresh worker processes in an order that the seed gives, every window recorded as it ends.

mod answers;
mod budget;
mod cold_start;
mod layer;
mod places;
mod warm_up;
mod windows;

use crate::host::topology;
use crate::interrupt;
use crate::journal::{Done, Journal, JournalError};
use crate::memory;
use crate::meter::Meter;
use crate::plan::{Plan, PlannedJob, positions};
use crate::progress::Progress;
use crate::roots::Roots;
use crate::surroundings::Watch;
use crate::worker::{LoadedReply, Process, Reply, Request, WorkerError};
use answers::ReferenceKey;
use bitbench_reports::design::{ROUNDS_OF_BLOCK, Schedule, Turn};
use bitbench_reports::record::{Budget, JobOutcome, Loaded, Memory, Outcome, Phase, Place, Record};
pub use budget::Ended;
use budget::{Judgement, Pace};
use places::Places;
use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::Rng;
use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Shortest limit for one request, and how many times its predicted round a request may take.
const SHORTEST_LIMIT: Duration = Duration::from_secs(120);
const LIMIT_FACTOR: f64 = 20.0;

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
    /// What else happens during a window.
    watch: Watch,
    /// When the process started.
    start: Instant,
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

/// Why a round gave no figure, or why the run cannot go on.
enum Stop {
    Failed(String),
    Interrupted,
    Journal(JournalError),
}

impl From<JournalError> for Stop {
    fn from(error: JournalError) -> Stop {
        Stop::Journal(error)
    }
}

impl From<WorkerError> for Stop {
    fn from(error: WorkerError) -> Stop {
        match error {
            WorkerError::Interrupted => Stop::Interrupted,
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
            seed,
            budget: Budget::default(),
            scratch,
            progress,
            references: HashMap::new(),
            vain: HashMap::new(),
            places: Places::default(),
            watch: Watch::open(&Roots::machine()),
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
            for Turn { job, round } in schedule.block(block) {
                let planned = &plan.jobs[job];
                let in_plan = round < planned.job.rounds || budget::allows_more(&self.budget);
                let due = planned.skip.is_none() && due[job] && in_plan;
                if !due || self.done.covers(&planned.job.id, round) {
                    continue;
                }
                if interrupt::requested() {
                    return Ok(Ended::Interrupted);
                }
                let place = Place {
                    job: planned.job.id.clone(),
                    round,
                    process: self.next_process(),
                };
                self.progress.begin(&place, planned.round_s);
                let outcome = match self.round(planned, &place) {
                    Ok(()) => Outcome::Measured,
                    Err(Stop::Failed(reason)) => Outcome::Failed { reason },
                    Err(Stop::Interrupted) => return Ok(Ended::Interrupted),
                    Err(Stop::Journal(error)) => return Err(error),
                };
                self.end_round(place, outcome)?;
            }
        }
        Ok(Ended::Complete)
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

    /// One round of one job, in a process of its own.
    fn round(&mut self, planned: &PlannedJob, place: &Place) -> Result<(), Stop> {
        let limit = SHORTEST_LIMIT.max(Duration::from_secs_f64(planned.round_s * LIMIT_FACTOR));
        self.reference(planned, limit)?;
        self.cold_start(planned, place, limit)?;
        let mut worker = self.start_measured(planned, place, limit)?;
        let answer = self.answer(&mut worker, planned, limit)?;
        self.compare(planned, &answer)?;
        if planned.job.layer.is_some() {
            self.layer_windows(&mut worker, planned, place, limit)?;
            return self.yardsticks(&mut worker, place, limit);
        }
        let window_ns = nanoseconds(self.plan.window_s);
        let job = &planned.job;
        let prompts = tokens(planned, job.prefill_tokens, 1);
        let answers = job.decode_tokens * job.batch;

        self.idle(place)?;
        self.warm_up(&mut worker, planned, place, limit)?;
        let request = Request::Prefill {
            prompts: prompts.clone(),
            least_ns: window_ns,
        };
        let prefill = self.window(&mut worker, &request, limit)?;
        self.record(
            place,
            Phase::Prefill,
            job.prefill_tokens * job.batch,
            prefill,
        )?;
        let request = Request::PrepareDecode {
            prompts: prompts.clone(),
        };
        expect_done(worker.ask(&request, limit)?)?;
        let request = Request::Decode {
            tokens: job.decode_tokens,
            least_ns: window_ns,
        };
        let decode = self.window(&mut worker, &request, limit)?;
        self.record(place, Phase::Decode, answers, decode)?;
        if self.plan.requests {
            let request = Request::Whole {
                prompts,
                tokens: job.decode_tokens,
                least_ns: window_ns,
            };
            let whole = self.window(&mut worker, &request, limit)?;
            self.record(place, Phase::Request, answers, whole)?;
        }
        self.idle(place)?;
        self.yardsticks(&mut worker, place, limit)
    }

    /// What the figures of the round are held against, and the memory of the worker.
    fn yardsticks(
        &mut self,
        worker: &mut Process,
        place: &Place,
        limit: Duration,
    ) -> Result<(), Stop> {
        let window_ns = nanoseconds(self.plan.window_s);
        // The yardstick of this round: bandwidth of these machines comes and goes by the minute.
        let request = Request::ReadBandwidth {
            least_ns: (window_ns / 4).max(100_000_000),
        };
        let read = self.window(worker, &request, limit)?;
        self.record(place, Phase::ReadBandwidth, 0, read)?;
        let request = Request::ComputePeak {
            least_ns: (window_ns / 4).max(100_000_000),
        };
        match self.try_window(worker, &request, limit) {
            Ok(reply) => self.record(place, Phase::ComputePeak, 0, reply?)?,
            // No yardstick is no fault of the job; what rests on it is missing from the report.
            Err(WorkerError::Refused(_)) => {}
            Err(error) => return Err(error.into()),
        }

        let allocated_peak_bytes = match worker.ask(&Request::Allocated, limit) {
            Ok(Reply::Allocated { peak_bytes }) => Some(peak_bytes),
            Ok(other) => return Err(senseless(&other)),
            // An engine that does not know is measured all the same.
            Err(WorkerError::Refused(_)) => None,
            Err(error) => return Err(error.into()),
        };
        let now = memory::of_process(worker.id());
        self.journal.append(&Record::Memory(Memory {
            place: place.clone(),
            peak_bytes: now.peak_bytes,
            anonymous_bytes: now.anonymous_bytes,
            file_bytes: now.file_bytes,
            allocated_peak_bytes,
        }))?;
        Ok(())
    }

    /// Starts a worker that is to be measured, and records what it loaded.
    fn start_measured(
        &mut self,
        planned: &PlannedJob,
        place: &Place,
        limit: Duration,
    ) -> Result<Process, Stop> {
        let threads = planned.job.threads;
        let placement = topology::place(&self.plan.cores, threads);
        let cpus = placement.as_ref().map_or(&[][..], |p| &p.workers);
        let job = &planned.job;
        let what = What {
            kernel: &job.kernel,
            head: &job.head,
            portable_head: false,
            threads,
            cpus,
        };
        let (worker, loaded) = self.start_worker(planned, &what, limit)?;
        let others = placement.map_or(Vec::new(), |placement| placement.harness);
        let harness_cpus = self.places.keep_to(others);
        self.journal.append(&Record::Loaded(Loaded {
            place: place.clone(),
            duration_ns: loaded.duration_ns,
            parameters: loaded.parameters,
            linear_weights: loaded.linear_weights,
            linear_bytes: loaded.linear_bytes,
            weights_bytes: loaded.weights_bytes,
            weights_bytes_per_token: loaded.weights_bytes_per_token,
            kv_bytes_per_position: loaded.kv_bytes_per_position,
            head_bytes_per_token: Some(loaded.head_bytes_per_token),
            head_kernel: loaded.head_kernel,
            shape: loaded.shape,
            cpus: loaded.cpus,
            harness_cpus,
        }))?;
        Ok(worker)
    }

    /// Starts a worker and has it load its weights.
    fn start_worker(
        &mut self,
        planned: &PlannedJob,
        what: &What<'_>,
        limit: Duration,
    ) -> Result<(Process, LoadedReply), Stop> {
        // A worker inherits the CPUs of the harness, and needs all of them to load.
        self.places.spread();
        let mut worker = Process::start(&self.command)?;
        let (name, version) = worker.engine();
        if (name, version) != (&*planned.job.engine.name, &*planned.job.engine.version) {
            return Err(Stop::Failed(format!(
                "the worker is {name} {version}, not the engine of the plan"
            )));
        }
        // Before it starts its threads.
        self.watch.attach(worker.id());
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
