//! One job in one round: a fresh process from its start to its last window.

use super::windows::Work;
use super::{Cut, Runner, Stop, What, expect_done, nanoseconds, senseless, tokens};
use crate::host::topology;
use crate::memory;
use crate::plan::PlannedJob;
use crate::surroundings::Watch;
use crate::worker::{Process, Reply, Request, WorkerError};
use bitbench_reports::record::{Loaded, Memory, Phase, Place, Record};
use std::time::Duration;

/// Shortest limit for one request, and how many times its predicted round a request may take.
const SHORTEST_LIMIT: Duration = Duration::from_secs(120);
const LIMIT_FACTOR: f64 = 20.0;

/// A worker that loaded its weights and gave the right answer.
pub(super) struct Contender<'p> {
    pub(super) planned: &'p PlannedJob,
    pub(super) place: Place,
    /// Longest time of a request.
    pub(super) limit: Duration,
    pub(super) worker: Process,
    /// What else happens during its windows.
    pub(super) watch: Watch,
    /// How long it was measured so far, in slices of the window that they make up.
    pub(super) spent_ns: u64,
}

/// The limit of each request of a job.
pub(super) fn limit_of(planned: &PlannedJob) -> Duration {
    SHORTEST_LIMIT.max(Duration::from_secs_f64(planned.round_s * LIMIT_FACTOR))
}

impl Contender<'_> {
    /// The work of a window and the tokens of a repetition.
    pub(super) fn work(&self, phase: Measured, least_ns: u64) -> Work {
        let job = &self.planned.job;
        let prompts = || tokens(self.planned, job.prefill_tokens, 1);
        let answers = job.decode_tokens * job.batch;
        match phase {
            Measured::Prefill => Work {
                phase: Phase::Prefill,
                tokens: job.prefill_tokens * job.batch,
                request: Request::Prefill {
                    prompts: prompts(),
                    least_ns,
                },
            },
            Measured::Decode => Work {
                phase: Phase::Decode,
                tokens: answers,
                request: Request::Decode {
                    tokens: job.decode_tokens,
                    least_ns,
                },
            },
            Measured::Request => Work {
                phase: Phase::Request,
                tokens: answers,
                request: Request::Whole {
                    prompts: prompts(),
                    tokens: job.decode_tokens,
                    least_ns,
                },
            },
            Measured::Multiply => Work {
                phase: Phase::Multiply,
                tokens: job.batch,
                request: Request::Multiply { least_ns },
            },
        }
    }

    /// What must be done before a window, outside of it.
    pub(super) fn prepare(&mut self, phase: Measured) -> Result<(), Stop> {
        if phase != Measured::Decode {
            return Ok(());
        }
        let prompts = tokens(self.planned, self.planned.job.prefill_tokens, 1);
        expect_done(self.ask(&Request::PrepareDecode { prompts })?)
    }

    pub(super) fn ask(&mut self, request: &Request) -> Result<Reply, WorkerError> {
        self.worker.ask(request, self.limit)
    }
}

/// The phases that a job is measured in, each with a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Measured {
    Prefill,
    Decode,
    Request,
    Multiply,
}

impl Measured {
    /// The phases of a job, in their order.
    pub(super) fn of(planned: &PlannedJob, requests: bool) -> &'static [Measured] {
        match planned.job.layer {
            Some(_) => &[Measured::Multiply],
            None if requests => &[Measured::Prefill, Measured::Decode, Measured::Request],
            None => &[Measured::Prefill, Measured::Decode],
        }
    }
}

impl Runner<'_> {
    /// Starts a job: a process that loaded its weights, showed that it computes the right thing, and is warm.
    pub(super) fn begin<'p>(
        &mut self,
        planned: &'p PlannedJob,
        place: Place,
    ) -> Result<Contender<'p>, Stop> {
        let limit = limit_of(planned);
        self.reference(planned, limit)?;
        self.cold_start(planned, &place, limit)?;
        let mut contender = self.start_measured(planned, place, limit)?;
        let answer = self.answer(&mut contender.worker, planned, limit)?;
        self.compare(planned, &answer)?;
        self.idle(&mut contender)?;
        self.warm_up(&mut contender)?;
        Ok(contender)
    }

    /// What is measured after the windows that count: what the machine draws anyway, its limits, memory.
    pub(super) fn finish(&mut self, contender: &mut Contender<'_>) -> Result<(), Stop> {
        self.idle(contender)?;
        if self.plan.yardsticks {
            self.yardsticks(contender)?;
        }
        let allocated_peak_bytes = match contender.ask(&Request::Allocated) {
            Ok(Reply::Allocated { peak_bytes }) => Some(peak_bytes),
            Ok(other) => return Err(senseless(&other)),
            // An engine that does not know is measured all the same.
            Err(WorkerError::Refused(_)) => None,
            Err(error) => return Err(error.into()),
        };
        let now = memory::of_process(contender.worker.id());
        self.journal
            .append(&Record::Memory(Memory {
                place: contender.place.clone(),
                peak_bytes: now.peak_bytes,
                anonymous_bytes: now.anonymous_bytes,
                file_bytes: now.file_bytes,
                allocated_peak_bytes,
            }))
            .map_err(|error| Stop::Cut(Cut::Journal(error)))
    }

    /// The limits of the machine in this round: bandwidth of these machines comes and goes by the minute.
    fn yardsticks(&mut self, contender: &mut Contender<'_>) -> Result<(), Stop> {
        let least_ns = (nanoseconds(self.plan.window_s) / 4).max(100_000_000);
        let read = Work {
            phase: Phase::ReadBandwidth,
            tokens: 0,
            request: Request::ReadBandwidth { least_ns },
        };
        self.measure(contender, &read, None)?;
        let peak = Work {
            phase: Phase::ComputePeak,
            tokens: 0,
            request: Request::ComputePeak { least_ns },
        };
        match self.try_window(contender, &peak.request) {
            Ok(window) => self.record(contender, &peak, None, window?)?,
            // No yardstick is no fault of the job; what rests on it is missing from the report.
            Err(WorkerError::Refused(_)) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Starts a worker that is to be measured, and records what it loaded.
    fn start_measured<'p>(
        &mut self,
        planned: &'p PlannedJob,
        place: Place,
        limit: Duration,
    ) -> Result<Contender<'p>, Stop> {
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
        let mut watch = Watch::open(&self.roots);
        let attach = |worker: &Process| watch.attach(worker.id());
        let (worker, loaded) = self.start_worker(planned, &what, limit, attach)?;
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
        Ok(Contender {
            planned,
            place,
            limit,
            worker,
            watch,
            spent_ns: 0,
        })
    }
}
