//! Samples into figures: one summary for each job of the plan, in its order.

use crate::disturbance;
use crate::record::{
    EnergySourceInfo, Job, JobOutcome, Loaded, Outcome, Phase, Provenance, Record, Records, Sample,
    StoppedBy,
};
use crate::round::{EnergyBasis, IDLE_TOLERANCE, PhaseEnergy, Reading, Round, RoundLines};
use crate::stats;
use std::collections::{BTreeMap, BTreeSet};

/// Net energy is pointed out when idle power is more than this share of the power of the window.
const IDLE_SHARE_WORTH_A_NOTE: f64 = 0.6;

/// A figure over rounds, each of which counts as one number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figure {
    /// The median over rounds.
    pub median: f64,
    /// Median absolute deviation times 1.4826; nothing for a single round, which has no spread.
    pub mad: Option<f64>,
    /// The smallest round.
    pub min: f64,
    /// The largest round.
    pub max: f64,
    /// How many rounds.
    pub n: usize,
}

impl Figure {
    /// The figure of these numbers, one for each round; nothing for an empty slice.
    pub fn of(rounds: &[f64]) -> Option<Figure> {
        Some(Figure {
            median: stats::median(rounds)?,
            mad: if rounds.len() > 1 {
                stats::mad(rounds)
            } else {
                None
            },
            min: stats::min(rounds)?,
            max: stats::max(rounds)?,
            n: rounds.len(),
        })
    }
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// It gave figures.
    Measured,
    /// It was not tried.
    Skipped {
        /// Why.
        reason: String,
    },
    /// It was tried and gives no figures, not even of the rounds that had finished before.
    Failed {
        /// What happened.
        reason: String,
        /// Rounds that had finished; their samples stay in the record.
        finished_rounds: usize,
    },
    /// The run ended before it.
    NotRun {
        /// Why.
        reason: String,
    },
}

impl Status {
    /// The word for it: `measured`, `skipped`, `failed` or `not run`.
    pub fn word(&self) -> &'static str {
        match self {
            Status::Measured => "measured",
            Status::Skipped { .. } => "skipped",
            Status::Failed { .. } => "failed",
            Status::NotRun { .. } => "not run",
        }
    }

    /// Why there are no figures; nothing for a measured job.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Status::Measured => None,
            Status::Skipped { reason }
            | Status::Failed { reason, .. }
            | Status::NotRun { reason } => Some(reason),
        }
    }
}

/// One job and what its samples say.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// The job.
    pub job: Job,
    /// How it ended.
    pub status: Status,
    /// Rounds with a stored end, of those planned.
    pub finished_rounds: usize,
    /// The rounds that have samples, in order; none unless the job was measured.
    pub rounds: Vec<Round>,
    /// What the worker said of its weights; none unless the job was measured.
    pub loaded: Option<Loaded>,
    /// What the energy figures rest on, where there are any.
    pub energy_basis: Option<EnergyBasis>,
    /// Whether energy was read from counters other than the machine's own: a test, never a result.
    pub simulated: bool,
    /// What a reader must know about the figures.
    pub notes: Vec<String>,
}

impl Summary {
    /// The figure over all rounds of one number of a round.
    ///
    /// # Errors
    /// Why there is none: the job gave no figures, no round finished that window, or the window of one round gives no
    /// number. A figure over the remaining rounds is never given in its place.
    pub fn figure(&self, reading: fn(&Round) -> &Reading) -> Result<Figure, String> {
        if let Some(reason) = self.status.reason() {
            return Err(format!("{}: {reason}", self.status.word()));
        }
        let mut numbers = Vec::new();
        for round in &self.rounds {
            match reading(round) {
                None => {}
                Some(Ok(number)) => numbers.push(*number),
                Some(Err(reason)) => return Err(reason.clone()),
            }
        }
        Figure::of(&numbers).ok_or_else(|| "not measured".to_owned())
    }

    /// Whether the job was measured.
    pub fn measured(&self) -> bool {
        self.status == Status::Measured
    }
}

