//! When a run has measured enough: its plan, its time, or the precision it was asked for.

use super::Runner;
use crate::journal::JournalError;
use bitbench_reports::design::{ROUNDS_OF_BLOCK, compete};
use bitbench_reports::precision::{Precision, precisions};
use bitbench_reports::record::{Budget, Job, Records, StoppedBy};
use bitbench_reports::report::Report;
use std::time::{Duration, Instant};

/// Most rounds of a job, however much time there is.
const MOST_ROUNDS: u32 = 200;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Every job was tried.
    Complete,
    /// A budget was spent or a target met.
    Stopped(StoppedBy),
    /// The user asked to stop.
    Interrupted,
}

/// What is left to do, judged before each block.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Judgement {
    /// The jobs that are due, in the order of the plan.
    GoOn(Vec<bool>),
    /// Nothing more.
    Stop(Option<StoppedBy>),
}

/// How long blocks take.
#[derive(Debug, Default)]
pub(super) struct Pace {
    began: Option<Instant>,
    longest: Duration,
}

impl Pace {
    /// A block ends here, if one had begun, and the next one begins.
    fn mark(&mut self) {
        let now = Instant::now();
        if let Some(began) = self.began.replace(now) {
            self.longest = self.longest.max(now - began);
        }
    }
}

/// Whether jobs may have more rounds than the plan gives them: a target asks for them and a time bounds them.
pub(super) fn allows_more(budget: &Budget) -> bool {
    budget.time_s.is_some() && budget.target_precision_percent.is_some()
}

impl Runner<'_> {
    /// Judges the run before a block, of which the plan has so many.
    ///
    /// # Errors
    /// If the records so far cannot be read.
    pub(super) fn judge(
        &self,
        block: u32,
        planned_blocks: u32,
        pace: &mut Pace,
    ) -> Result<Judgement, JournalError> {
        pace.mark();
        let jobs: Vec<&Job> = self.plan.jobs.iter().map(|j| &j.job).collect();
        let mut due = vec![true; jobs.len()];
        // Without a first block there is nothing to judge.
        if block > 0 {
            if let Some(percent) = self.budget.target_precision_percent {
                let report = Report::new(&Records::read(self.journal.path())?);
                let precisions = precisions(&report);
                due = unmet(percent, &precisions, &jobs);
                if !due.contains(&true) {
                    // A run of which nothing could be measured has no precision that it could have reached.
                    let reached = !precisions.is_empty();
                    return Ok(Judgement::Stop(
                        reached.then_some(StoppedBy::TargetPrecision),
                    ));
                }
            }
            let end = self.start.elapsed() + pace.longest;
            let late = |seconds: f64| end.as_secs_f64() > seconds;
            let more = block < planned_blocks || allows_more(&self.budget);
            if more && self.budget.time_s.is_some_and(late) {
                return Ok(Judgement::Stop(Some(StoppedBy::TimeBudget)));
            }
        }
        let most = block >= MOST_ROUNDS / ROUNDS_OF_BLOCK;
        if block >= planned_blocks && (most || !allows_more(&self.budget)) {
            return Ok(Judgement::Stop(None));
        }
        Ok(Judgement::GoOn(due))
    }
}

/// The jobs that need more rounds: all contenders of a row that is not known well enough.
fn unmet(percent: f64, precisions: &[Precision], jobs: &[&Job]) -> Vec<bool> {
    let vague = |job: &&&Job| {
        let precision = precisions.iter().find(|p| p.job == job.id);
        precision.is_some_and(|p| !p.within(percent))
    };
    let vague: Vec<&Job> = jobs.iter().filter(vague).copied().collect();
    let needed = |job: &&Job| vague.iter().any(|other| compete(job, other));
    jobs.iter().map(needed).collect()
}
