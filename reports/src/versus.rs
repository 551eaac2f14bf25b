//! Two sides of stored runs, held against each other: a new build against an old one, each measured by itself.
//!
//! Runs that were made one after the other are not paired: whatever changed on the machine meanwhile is in every ratio. So the
//! machine itself, as each process measured it (how fast memory was read and registers were multiplied), is held against itself
//! in the same way, and a difference is only called one where the machine stood still.

use crate::judge::{ALPHA, MINIMUM_EFFECT};
use crate::paired::LEVEL;
use crate::record::{Phase, Precision, Provenance, Record, Records, unlike};
use crate::round::{EnergyBasis, Reading, Round};
use crate::stats::{Interval, MOST_RANKED, holm, median, rank_sum, shift, shift_interval};
use crate::summary::{Summary, summarise};
use std::collections::{BTreeMap, BTreeSet};

/// One side: the runs of a build, and what to call it.
#[derive(Debug)]
pub struct Side {
    /// Its name, such as the folder of its first run.
    pub name: String,
    /// Its runs.
    pub runs: Vec<Records>,
}

/// Two sides and what became of the comparison.
#[derive(Debug, Clone, PartialEq)]
pub struct Versus {
    /// In what the sides differ beside what is compared: hosts, suites. Not empty only where somebody insisted.
    pub differences: Vec<String>,
    /// The cells that both sides have, in the order of the first run.
    pub cells: Vec<Cell>,
    /// Jobs that only one side has figures of, with the reason.
    pub left_out: Vec<String>,
    /// For each kind of figure the geometric mean of the ratios, and over how many cells.
    pub means: Vec<(&'static str, f64, usize)>,
}

/// One figure of one job on both sides.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// Id of the job.
    pub job: String,
    /// What it is a figure of.
    pub kind: &'static Kind,
    /// Median over the rounds of the old side, and how many there are.
    pub old: (f64, usize),
    /// The same of the new side.
    pub new: (f64, usize),
    /// The new side over the old one: the shift of Hodges and Lehmann, of the logarithms.
    pub ratio: f64,
    /// The rank-sum interval of the same, of at least [`LEVEL`]; nothing for so few rounds.
    pub interval: Option<Interval>,
    /// Probability of rounds as far apart where nothing differs, after Holm's correction over all cells.
    pub p: f64,
    /// What the machine did meanwhile: its own ratio and interval, by the yardstick that belongs to the figure.
    pub machine: Option<(f64, Option<Interval>)>,
    /// What is made of it.
    pub verdict: Verdict,
}

/// What two sides of a figure come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The new side is better, certainly and by enough to matter.
    Better,
    /// The new side is worse, certainly and by enough to matter.
    Worse,
    /// Whatever the difference is, it is too small to matter.
    Same,
    /// The rounds do not tell.
    Undecided,
    /// The machine changed as well.
    MachineChanged,
    /// The sides computed something else.
    OtherAnswer,
}

impl Verdict {
    /// As it is printed.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Better => "better",
            Verdict::Worse => "worse",
            Verdict::Same => "the same",
            Verdict::Undecided => "undecided",
            Verdict::MachineChanged => "undecided: the machine changed too",
            Verdict::OtherAnswer => "not compared: other tokens came out",
        }
    }
}

/// A kind of figure that is compared.
#[derive(Debug)]
pub struct Kind {
    /// Its name.
    pub name: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// What a number of a round is in that unit.
    scale: f64,
    /// Whether more of it is better.
    more_is_better: bool,
    reading: fn(&Round) -> &Reading,
    /// What the machine gave in the same process, where a figure follows it.
    yardstick: Option<fn(&Round) -> &Reading>,
    /// The window whose tokens must be the same.
    phase: Option<Phase>,
}

impl PartialEq for Kind {
    fn eq(&self, other: &Kind) -> bool {
        self.name == other.name
    }
}

