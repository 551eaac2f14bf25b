//! A gate, its cells and what they come to.

use super::evidence::Evidence;
use super::run::Measured;
use crate::judge::Judged;
use crate::record::{BuildInfo, GateInfo, GatePolicy, Stage};
use crate::stats::Interval;

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

impl GateCell {
    /// A cell about the answer of a job, not one of its figures.
    pub(super) fn without_figure(job: &str, stage: Stage, verdict: Verdict) -> GateCell {
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

    /// Fills in what rounds say.
    pub(super) fn show(&mut self, evidence: &Evidence, measured: &Measured) {
        // A cost is turned into a ratio of the figure again.
        let ratio = |cost: f64| match self.more_is_better {
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
        self.ratio = Some((ratio(evidence.estimate), interval, evidence.rounds));
        self.medians = Some(measured.medians);
    }
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
