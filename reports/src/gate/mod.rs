//! What a gate makes of its runs: whether a new build of the engine costs more than the one before.
//!
//! Both builds are measured in the same rounds, next to each other in time, in a process of their own each, so a drift of the
//! machine falls on both ([`crate::design`]). A **screening** run in few rounds clears the cells that are beyond doubt. What is
//! left is measured again in a **confirming** run, of which alone the test is made: what looked slow by chance has no second
//! chance to look slow. A cell is a regression when the exact sign-flip test rejects after Holm's correction over the cells of the
//! confirming run, and the estimate is at least the limit; it is fine when the interval ends below the limit; anything else is
//! inconclusive. A job of the base build that is measured twice says whether the run can be trusted.

mod baseline;
mod evidence;
mod figures;
pub mod render;

pub use baseline::{WIDER, against_baseline};
pub use evidence::{ALPHA, Decision, Evidence, alpha_of_look, fewest_rounds};
pub use figures::{FIGURES, GateFigure, figure};

use crate::judge::{Judged, Pairs, judge};
use crate::record::{
    Build, BuildInfo, GateInfo, GatePolicy, Job, Phase, Precision, Record, Records, Stage,
};
use crate::report::{Report, count};
use crate::stats::{Interval, holm, median};
use crate::summary::{Status, Summary, summarise};
use std::collections::BTreeSet;

/// A gate and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Gate {
    /// Suite that was gated.
    pub suite: String,
    /// When the first run started.
    pub started_at: String,
    /// Both builds.
    pub builds: Vec<BuildInfo>,
    /// What a regression was.
    pub policy: GatePolicy,
    /// The cells, in the order of the suite.
    pub cells: Vec<GateCell>,
    /// What the A/A controls showed, run after run.
    pub controls: Vec<GateControl>,
    /// What is not gated, and why.
    pub left_out: Vec<String>,
    /// What a reader must know of the runs.
    pub notes: Vec<String>,
    /// What came out.
    pub outcome: Outcome,
    /// Why, in words; never empty.
    pub reasons: Vec<String>,
}

impl Gate {
    /// A gate whose builds gave wrong answers before anything was timed: the id of each job and what is wrong with it.
    pub fn incorrect(
        suite: &str,
        started_at: &str,
        info: &GateInfo,
        wrong: &[(String, String)],
    ) -> Gate {
        let cell = |(job, reason): &(String, String)| GateCell {
            reason: Some(reason.clone()),
            ..GateCell::without_figure(job, Stage::Screen, Verdict::Incorrect)
        };
        let mut reasons: Vec<String> = vec!["nothing was timed".to_owned()];
        reasons.extend(wrong.iter().map(|(job, reason)| format!("{job}: {reason}")));
        Gate {
            suite: suite.to_owned(),
            started_at: started_at.to_owned(),
            builds: info.builds.clone(),
            policy: info.policy.clone(),
            cells: wrong.iter().map(cell).collect(),
            controls: Vec::new(),
            left_out: Vec::new(),
            notes: Vec::new(),
            outcome: Outcome::Incorrect,
            reasons,
        }
    }
}

impl GateCell {
    /// A cell about the answer of a job, not one of its figures.
    fn without_figure(job: &str, stage: Stage, verdict: Verdict) -> GateCell {
        GateCell {
            job: job.to_owned(),
            figure: "answer",
            unit: "",
            more_is_better: true,
            medians: None,
            ratio: None,
            p: None,
            limit_percent: 0.0,
            limit_is_noise: false,
            stage,
            verdict,
            reason: None,
        }
    }
}

/// What a gate comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// No cell costs more by as much as the limit.
    Ok,
    /// A cell does, certainly.
    Regressed,
    /// The rounds do not tell.
    Inconclusive,
    /// The base build differs from itself: the machine was too restless to tell anything.
    Contaminated,
    /// The builds compute different things.
    Incorrect,
}

impl Outcome {
    /// As it is printed and stored.
    pub fn word(self) -> &'static str {
        match self {
            Outcome::Ok => "OK",
            Outcome::Regressed => "REGRESSED",
            Outcome::Inconclusive => "INCONCLUSIVE",
            Outcome::Contaminated => "CONTAMINATED",
            Outcome::Incorrect => "INCORRECT",
        }
    }
}

