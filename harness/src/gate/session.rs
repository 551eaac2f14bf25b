//! The runs of a gate.

use crate::journal::{Done, Journal, JournalError};
use crate::meter::Meter;
use crate::plan::{Plan, among};
use crate::progress::Progress;
use crate::runner::{Answers, Builds, Ended, Runner};
use bitbench_reports::gate::{alpha_of_look, fewest_rounds, figures_of};
use bitbench_reports::record::{
    Build, End, GateInfo, GatePolicy, ReadError, Record, Records, Run, Stage,
};
use std::path::{Path, PathBuf};

/// How many rounds a gate has, and how long it is predicted to take.
#[derive(Debug, Clone, PartialEq)]
pub struct Designed {
    /// The policy with the rounds that there is time for.
    pub policy: GatePolicy,
    /// Predicted time of the screening run, in seconds.
    pub screen_s: f64,
    /// The most that the runs after it are predicted to take: everything again, in all rounds.
    pub most_s: f64,
}

/// Designs a gate of these jobs within a time: as many confirming rounds as fit, where everything is confirmed.
///
/// # Errors
/// Why there is no design that could find anything: a test of so few rounds cannot reject.
pub fn design(plan: &Plan, policy: &GatePolicy, budget_s: Option<f64>) -> Result<Designed, String> {
    let runs = || plan.jobs.iter().filter(|planned| planned.skip.is_none());
    let cells: usize = runs()
        .filter(|planned| {
            planned.job.build == Some(Build::Base) && planned.job.control_of.is_none()
        })
        .map(|planned| figures_of(&planned.job))
        .sum();
    if cells == 0 {
        let reasons: Vec<&str> = plan.jobs.iter().filter_map(|j| j.skip.as_deref()).collect();
        let reason = reasons.first().map_or(String::new(), |r| format!(": {r}"));
        return Err(format!("no job of the suite can run here{reason}"));
    }
    let round_s: f64 = runs().map(|planned| planned.round_s).sum();
    let mut policy = policy.clone();
    let screen_s = round_s * f64::from(policy.screen_rounds);
    // A second look halves what a look may spend, which costs a round at most.
    let fewest = |policy: &GatePolicy| {
        fewest_rounds(
            cells,
            alpha_of_look(policy.confirm_rounds, policy.most_rounds),
        )
    };
    if let Some(budget_s) = budget_s {
        let needed = fewest(&policy);
        let fit = ((budget_s - screen_s) / round_s).max(0.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "capped by the policy, and not below zero"
        )]
        let fit = (fit.min(f64::from(policy.most_rounds)) as u32) & !1;
        if fit < needed {
            let least_s = screen_s + round_s * f64::from(needed);
            return Err(format!(
                "{budget_s:.0} s are too short: {cells} cells need {needed} confirming rounds for a regression to be found at all, \
                 and those and the screening take about {least_s:.0} s. Give --time-budget {:.0}s, or gate fewer jobs with --model \
                 and --kernel",
                (least_s * 1.1).ceil()
            ));
        }
        policy.most_rounds = fit;
        policy.confirm_rounds = policy.confirm_rounds.min(fit);
    }
    let needed = fewest(&policy);
    if policy.confirm_rounds < needed {
        return Err(format!(
            "{} confirming rounds cannot find a regression in any of {cells} cells, however large it is: `confirm_rounds` must be \
             {needed} or more",
            policy.confirm_rounds
        ));
    }
    Ok(Designed {
        most_s: round_s * f64::from(policy.most_rounds),
        policy,
        screen_s,
    })
}

/// What the runs of a gate share.
pub struct Session<'a> {
    /// Folder of the gate.
    pub folder: &'a Path,
    /// All jobs, of both builds.
    pub plan: &'a Plan,
    /// The workers.
    pub builds: Builds,
    /// What is stored of the gate.
    pub info: GateInfo,
    /// First line of a record, but for stage, jobs and seed.
    pub header: Run,
    /// The energy counters.
    pub meter: &'a mut Meter,
    /// Folder for logits.
    pub scratch: PathBuf,
}

impl Session<'_> {
    /// Asks both builds for their answers before anything is timed.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub fn answers(&mut self) -> Result<Answers, SessionError> {
        let folder = self.folder.join("answers");
        let run = self.run_of(Stage::Screen, self.plan, 0);
        let mut journal = Journal::create(&folder, run)?;
        let mut progress = Progress::new(0, 0.0);
        let mut runner = self.runner(self.plan, &mut journal, 0, &mut progress);
        let answers = runner.answers();
        drop(runner);
        drop(journal);
        // It holds nothing but its first line.
        let _ = std::fs::remove_dir_all(&folder);
        Ok(answers?)
    }

    /// Makes the run of a stage of the jobs with these names, or all of them, in so many rounds. Nothing where it was
    /// interrupted.
    ///
    /// # Errors
    /// See [`SessionError`].
    pub fn stage(
        &mut self,
        stage: Stage,
        names: Option<&[String]>,
        rounds: u32,
    ) -> Result<Option<Records>, SessionError> {
        let few = names.map(|names| among(self.plan, names, rounds));
        let plan = few.as_ref().unwrap_or(self.plan);
        // A run of its own has an order of its own.
        let seed = self.header.seed.wrapping_add(stage as u64);
        let run = self.run_of(stage, plan, seed);
        let folder = self.folder.join(folder_of(stage));
        let mut journal = Journal::create(&folder, run)?;
        let mut progress = Progress::new(plan.rounds(), plan.predicted_s);
        let mut runner = self.runner(plan, &mut journal, seed, &mut progress);
        let ended = runner.run();
        drop(runner);
        progress.finish();
        let interrupted = ended? == Ended::Interrupted;
        let end = End {
            at: jiff::Timestamp::now().to_string(),
            interrupted,
            stopped_by: None,
        };
        journal.append(&Record::End(end))?;
        if interrupted {
            return Ok(None);
        }
        Ok(Some(Records::read(&folder)?))
    }

    fn run_of(&self, stage: Stage, plan: &Plan, seed: u64) -> Run {
        let mut run = self.header.clone();
        run.started_at = jiff::Timestamp::now().to_string();
        run.seed = seed;
        run.jobs = plan
            .jobs
            .iter()
            .map(|planned| planned.job.clone())
            .collect();
        run.gate = Some(GateInfo {
            stage,
            ..self.info.clone()
        });
        run
    }

    fn runner<'r>(
        &'r mut self,
        plan: &'r Plan,
        journal: &'r mut Journal,
        seed: u64,
        progress: &'r mut Progress,
    ) -> Runner<'r> {
        let mut runner = Runner::new(
            plan,
            journal,
            Done::default(),
            self.meter,
            self.builds.base.clone(),
            seed,
            self.scratch.clone(),
            progress,
        );
        runner.builds = Some(self.builds.clone());
        runner
    }
}

/// Folder of a stage inside that of its gate.
pub fn folder_of(stage: Stage) -> &'static str {
    match stage {
        Stage::Screen => "screen",
        Stage::Confirm => "confirm",
        Stage::Extend => "extend",
    }
}

/// Why a run of a gate could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// Its record cannot be written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Its record cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}
