//! What a gate makes of its runs: whether a new build of the engine costs more than the one before.
//!
//! Both builds are measured in the same rounds, next to each other in time, in a process of their own each, so a drift of the
//! machine falls on both ([`crate::design`]). A **screening** run in few rounds clears the cells that are beyond doubt. What is
//! left is measured again in a **confirming** run, of which alone the test is made: what looked slow by chance has no second
//! chance to look slow. A cell is a regression when the exact sign-flip test rejects after Holm's correction over the cells of the
//! confirming run, and the estimate is at least the limit; it is fine when the interval ends below the limit; anything else is
//! inconclusive. A job of the base build that is measured twice says whether the run can be trusted.

mod baseline;
mod confirm;
mod control;
mod evidence;
mod figures;
mod outcome;
pub mod render;
mod run;
mod screen;
mod verdict;

pub use baseline::{WIDER, against_baseline};
pub use evidence::{ALPHA, Decision, Evidence, alpha_of_look, fewest_rounds};
pub use figures::{FIGURES, GateFigure, WEIGHTS, figure, figures_of};
pub use outcome::in_words;
pub use run::{GateError, id_of, name_of};
pub use verdict::{Gate, GateCell, GateControl, Outcome, Verdict};

use crate::record::{Records, Stage};
use run::Run;

/// Judges the runs of a gate: the screening one first, then those that came after it.
///
/// # Errors
/// See [`GateError`].
pub fn gate(runs: &[Records]) -> Result<Gate, GateError> {
    let runs: Vec<Run<'_>> = runs.iter().map(Run::of).collect::<Result<_, _>>()?;
    let (first, later) = runs.split_first().ok_or(GateError::Nothing)?;
    let policy = &first.info.policy;
    let mut screened = screen::screen(first, &runs);
    confirm::confirm(&mut screened, later, policy);
    let controls = runs.iter().flat_map(|run| control::controls(run, policy));
    let controls: Vec<GateControl> = controls.collect();
    let (outcome, reasons) = outcome::outcome(&screened.cells, &controls, later);
    Ok(Gate {
        suite: first.records.run.suite.name.clone(),
        started_at: first.records.run.started_at.clone(),
        builds: first.info.builds.clone(),
        policy: policy.clone(),
        cells: screened.cells,
        controls,
        left_out: screened.left_out,
        notes: run::notes(&runs),
        outcome,
        reasons,
    })
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
    Ok(jobs_of(&gate, |_| true))
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
    let settled = matches!(gate.outcome, Outcome::Incorrect | Outcome::Contaminated);
    Ok(match settled {
        true => Vec::new(),
        false => jobs_of(&gate, |cell| cell.stage == Stage::Confirm),
    })
}

/// Jobs with such a cell that more rounds could decide.
fn jobs_of(gate: &Gate, such: fn(&GateCell) -> bool) -> Vec<String> {
    let mut jobs: Vec<String> = Vec::new();
    for cell in gate.cells.iter().filter(|cell| such(cell)) {
        let open = cell.verdict == Verdict::Inconclusive && cell.ratio.is_some();
        if open && !jobs.contains(&cell.job) {
            jobs.push(cell.job.clone());
        }
    }
    jobs
}