/// One figure of one job, of both builds.
#[derive(Debug, Clone, PartialEq)]
pub struct GateCell {
    /// Id of the job without its build, such as `2B4T/i2s-avx2/2`.
    pub job: String,
    /// Name of the figure.
    pub figure: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// Whether more of it is better.
    pub more_is_better: bool,
    /// Medians of the base build and of the new one, in that unit; nothing where there are none.
    pub medians: Option<(f64, f64)>,
    /// The new build over the base, with its interval, and the rounds it rests on; nothing where there are none.
    pub ratio: Option<(f64, Option<Interval>, usize)>,
    /// Probability of a cost as high where nothing differs, after Holm's correction; nothing where no test was made, for the
    /// screening run cleared the cell or nothing varies.
    pub p: Option<f64>,
    /// By how many percent the new build may cost more.
    pub limit_percent: f64,
    /// Whether that is the noise of the host, which is above what the policy says.
    pub limit_is_noise: bool,
    /// The run that decided.
    pub stage: Stage,
    /// What was decided.
    pub verdict: Verdict,
    /// Why, where it is not plain.
    pub reason: Option<String>,
}

/// What is decided on a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It does not cost more by as much as the limit.
    Ok,
    /// The same, and it costs less by as much.
    Improved,
    /// It costs more by the limit or more.
    Regressed,
    /// The rounds do not tell.
    Inconclusive,
    /// The new build computes something else, or nothing.
    Incorrect,
}

impl Verdict {
    /// As it is printed and stored.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Ok => "ok",
            Verdict::Improved => "improved",
            Verdict::Regressed => "REGRESSED",
            Verdict::Inconclusive => "inconclusive",
            Verdict::Incorrect => "INCORRECT",
        }
    }
}

/// What the A/A control of a run showed.
#[derive(Debug, Clone, PartialEq)]
pub struct GateControl {
    /// The run.
    pub stage: Stage,
    /// Id of the job that was measured twice, without its build.
    pub job: String,
    /// The second over the first, or why there is nothing.
    pub judged: Result<Vec<Judged>, String>,
}

impl GateControl {
    /// Whether the base build differs from itself.
    pub fn flagged(&self) -> bool {
        let mut judged = self.judged.iter().flatten();
        judged.any(|judged| judged.flagged)
    }
}

/// Why runs are no gate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GateError {
    /// There is no run.
    #[error("no run of a gate")]
    Nothing,
    /// A run is of no gate.
    #[error("the run of {started_at} is of no gate: it has no two builds")]
    NoGate {
        /// When it started.
        started_at: String,
    },
}

/// A run of a gate with what was derived from it.
struct Run<'a> {
    records: &'a Records,
    info: &'a GateInfo,
    summaries: Vec<Summary>,
}

impl Run<'_> {
    fn of(records: &Records) -> Result<Run<'_>, GateError> {
        let info = records.run.gate.as_ref().ok_or_else(|| GateError::NoGate {
            started_at: records.run.started_at.clone(),
        })?;
        Ok(Run {
            records,
            info,
            summaries: summarise(records),
        })
    }

    fn find(&self, name: &str, build: Build) -> Option<&Summary> {
        self.summaries.iter().find(|summary| {
            let job = &summary.job;
            job.build == Some(build) && job.control_of.is_none() && name_of(job) == name
        })
    }
}

/// Id of a job of a gate, and which build it is of.
pub fn id_of(name: &str, build: Build) -> String {
    format!("{name}@{}", build.word())
}

/// The same without its build.
pub fn name_of(job: &Job) -> &str {
    let id = job.control_of.as_ref().unwrap_or(&job.id);
    let ending = job.build.map_or("", Build::word);
    id.strip_suffix(ending)
        .and_then(|id| id.strip_suffix('@'))
        .unwrap_or(id)
}

/// A cell of a run: costs of its rounds and what is known without a test.
struct Measured {
    medians: (f64, f64),
    /// Logarithms of new over base, above 0 for worse.
    costs: Vec<f64>,
}

/// Jobs that the screening run leaves open, by their ids without builds. All of them where the run itself cannot be trusted.
///
/// # Errors
/// See [`GateError`].
pub fn open_after(screen: &Records) -> Result<Vec<String>, GateError> {
    let gate = gate(std::slice::from_ref(screen))?;
    if gate.outcome == Outcome::Incorrect {
        return Ok(Vec::new());
    }
    let mut open: Vec<String> = Vec::new();
    for cell in &gate.cells {
        let is_open = cell.verdict == Verdict::Inconclusive && cell.ratio.is_some();
        if is_open && !open.contains(&cell.job) {
            open.push(cell.job.clone());
        }
    }
    Ok(open)
}