/// How the run as a whole ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The plan was done.
    Complete,
    /// A budget was spent or a target met.
    Stopped(StoppedBy),
    /// It was interrupted (Ctrl-C).
    Interrupted,
    /// There is no end: it was killed, or still goes on.
    Missing,
}

impl Ending {
    /// How the newest process of these records ended.
    pub fn of(records: &Records) -> Ending {
        let last = records.lines.iter().rev().find_map(|line| match line {
            Record::End(end) if end.interrupted => Some(Ending::Interrupted),
            Record::End(end) => Some(end.stopped_by.map_or(Ending::Complete, Ending::Stopped)),
            Record::Resumed(_) => Some(Ending::Missing),
            _ => None,
        });
        last.unwrap_or(Ending::Missing)
    }
}

/// The lines of one job.
#[derive(Default)]
struct JobLines<'a> {
    rounds: BTreeMap<u32, RoundLines<'a>>,
    outcomes: Vec<&'a JobOutcome>,
}

/// Summarises every job of the plan, in its order. Lines of jobs that the plan does not have are left out.
pub fn summarise(records: &Records) -> Vec<Summary> {
    let ending = Ending::of(records);
    let lines = by_job(records);
    let simulated_source = matches!(
        &records.run.energy,
        EnergySourceInfo::Open {
            provenance: Provenance::Simulated,
            ..
        }
    );
    let empty = JobLines::default();
    let of_job = |job: &Job| {
        let lines = lines.get(job.id.as_str()).unwrap_or(&empty);
        let mut summary = summarise_job(job, lines, ending);
        summary.simulated |= simulated_source;
        summary
    };
    records.run.jobs.iter().map(of_job).collect()
}

/// The lines of each job, by its id.
fn by_job(records: &Records) -> BTreeMap<&str, JobLines<'_>> {
    let mut lines: BTreeMap<&str, JobLines<'_>> = BTreeMap::new();
    for record in &records.lines {
        match record {
            Record::Loaded(loaded) => {
                let job = lines.entry(&loaded.place.job).or_default();
                let round = job.rounds.entry(loaded.place.round).or_default();
                round.loaded.push(loaded);
            }
            Record::Sample(sample) => {
                let job = lines.entry(&sample.place.job).or_default();
                let round = job.rounds.entry(sample.place.round).or_default();
                round.samples.push(sample);
            }
            Record::Memory(memory) => {
                let job = lines.entry(&memory.place.job).or_default();
                let round = job.rounds.entry(memory.place.round).or_default();
                round.memory.push(memory);
            }
            Record::ColdStart(cold) => {
                let job = lines.entry(&cold.place.job).or_default();
                let round = job.rounds.entry(cold.place.round).or_default();
                round.cold_starts.push(cold);
            }
            Record::Outcome(outcome) => {
                let job = lines.entry(&outcome.place.job).or_default();
                job.outcomes.push(outcome);
            }
            Record::Run(_) | Record::Resumed(_) | Record::End(_) => {}
        }
    }
    lines
}

/// The windows that figures rest on.
#[derive(Debug)]
pub struct Used<'a>(Vec<&'a Sample>);

impl Used<'_> {
    /// Whether a window of the same records is among them.
    pub fn has(&self, sample: &Sample) -> bool {
        let place = |sample: &Sample| std::ptr::from_ref(sample).addr();
        self.0
            .binary_search_by_key(&place(sample), |used| place(used))
            .is_ok()
    }
}

/// The windows that the figures of measured jobs rest on: not those of failed jobs, of the warm-up, or of a process that was
/// resumed by another.
pub fn used(records: &Records) -> Used<'_> {
    let ending = Ending::of(records);
    let lines = by_job(records);
    let mut used = Vec::new();
    for job in records.run.jobs.iter() {
        let Some(lines) = lines.get(job.id.as_str()) else {
            continue;
        };
        if status(lines, ending, 0) == Status::Measured {
            used.extend(lines.rounds.values().flat_map(RoundLines::used));
        }
    }
    // Told apart by where they are in memory: equal windows are two.
    used.sort_by_key(|sample: &&Sample| std::ptr::from_ref(*sample).addr());
    Used(used)
}