/// Every kind, in the order of the cells of a job.
pub static KINDS: [Kind; 5] = [
    Kind {
        name: "decode",
        unit: "tok/s",
        scale: 1.0,
        more_is_better: true,
        reading: |round| &round.decode_tokens_per_second,
        yardstick: Some(|round| &round.read_bandwidth_gb_per_second),
        phase: Some(Phase::Decode),
    },
    Kind {
        name: "prefill",
        unit: "tok/s",
        scale: 1.0,
        more_is_better: true,
        reading: |round| &round.prefill_tokens_per_second,
        yardstick: Some(|round| &round.compute_peak_gop_per_second),
        phase: Some(Phase::Prefill),
    },
    Kind {
        name: "multiply",
        unit: "GOP/s",
        scale: 1.0,
        more_is_better: true,
        reading: |round| &round.multiply_gop_per_second,
        yardstick: Some(|round| &round.read_bandwidth_gb_per_second),
        phase: Some(Phase::Multiply),
    },
    Kind {
        name: "peak memory",
        unit: "MB",
        scale: 1e-6,
        more_is_better: false,
        reading: |round| &round.peak_bytes,
        yardstick: None,
        phase: None,
    },
    Kind {
        name: "decode energy",
        unit: "J/token",
        scale: 1.0,
        more_is_better: false,
        reading: |round| &round.decode_energy.joules_per_token,
        yardstick: None,
        phase: Some(Phase::Decode),
    },
];

/// Why two sides were not compared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VersusError {
    /// They are of unlike hosts, or did other work.
    #[error("these runs cannot be held against each other: {}", .0.join("; "))]
    Unlike(Vec<String>),
    /// No job has figures on both sides.
    #[error("no job has figures on both sides{}", told(.0))]
    NothingInCommon(Vec<String>),
}

fn told(reasons: &[String]) -> String {
    match reasons {
        [] => String::new(),
        reasons => format!(": {}", reasons.join("; ")),
    }
}

/// Figures of one job on one side: those of all its runs.
struct Job {
    values: BTreeMap<&'static str, Vec<f64>>,
    yardsticks: BTreeMap<&'static str, Vec<f64>>,
    digests: BTreeMap<Phase, BTreeSet<String>>,
    precision: Precision,
    /// What each run's energy figures rest on.
    bases: Vec<Option<EnergyBasis>>,
    simulated: bool,
}

/// Holds two sides against each other. With `insist`, hosts and suites that differ are told and no reason to stop.
///
/// # Errors
/// See [`VersusError`].
pub fn versus(old: &Side, new: &Side, insist: bool) -> Result<Versus, VersusError> {
    let differences = differences(old, new);
    if !differences.is_empty() && !insist {
        return Err(VersusError::Unlike(differences));
    }
    let mut left_out = Vec::new();
    let (olds, order) = jobs(old, &mut left_out);
    let (news, others) = jobs(new, &mut left_out);
    let only = others.iter().filter(|id| !olds.contains_key(*id));
    left_out.extend(only.map(|id| format!("{id}: only {} has it", new.name)));
    let mut cells = Vec::new();
    for id in order {
        let old_job = &olds[&id];
        let Some(new_job) = news.get(&id) else {
            left_out.push(format!("{id}: only {} has it", old.name));
            continue;
        };
        for kind in &KINDS {
            match cell(&id, kind, old_job, new_job) {
                Ok(Some(cell)) => cells.push(cell),
                Ok(None) => {}
                Err(reason) => left_out.push(format!("{id}, {}: {reason}", kind.name)),
            }
        }
    }
    if cells.is_empty() {
        return Err(VersusError::NothingInCommon(left_out));
    }
    let p_values: Vec<f64> = cells.iter().map(|cell: &Cell| cell.p).collect();
    for (cell, p) in cells.iter_mut().zip(holm(&p_values)) {
        cell.p = p;
        cell.verdict = verdict(cell);
    }
    let means = KINDS.iter().filter_map(|kind| {
        let of_kind = cells.iter().filter(|cell| cell.kind == kind);
        let logarithms: Vec<f64> = of_kind
            .filter(|cell| cell.verdict != Verdict::OtherAnswer)
            .map(|cell| cell.ratio.ln())
            .collect();
        let n = logarithms.len();
        (n > 0).then(|| {
            (
                kind.name,
                (logarithms.iter().sum::<f64>() / n as f64).exp(),
                n,
            )
        })
    });
    Ok(Versus {
        means: means.collect(),
        differences,
        cells,
        left_out,
    })
}