/// Jobs that the confirming run leaves open.
///
/// # Errors
/// See [`GateError`].
pub fn open_after_confirming(
    screen: &Records,
    confirm: &Records,
) -> Result<Vec<String>, GateError> {
    let gate = gate(&[screen.clone(), confirm.clone()])?;
    let mut open: Vec<String> = Vec::new();
    for cell in &gate.cells {
        let more = cell.verdict == Verdict::Inconclusive && cell.stage == Stage::Confirm;
        if more && cell.ratio.is_some() && !open.contains(&cell.job) {
            open.push(cell.job.clone());
        }
    }
    let settled = matches!(gate.outcome, Outcome::Incorrect | Outcome::Contaminated);
    Ok(if settled { Vec::new() } else { open })
}

/// Name of the figure that does not vary.
pub const WEIGHTS: &str = "weights";

/// Judges the runs of a gate: the screening one first, then those that came after it.
///
/// # Errors
/// See [`GateError`].
pub fn gate(runs: &[Records]) -> Result<Gate, GateError> {
    let runs: Vec<Run<'_>> = runs.iter().map(Run::of).collect::<Result<_, _>>()?;
    let (screen, later) = runs.split_first().ok_or(GateError::Nothing)?;
    let policy = &screen.info.policy;
    let mut left_out = Vec::new();
    let mut cells = Vec::new();
    let mut tested = Vec::new();
    // What was measured while the base build differed from itself clears nothing.
    let flagged = controls(screen, policy).iter().any(GateControl::flagged);
    for name in names(screen) {
        let (Some(base), Some(new)) = (
            screen.find(&name, Build::Base),
            screen.find(&name, Build::New),
        ) else {
            continue;
        };
        if let Some(cell) = not_measured(&name, base, new, screen, &mut left_out) {
            cells.extend(cell);
            continue;
        }
        for figure in &FIGURES {
            let Some(first) = measured(base, new, figure) else {
                continue;
            };
            let (limit, limit_is_noise) = limit(figure, screen.info);
            let mut cell = GateCell {
                job: name.clone(),
                figure: figure.name,
                unit: figure.unit,
                more_is_better: figure.more_is_better,
                medians: None,
                ratio: None,
                p: None,
                limit_percent: limit.exp_m1() * 100.0,
                limit_is_noise,
                stage: Stage::Screen,
                verdict: Verdict::Inconclusive,
                reason: None,
            };
            if let Some(reason) = other_answer(&name, figure.phase, &runs) {
                cell.verdict = Verdict::Incorrect;
                cell.reason = Some(reason);
                cells.push(cell);
                continue;
            }
            let seed = screen.records.run.seed;
            let evidence = first
                .and_then(|first| Ok((Evidence::of(&first.costs, seed)?, first)))
                .map_err(|reason| cell.reason = Some(reason));
            if let Ok((evidence, first)) = evidence {
                show(&mut cell, &evidence, &first);
                if flagged || evidence.doubtful(limit) {
                    tested.push((cells.len(), figure, limit));
                    cell.reason = Some("the screening run leaves it open".to_owned());
                } else {
                    cell.verdict = Verdict::Ok;
                }
            }
            cells.push(cell);
        }
        cells.extend(weights(&name, base, new, policy));
    }
    confirm(
        &mut cells,
        &tested,
        later.get(..1).unwrap_or_default(),
        policy,
    );
    if later.len() > 1 {
        // What the first look decided stands, whatever the further rounds of its job say.
        let decided: Vec<GateCell> = cells.clone();
        confirm(&mut cells, &tested, later, policy);
        for (index, ..) in &tested {
            if decided[*index].verdict != Verdict::Inconclusive {
                cells[*index] = decided[*index].clone();
            }
        }
    }
    let controls: Vec<GateControl> = runs.iter().flat_map(|run| controls(run, policy)).collect();
    let (outcome, reasons) = outcome(&cells, &controls, later);
    let first = &screen.records.run;
    Ok(Gate {
        suite: first.suite.name.clone(),
        started_at: first.started_at.clone(),
        builds: screen.info.builds.clone(),
        policy: policy.clone(),
        cells,
        controls,
        left_out,
        notes: notes(&runs),
        outcome,
        reasons,
    })
}

/// Ids of the jobs of a run without their builds, in its order.
fn names(run: &Run<'_>) -> Vec<String> {
    let base = run
        .records
        .run
        .jobs
        .iter()
        .filter(|job| job.build == Some(Build::Base) && job.control_of.is_none());
    base.map(|job| name_of(job).to_owned()).collect()
}