fn summarise_job(job: &Job, lines: &JobLines<'_>, ending: Ending) -> Summary {
    let finished: BTreeSet<u32> = lines
        .outcomes
        .iter()
        .filter(|o| o.outcome == Outcome::Measured)
        .map(|o| o.place.round)
        .collect();
    let mut summary = Summary {
        job: job.clone(),
        status: status(lines, ending, finished.len()),
        finished_rounds: finished.len(),
        rounds: Vec::new(),
        loaded: None,
        energy_basis: None,
        simulated: false,
        notes: Vec::new(),
    };
    if !summary.measured() {
        return summary;
    }
    summary.rounds = lines
        .rounds
        .iter()
        .map(|(number, lines)| Round::of(job, *number, lines))
        .collect();
    let loaded = lines.rounds.values().flat_map(|round| &round.loaded);
    summary.loaded = loaded.max_by_key(|l| l.place.process).map(|l| (*l).clone());
    settle_energy_basis(&mut summary);
    // A budget that was spent is told of once, for the run.
    if finished.len() < job.rounds as usize && !matches!(ending, Ending::Stopped(_)) {
        summary.notes.push(format!(
            "{} of {} rounds finished; windows of unfinished rounds count where they are whole",
            finished.len(),
            job.rounds
        ));
    }
    summary.notes.extend(disturbance::notes(&summary.rounds));
    note_outliers(&mut summary);
    note_idle(&mut summary);
    note_warm_up(&mut summary);
    summary
}

fn status(lines: &JobLines<'_>, ending: Ending, finished_rounds: usize) -> Status {
    let outcomes = || lines.outcomes.iter().map(|o| &o.outcome);
    let failure = outcomes().find_map(|outcome| match outcome {
        Outcome::Failed { reason } => Some(reason.clone()),
        _ => None,
    });
    if let Some(reason) = failure.or_else(|| disagreement(lines)) {
        return Status::Failed {
            reason,
            finished_rounds,
        };
    }
    let skip = outcomes().find_map(|outcome| match outcome {
        Outcome::Skipped { reason } => Some(reason.clone()),
        _ => None,
    });
    if let Some(reason) = skip {
        return Status::Skipped { reason };
    }
    let mut samples = lines.rounds.values().flat_map(|round| &round.samples);
    if samples.any(|sample| sample.phase != Phase::Idle) {
        return Status::Measured;
    }
    let reason = match ending {
        Ending::Interrupted => "not reached: the run was interrupted",
        Ending::Missing => "not reached: the run was killed, or still goes on",
        Ending::Complete | Ending::Stopped(_) => "the run ended and stored no window of it",
    };
    Status::NotRun {
        reason: reason.to_owned(),
    }
}

/// Says so when equal work gave different tokens: such figures are of two different computations.
fn disagreement(lines: &JobLines<'_>) -> Option<String> {
    for phase in [
        Phase::Prefill,
        Phase::Decode,
        Phase::Request,
        Phase::Multiply,
    ] {
        let samples = lines.rounds.values().flat_map(|round| &round.samples);
        let digests: BTreeSet<&str> = samples
            .filter(|sample| sample.phase == phase)
            .filter_map(|sample| sample.digest.as_deref())
            .collect();
        if digests.len() > 1 {
            let list: Vec<&str> = digests.into_iter().collect();
            return Some(format!(
                "rounds disagree about the {}: {}",
                match phase {
                    Phase::Multiply => "products",
                    _ => "tokens",
                },
                list.join(" and ")
            ));
        }
    }
    None
}

