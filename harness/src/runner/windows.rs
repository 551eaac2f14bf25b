//! Measuring windows: what a worker is asked between two readings of the counters, and what is stored of it.

use super::contender::Contender;
use super::{Cut, Runner, Stop};
use crate::interrupt;
use crate::worker::{Reply, Request, WindowReply, WorkerError};
use bitbench_reports::record::{
    CounterReadings, Energy, Phase, Place, Record, Sample, Surroundings,
};
use std::time::{Duration, Instant};

/// Worker threads spin for half a millisecond after their last region; an idle window starts when they have parked.
const PARK: Duration = Duration::from_millis(20);

/// What a window gave: the worker's reply, the energy, when it began in nanoseconds after the start of this process, and what
/// else happened.
pub(super) type Window = (WindowReply, Energy, u64, Around);

/// What was seen of the system around a window, and of the worker's event counters.
type Around = (Surroundings, Option<CounterReadings>);

/// What a worker is asked in a window, and what that measures.
pub(super) struct Work {
    pub(super) phase: Phase,
    /// Tokens of a repetition, those of all sequences together.
    pub(super) tokens: u32,
    pub(super) request: Request,
}

impl Runner<'_> {
    /// One request between two readings of the counters; a worker that refuses has failed.
    pub(super) fn window(
        &mut self,
        contender: &mut Contender<'_>,
        request: &Request,
    ) -> Result<Window, Stop> {
        self.try_window(contender, request)?
    }

    /// The same, with what the worker said in the place of a failure of the job.
    pub(super) fn try_window(
        &mut self,
        contender: &mut Contender<'_>,
        request: &Request,
    ) -> Result<Result<Window, Stop>, WorkerError> {
        let at_ns = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let look = contender.watch.look();
        let window = self.meter.begin();
        let reply = contender.ask(request);
        let energy = self.meter.end(window);
        let around = contender.watch.since(&look);
        Ok(match reply? {
            Reply::Window(reply) => Ok((reply, energy, at_ns, around)),
            other => Err(Stop::Failed(format!(
                "the worker did not say what it measured: {other:?}"
            ))),
        })
    }

    /// Measures a window, or a slice of one, and stores it. Gives how long its repetitions took together.
    pub(super) fn measure(
        &mut self,
        contender: &mut Contender<'_>,
        work: &Work,
        slice: Option<u32>,
    ) -> Result<u64, Stop> {
        let window = self.window(contender, &work.request)?;
        let durations = window.0.durations_ns.iter();
        let spent_ns = durations.fold(0, |sum: u64, ns| sum.saturating_add(*ns));
        self.record(contender, work, slice, window)?;
        Ok(spent_ns)
    }

    /// Stores a window.
    pub(super) fn record(
        &mut self,
        contender: &Contender<'_>,
        work: &Work,
        slice: Option<u32>,
        window: Window,
    ) -> Result<(), Stop> {
        let mut sample = sample(&contender.place, work.phase, work.tokens, window)?;
        sample.slice = slice;
        self.journal.append(&Record::Sample(Box::new(sample)))?;
        Ok(())
    }

    /// The worker is up and does nothing: what the machine draws anyway. Only where counters are read.
    pub(super) fn idle(&mut self, contender: &mut Contender<'_>) -> Result<(), Stop> {
        if self.plan.idle_s <= 0.0 {
            return Ok(());
        }
        std::thread::sleep(PARK);
        let at_ns = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let look = contender.watch.look();
        let window = self.meter.begin();
        let begin = Instant::now();
        let length = Duration::from_secs_f64(self.plan.idle_s);
        while begin.elapsed() < length && !interrupt::requested() {
            std::thread::sleep(
                (length - begin.elapsed().min(length)).min(Duration::from_millis(100)),
            );
        }
        let duration_ns = u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let energy = self.meter.end(window);
        let around = contender.watch.since(&look);
        if interrupt::requested() {
            return Err(Stop::Cut(Cut::Interrupted));
        }
        let reply = WindowReply {
            durations_ns: vec![duration_ns],
            ..WindowReply::default()
        };
        let sample = sample(
            &contender.place,
            Phase::Idle,
            0,
            (reply, energy, at_ns, around),
        )?;
        self.journal.append(&Record::Sample(Box::new(sample)))?;
        Ok(())
    }
}

/// What is stored of a window.
pub(super) fn sample(
    place: &Place,
    phase: Phase,
    tokens: u32,
    (reply, energy, at_ns, (surroundings, counters)): Window,
) -> Result<Sample, Stop> {
    if reply.durations_ns.is_empty() || reply.durations_ns.contains(&0) {
        return Err(Stop::Failed("the worker measured nothing".to_owned()));
    }
    Ok(Sample {
        place: place.clone(),
        phase,
        slice: None,
        at_ns,
        tokens,
        matrices: reply.matrices,
        bytes: reply.bytes,
        operations: reply.operations,
        peak: reply.peak,
        rescored_bytes: reply.rescored_bytes,
        durations_ns: reply.durations_ns,
        token_durations_ns: reply.token_durations_ns,
        digest: reply.digest,
        energy,
        surroundings: Some(surroundings),
        counters,
    })
}