/// In what the runs differ beside the build.
fn differences(old: &Side, new: &Side) -> Vec<String> {
    let mut found = BTreeSet::new();
    let Some(first) = old.runs.first() else {
        return Vec::new();
    };
    for other in old.runs.iter().chain(&new.runs) {
        let (a, b) = (&first.run, &other.run);
        found.extend(
            unlike(&a.host, &b.host)
                .into_iter()
                .map(|d| format!("unlike hosts: {d}")),
        );
        if a.suite.name != b.suite.name {
            found.insert(format!("suites {} and {}", a.suite.name, b.suite.name));
        } else if a.suite.hash != b.suite.hash {
            found.insert(format!("suite {} was another text", a.suite.name));
        }
        if a.suite.quick != b.suite.quick {
            found.insert("one is a quick run".to_owned());
        }
    }
    found.into_iter().collect()
}

/// The jobs of a side by id, and their order.
fn jobs(side: &Side, left_out: &mut Vec<String>) -> (BTreeMap<String, Job>, Vec<String>) {
    let mut jobs: BTreeMap<String, Job> = BTreeMap::new();
    let mut order = Vec::new();
    for records in &side.runs {
        for summary in summarise(records) {
            // A control says how noisy a run was, and is no figure of a build.
            if summary.job.control_of.is_some() {
                continue;
            }
            let id = summary.job.id.clone();
            if let Some(reason) = summary.status.reason() {
                let word = summary.status.word();
                left_out.push(format!("{id}: {word} in {}: {reason}", side.name));
                continue;
            }
            if !jobs.contains_key(&id) {
                order.push(id.clone());
            }
            let job = jobs.entry(id).or_insert_with(|| Job {
                values: BTreeMap::new(),
                yardsticks: BTreeMap::new(),
                digests: BTreeMap::new(),
                precision: summary.job.precision,
                bases: Vec::new(),
                simulated: false,
            });
            job.add(&summary, records);
        }
    }
    (jobs, order)
}

impl Job {
    fn add(&mut self, summary: &Summary, records: &Records) {
        let number = |reading: &Reading| reading.as_ref()?.as_ref().ok().copied();
        for kind in &KINDS {
            let values = summary
                .rounds
                .iter()
                .filter_map(|round| number((kind.reading)(round)));
            self.values.entry(kind.name).or_default().extend(values);
            if let Some(yardstick) = kind.yardstick {
                let values = summary
                    .rounds
                    .iter()
                    .filter_map(|round| number(yardstick(round)));
                self.yardsticks.entry(kind.name).or_default().extend(values);
            }
        }
        self.bases.push(summary.energy_basis.clone());
        self.simulated |= summary.simulated;
        for line in &records.lines {
            if let Record::Sample(sample) = line
                && sample.place.job == summary.job.id
                && let Some(digest) = &sample.digest
            {
                let of_phase = self.digests.entry(sample.phase).or_default();
                of_phase.insert(digest.clone());
            }
        }
    }
}