/// Settles what the energy figures rest on; figures of rounds on different bases are withdrawn.
fn settle_energy_basis(summary: &mut Summary) {
    let bases: Vec<&EnergyBasis> = summary
        .rounds
        .iter()
        .flat_map(|round| {
            [
                &round.prefill_energy,
                &round.decode_energy,
                &round.request_energy,
                &round.multiply_energy,
            ]
        })
        .filter_map(|energy| energy.basis.as_ref())
        .collect();
    let simulated = bases.iter().any(|b| b.provenance == Provenance::Simulated);
    let agreed = bases.windows(2).all(|pair| pair[0] == pair[1]);
    let basis = bases.first().copied().cloned();
    summary.simulated = simulated;
    if agreed {
        summary.energy_basis = basis;
        return;
    }
    for round in &mut summary.rounds {
        let withdrawn = PhaseEnergy::without("rounds were read from different counters");
        if round.request_joules.is_some() {
            round.request_joules.clone_from(&withdrawn.joules_per_token);
            round.request_energy = withdrawn.clone();
        }
        if round.multiply_uj.is_some() {
            round.multiply_uj.clone_from(&withdrawn.joules_per_token);
            round.multiply_energy = withdrawn.clone();
        }
        round.prefill_energy = withdrawn.clone();
        round.decode_energy = withdrawn;
    }
}

/// Points out rounds far from the others. They count all the same: what made them slow can happen to any user.
fn note_outliers(summary: &mut Summary) {
    type Speed = (&'static str, fn(&Round) -> &Reading);
    let speeds: [Speed; 3] = [
        ("prefill tokens/s", |round| &round.prefill_tokens_per_second),
        ("decode tokens/s", |round| &round.decode_tokens_per_second),
        ("the time of a multiplication", |round| &round.multiply_us),
    ];
    for (figure, reading) in speeds {
        let rounds = summary.rounds.iter();
        let numbers: Vec<f64> = rounds
            .filter_map(|round| reading(round).as_ref()?.as_ref().ok().copied())
            .collect();
        let marks = stats::tukey(&numbers).unwrap_or_default();
        let outside = marks.iter().filter(|m| **m != stats::Mark::Inside).count();
        if outside > 0 {
            summary.notes.push(format!(
                "{outside} of {} rounds {} outside Tukey's fences in {figure}, and {} all the same",
                numbers.len(),
                if outside == 1 { "lies" } else { "lie" },
                if outside == 1 { "counts" } else { "count" }
            ));
        }
    }
}

/// Points out idle powers that moved within a round, and idle power that is most of the power measured.
fn note_idle(summary: &mut Summary) {
    let mut notes = Vec::new();
    for round in &summary.rounds {
        let differences = [&round.prefill_energy, &round.decode_energy];
        let difference = differences
            .iter()
            .filter_map(|energy| energy.idle_difference)
            .fold(0.0, f64::max);
        if difference > IDLE_TOLERANCE {
            notes.push(format!(
                "net energy is tainted: idle power moved by {:.0} % within round {}",
                difference * 100.0,
                round.number + 1
            ));
        }
    }
    let shares: Vec<f64> = summary
        .rounds
        .iter()
        .filter_map(
            |round| match (&round.decode_energy.watts, round.decode_energy.idle_watts) {
                (Some(Ok(watts)), Some(idle)) if *watts > 0.0 => Some(idle / watts),
                _ => None,
            },
        )
        .collect();
    if let Some(share) = stats::median(&shares)
        && share > IDLE_SHARE_WORTH_A_NOTE
    {
        notes.push(format!(
            "idle power is {:.0} % of the power while decoding: net energy is a small difference of large figures",
            share * 100.0
        ));
    }
    summary.notes.append(&mut notes);
}

/// Points out rounds whose windows began before the machine had settled.
fn note_warm_up(summary: &mut Summary) {
    let unsettled = summary.rounds.iter().filter_map(|round| {
        let warm_up = round.warm_up.as_ref().filter(|warm_up| !warm_up.flat)?;
        Some(format!("{} ({:.1} s)", round.number + 1, warm_up.seconds))
    });
    let unsettled: Vec<String> = unsettled.collect();
    if !unsettled.is_empty() {
        summary.notes.push(format!(
            "the warm-up ended at its limit, with speed or power still rising or falling, in round {}",
            unsettled.join(", ")
        ));
    }
}