/// What is made of a job that a build gave no figures for; nothing where both did.
fn not_measured(
    name: &str,
    base: &Summary,
    new: &Summary,
    screen: &Run<'_>,
    left_out: &mut Vec<String>,
) -> Option<Option<GateCell>> {
    let empty = |verdict, reason: String| GateCell {
        reason: Some(reason),
        ..GateCell::without_figure(name, screen.info.stage, verdict)
    };
    match (&base.status, &new.status) {
        (Status::Measured, Status::Measured) => None,
        (Status::Skipped { reason }, _) | (_, Status::Skipped { reason }) => {
            left_out.push(format!("{name}: skipped: {reason}"));
            Some(None)
        }
        (_, Status::Failed { reason, .. }) => Some(Some(empty(
            Verdict::Incorrect,
            format!("the new build failed: {reason}"),
        ))),
        (Status::Failed { reason, .. }, _) => Some(Some(empty(
            Verdict::Inconclusive,
            format!("the base build failed: {reason}"),
        ))),
        (base, new) => {
            let reason = base.reason().or(new.reason()).unwrap_or("no figures");
            Some(Some(empty(
                Verdict::Inconclusive,
                format!("not measured: {reason}"),
            )))
        }
    }
}

/// A figure of both builds; nothing where jobs of this kind have none.
fn measured(
    base: &Summary,
    new: &Summary,
    figure: &GateFigure,
) -> Option<Result<Measured, String>> {
    let pairs = (figure.pairs)(new, base)?;
    Some(pairs.and_then(|pairs| {
        let logarithms = crate::paired::logarithms(&pairs)?;
        let cost = |logarithm: &f64| match figure.more_is_better {
            true => -logarithm,
            false => *logarithm,
        };
        let middle = |number: fn(&crate::paired::Pair) -> f64| {
            let numbers: Vec<f64> = pairs.iter().map(number).collect();
            median(&numbers).map(|median| median * figure.scale)
        };
        let medians = middle(|pair| pair.other).zip(middle(|pair| pair.own));
        Ok(Measured {
            medians: medians.ok_or("no round that both builds have")?,
            costs: logarithms.iter().map(cost).collect(),
        })
    }))
}

/// The cost that fails a figure, as a logarithm, and whether that is the noise of the host.
fn limit(figure: &GateFigure, info: &GateInfo) -> (f64, bool) {
    let policy = (figure.least_percent)(&info.policy);
    let floor = info.floors.get(figure.name).map_or(0.0, |f| f.percent);
    ((policy.max(floor) / 100.0).ln_1p(), floor > policy)
}

fn show(cell: &mut GateCell, evidence: &Evidence, measured: &Measured) {
    // A cost is turned into a ratio of the figure again.
    let ratio = |cost: f64| match cell.more_is_better {
        true => (-cost).exp(),
        false => cost.exp(),
    };
    let interval = evidence.interval.map(|i| {
        let (a, b) = (ratio(i.low), ratio(i.high));
        Interval {
            low: a.min(b),
            high: a.max(b),
            level: i.level,
        }
    });
    cell.ratio = Some((ratio(evidence.estimate), interval, evidence.rounds));
    cell.medians = Some(measured.medians);
}

/// Why the tokens of the builds are not the same; nothing where they are, or where a kernel may round otherwise.
fn other_answer(name: &str, phase: Option<Phase>, runs: &[Run<'_>]) -> Option<String> {
    let phase = phase?;
    let digests = |run: &Run<'_>, build: Build| -> BTreeSet<String> {
        let id = id_of(name, build);
        let lines = run.records.lines.iter();
        let digests = lines.filter_map(|line| match line {
            Record::Sample(s) if s.phase == phase && s.place.job == id => s.digest.clone(),
            _ => None,
        });
        digests.collect()
    };
    for run in runs {
        let Some(base) = run.find(name, Build::Base) else {
            continue;
        };
        let (a, b) = (digests(run, Build::Base), digests(run, Build::New));
        let exact = base.job.precision == Precision::Ternary;
        if exact && !a.is_empty() && !b.is_empty() && a != b {
            return Some("other tokens came out".to_owned());
        }
    }
    None
}