/// A figure of both sides; nothing where neither has it.
///
/// # Errors
/// Why one of them has none, or why they are not to be compared.
fn cell(id: &str, kind: &'static Kind, old: &Job, new: &Job) -> Result<Option<Cell>, String> {
    let values = |job: &Job| job.values.get(kind.name).cloned().unwrap_or_default();
    let (a, b) = (values(old), values(new));
    match (a.is_empty(), b.is_empty()) {
        (true, true) => return Ok(None),
        (true, false) => return Err("the old side has no figure".to_owned()),
        (false, true) => return Err("the new side has no figure".to_owned()),
        (false, false) => {}
    }
    if kind.name == "decode energy" {
        if old.simulated || new.simulated || is_simulated(old) || is_simulated(new) {
            return Err("simulated energy is never compared".to_owned());
        }
        let mut bases = old.bases.iter().chain(&new.bases);
        if !bases.all(|basis| basis.is_some() && *basis == old.bases[0]) {
            return Err("energy was read from other counters".to_owned());
        }
    }
    let Some(ratio) = ratio(&a, &b) else {
        return Err(format!(
            "figures above zero of at most {MOST_RANKED} rounds can be compared"
        ));
    };
    let machine = kind.yardstick.and_then(|_| {
        let of = |job: &Job| job.yardsticks.get(kind.name).cloned().unwrap_or_default();
        ratio_with_interval(&of(old), &of(new))
    });
    let same_answer = kind.phase.is_none_or(|phase| {
        let digests = |job: &Job| job.digests.get(&phase).cloned().unwrap_or_default();
        let (a, b) = (digests(old), digests(new));
        // A half-precision kernel may round otherwise and so choose another token; a ternary one may not.
        old.precision == Precision::Half || a.is_empty() || b.is_empty() || a == b
    });
    Ok(Some(Cell {
        job: id.to_owned(),
        kind,
        old: (median(&a).unwrap_or(f64::NAN) * kind.scale, a.len()),
        new: (median(&b).unwrap_or(f64::NAN) * kind.scale, b.len()),
        ratio: ratio.0,
        interval: ratio.1,
        p: rank_sum(&logarithms(&b), &logarithms(&a)).unwrap_or(1.0),
        machine,
        verdict: if same_answer {
            Verdict::Undecided
        } else {
            Verdict::OtherAnswer
        },
    }))
}

fn is_simulated(job: &Job) -> bool {
    let bases = job.bases.iter().flatten();
    bases
        .into_iter()
        .any(|basis| basis.provenance == Provenance::Simulated)
}

fn logarithms(values: &[f64]) -> Vec<f64> {
    values.iter().map(|value| value.ln()).collect()
}

/// The second over the first, with its interval.
fn ratio(old: &[f64], new: &[f64]) -> Option<(f64, Option<Interval>)> {
    if old.iter().chain(new).any(|value| *value <= 0.0) {
        return None;
    }
    ratio_with_interval(old, new)
}

fn ratio_with_interval(old: &[f64], new: &[f64]) -> Option<(f64, Option<Interval>)> {
    let (a, b) = (logarithms(old), logarithms(new));
    let interval = shift_interval(&b, &a, LEVEL).map(|i| Interval {
        low: i.low.exp(),
        high: i.high.exp(),
        level: i.level,
    });
    Some((shift(&b, &a)?.exp(), interval))
}

/// What a cell comes to, once its probability is corrected.
fn verdict(cell: &Cell) -> Verdict {
    if cell.verdict == Verdict::OtherAnswer {
        return Verdict::OtherAnswer;
    }
    let (least, most) = (1.0 / (1.0 + MINIMUM_EFFECT), 1.0 + MINIMUM_EFFECT);
    let small = |low: f64, high: f64| least <= low && high <= most;
    if cell.interval.is_some_and(|i| small(i.low, i.high)) {
        return Verdict::Same;
    }
    if small(cell.ratio, cell.ratio) || cell.p > ALPHA {
        return Verdict::Undecided;
    }
    // Half of what is seen would do: a yardstick is no exact measure of what a kernel meets.
    let machine = cell.machine.map(|(ratio, _)| ratio.ln());
    if machine.is_some_and(|m| m * cell.ratio.ln() > 0.0 && m.abs() >= cell.ratio.ln().abs() / 2.0)
    {
        return Verdict::MachineChanged;
    }
    if (cell.ratio > 1.0) == cell.kind.more_is_better {
        Verdict::Better
    } else {
        Verdict::Worse
    }
}
