//! The A/A control: a job that is measured a second time under another name.

use super::PlannedJob;
use bitbench_reports::design::compete;
use bitbench_reports::record::Precision;

/// Fewer rounds say nothing about noise.
const FEWEST_ROUNDS: u32 = 3;

/// Predicted time of all rounds of a job.
fn seconds(planned: &PlannedJob) -> f64 {
    planned.round_s * f64::from(planned.job.rounds)
}

/// The control of these jobs: the baseline of a group that has something to compare, or its first job. Of several groups, that
/// whose job takes longest among those that take no more than a job does on average, so that the control costs the run at most
/// one over the number of its jobs, and is as noisy as the others.
pub(super) fn control(jobs: &[PlannedJob]) -> Option<PlannedJob> {
    let runs: Vec<&PlannedJob> = jobs.iter().filter(|j| j.skip.is_none()).collect();
    let mean = runs.iter().map(|j| seconds(j)).sum::<f64>() / runs.len().max(1) as f64;
    let mut twins: Vec<&PlannedJob> = Vec::new();
    for planned in &runs {
        let group: Vec<&PlannedJob> = runs
            .iter()
            .copied()
            .filter(|other| compete(&planned.job, &other.job))
            .collect();
        let half = group.iter().find(|j| j.job.precision == Precision::Half);
        let twin = half.or(group.first()).copied()?;
        let known = twins.iter().any(|t| t.job.id == twin.job.id);
        if group.len() > 1 && twin.job.rounds >= FEWEST_ROUNDS && !known {
            twins.push(twin);
        }
    }
    twins.sort_by(|a, b| seconds(a).total_cmp(&seconds(b)));
    let affordable = twins.iter().rev().find(|twin| seconds(twin) <= mean);
    let twin = affordable.or(twins.first())?;
    Some(again(twin))
}

/// A control of the job that takes longest among those that take no more than one does on average.
pub(super) fn middle(jobs: &[PlannedJob]) -> Option<PlannedJob> {
    let mut runs: Vec<&PlannedJob> = jobs.iter().filter(|j| j.skip.is_none()).collect();
    let mean = runs.iter().map(|j| seconds(j)).sum::<f64>() / runs.len().max(1) as f64;
    runs.sort_by(|a, b| seconds(a).total_cmp(&seconds(b)));
    let affordable = runs.iter().rev().find(|job| seconds(job) <= mean);
    affordable.or(runs.first()).map(|twin| again(twin))
}

/// A control of the first job that runs, whatever there is to compare.
pub(super) fn forced(jobs: &[PlannedJob], slowed_percent: Option<f64>) -> Option<PlannedJob> {
    let mut control = again(jobs.iter().find(|j| j.skip.is_none())?);
    control.job.injected_percent = slowed_percent;
    Some(control)
}

fn again(twin: &PlannedJob) -> PlannedJob {
    let mut control = twin.clone();
    control.job.control_of = Some(twin.job.id.clone());
    control.job.id.push_str("/control");
    control
}