/// Bytes of the packed weights, which every process of a build has the same of.
fn weights(name: &str, base: &Summary, new: &Summary, policy: &GatePolicy) -> Option<GateCell> {
    let bytes = |summary: &Summary| Some(summary.loaded.as_ref()?.weights_bytes as f64);
    let (a, b) = (bytes(base)?, bytes(new)?);
    let limit = policy.weights_percent / 100.0;
    let verdict = if b > a * (1.0 + limit) {
        Verdict::Regressed
    } else if b < a * (1.0 - limit) {
        Verdict::Improved
    } else {
        Verdict::Ok
    };
    Some(GateCell {
        job: name.to_owned(),
        figure: WEIGHTS,
        unit: "MB",
        more_is_better: false,
        medians: Some((a * 1e-6, b * 1e-6)),
        ratio: Some((b / a, None, new.rounds.len())),
        p: None,
        limit_percent: policy.weights_percent,
        limit_is_noise: false,
        stage: Stage::Screen,
        verdict,
        reason: None,
    })
}

/// Decides the cells that the screening run left open, by the runs after it.
fn confirm(
    cells: &mut [GateCell],
    tested: &[(usize, &'static GateFigure, f64)],
    later: &[Run<'_>],
    policy: &GatePolicy,
) {
    let Some(first) = later.first() else {
        return;
    };
    let mut found = Vec::new();
    for (index, figure, limit) in tested {
        let cell = &mut cells[*index];
        let mut costs = Vec::new();
        let mut shown = None;
        let mut stage = Stage::Confirm;
        let mut trouble = None;
        for run in later {
            let (Some(base), Some(new)) = (
                run.find(&cell.job, Build::Base),
                run.find(&cell.job, Build::New),
            ) else {
                continue;
            };
            if let Some(Some(failed)) = not_measured(&cell.job, base, new, run, &mut Vec::new()) {
                trouble = Some((failed.verdict, failed.reason));
                continue;
            }
            match measured(base, new, figure) {
                Some(Ok(more)) => {
                    costs.extend(&more.costs);
                    stage = run.info.stage;
                    shown.get_or_insert(more);
                }
                Some(Err(reason)) => trouble = Some((Verdict::Inconclusive, Some(reason))),
                None => {}
            }
        }
        if let Some((verdict, reason)) = trouble {
            (cell.verdict, cell.reason) = (verdict, reason);
            continue;
        }
        let seed = first.records.run.seed;
        if let (Some(shown), Ok(evidence)) = (shown, Evidence::of(&costs, seed)) {
            cell.stage = stage;
            show(cell, &evidence, &shown);
            found.push((*index, evidence, *limit));
        }
    }
    let alpha = alpha_of_look(policy.confirm_rounds, policy.most_rounds);
    let adjusted = |p: fn(&Evidence) -> f64| {
        let all: Vec<f64> = found.iter().map(|(_, evidence, _)| p(evidence)).collect();
        holm(&all)
    };
    let (worse, better) = (adjusted(|e| e.worse_p), adjusted(|e| e.better_p));
    for (place, (index, evidence, limit)) in found.iter().enumerate() {
        let cell = &mut cells[*index];
        let (worse_p, better_p) = (worse[place], better[place]);
        cell.p = Some(worse_p);
        cell.reason = None;
        cell.verdict = match evidence.decide(*limit, worse_p, better_p, alpha) {
            Decision::Regressed => Verdict::Regressed,
            Decision::Improved => Verdict::Improved,
            Decision::Ok => Verdict::Ok,
            Decision::Open => {
                cell.reason = Some(match evidence.rounds_needed(*limit) {
                    Some(rounds) => {
                        format!("some {rounds} rounds would tell, as noisy as these are")
                    }
                    None => "too close to the limit to be told from it".to_owned(),
                });
                Verdict::Inconclusive
            }
        };
    }
}

/// The A/A controls of a run.
fn controls(run: &Run<'_>, policy: &GatePolicy) -> Vec<GateControl> {
    let of_run = run.summaries.iter().filter(|s| s.job.control_of.is_some());
    let control = |control: &Summary| {
        let judged = match run.find(name_of(&control.job), Build::Base) {
            Some(twin) => judged(control, twin, policy, run.records.run.seed),
            None => Err("the job that it repeats is not in the record".to_owned()),
        };
        GateControl {
            stage: run.info.stage,
            job: name_of(&control.job).to_owned(),
            judged,
        }
    };
    of_run.map(control).collect()
}

fn judged(
    control: &Summary,
    twin: &Summary,
    policy: &GatePolicy,
    seed: u64,
) -> Result<Vec<Judged>, String> {
    for summary in [control, twin] {
        if let Some(reason) = summary.status.reason() {
            return Err(format!("{}: {reason}", summary.status.word()));
        }
    }
    let mut judged = Vec::new();
    for figure in FIGURES.iter().filter(|figure| figure.more_is_better) {
        let Some(pairs) = (figure.pairs)(control, twin) else {
            continue;
        };
        let pairs = Pairs {
            what: figure.name,
            pairs: pairs?,
        };
        // What the build differs from itself by must be well below what it is to be told from another build by. Each figure is
        // judged by itself: a guard may well bark too often, and in six rounds a corrected test could not bark at all.
        let effect = (figure.least_percent)(policy) / 200.0;
        judged.extend(judge(&[pairs], effect, seed)?);
    }
    Ok(judged)
}

/// What the cells and controls come to.
fn outcome(
    cells: &[GateCell],
    controls: &[GateControl],
    later: &[Run<'_>],
) -> (Outcome, Vec<String>) {
    let named = |verdict: Verdict| -> Vec<String> {
        let cells = cells.iter().filter(|cell| cell.verdict == verdict);
        cells.map(in_words).collect()
    };
    let incorrect = named(Verdict::Incorrect);
    if !incorrect.is_empty() {
        return (Outcome::Incorrect, incorrect);
    }
    // Bytes do not depend on how restless the machine is.
    let certain = |cell: &&GateCell| cell.verdict == Verdict::Regressed && cell.figure == WEIGHTS;
    let grown: Vec<String> = cells.iter().filter(certain).map(in_words).collect();
    if !grown.is_empty() {
        return (Outcome::Regressed, named(Verdict::Regressed));
    }
    // A later run is a new chance for the machine to be quiet, and alone decides what it measures.
    let last = later.last().map_or(Stage::Screen, |run| run.info.stage);
    let flagged: Vec<String> = controls
        .iter()
        .filter(|control| control.flagged() && (control.stage == last || last == Stage::Extend && control.stage == Stage::Confirm))
        .map(|control| {
            format!(
                "the base build differs from itself ({}): {}; nothing that was measured meanwhile can be trusted",
                control.job,
                render::control_figures(control)
            )
        })
        .collect();
    if !flagged.is_empty() {
        return (Outcome::Contaminated, flagged);
    }
    for (verdict, outcome) in [
        (Verdict::Regressed, Outcome::Regressed),
        (Verdict::Inconclusive, Outcome::Inconclusive),
    ] {
        let reasons = named(verdict);
        if !reasons.is_empty() {
            return (outcome, reasons);
        }
    }
    if cells.is_empty() {
        let nothing = "no job has figures of both builds".to_owned();
        return (Outcome::Inconclusive, vec![nothing]);
    }
    let limits = cells.iter().map(|cell| cell.limit_percent);
    let most = limits.fold(0.0, f64::max);
    let better = named(Verdict::Improved);
    let mut reasons = vec![format!(
        "none of {} costs more by as much as its limit (at most {most:.1} %)",
        count(cells.len(), "cell")
    )];
    reasons.extend(better);
    (Outcome::Ok, reasons)
}

/// What happened to a cell, in a line.
pub fn in_words(cell: &GateCell) -> String {
    let mut text = format!("{}, {}: ", cell.job, cell.figure);
    if let Some((ratio, interval, rounds)) = cell.ratio {
        let change = (ratio - 1.0) * 100.0;
        text.push_str(&format!("{change:+.1} %"));
        match interval {
            Some(i) => text.push_str(&format!(
                " ({:+.1} to {:+.1}, {})",
                (i.low - 1.0) * 100.0,
                (i.high - 1.0) * 100.0,
                count(rounds, "round")
            )),
            None if cell.figure == WEIGHTS => {}
            None => text.push_str(&format!(" ({})", count(rounds, "round"))),
        }
        text.push_str(&format!(
            ", {} {:.1} %",
            if cell.limit_is_noise {
                "noise of this host"
            } else {
                "limit"
            },
            cell.limit_percent
        ));
    }
    if let Some(p) = cell.p {
        text.push_str(&format!(", p {p:.4}"));
    }
    if let Some(reason) = &cell.reason {
        let separator = if cell.ratio.is_some() { "; " } else { "" };
        text.push_str(&format!("{separator}{reason}"));
    }
    text
}

fn notes(runs: &[Run<'_>]) -> Vec<String> {
    let mut notes: Vec<String> = Vec::new();
    for run in runs {
        let report = Report::new(run.records);
        let note = crate::disturbance::validity(&report.rows);
        notes.extend(note.filter(|note| !notes.contains(note)));
    }
    notes
}
