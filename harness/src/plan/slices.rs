//! Which contenders take turns at their windows: those of a round that fit into memory together.

use super::job::too_much;
use super::{Machine, PlannedJob};
use bitbench_reports::design::compete;

/// Has contenders take turns in slices of this length. A job without one has its windows in one piece, and so have those whose
/// workers do not fit into memory together.
pub(super) fn give(slice_s: f64, jobs: &mut [PlannedJob], machine: &Machine<'_>) {
    let runs: Vec<(usize, u64)> = jobs
        .iter()
        .enumerate()
        .filter(|(_, planned)| planned.skip.is_none())
        .map(|(index, planned)| (index, planned.needed_bytes))
        .collect();
    for (index, _) in &runs {
        let group: Vec<u64> = runs
            .iter()
            .filter(|(other, _)| compete(&jobs[*index].job, &jobs[*other].job))
            .map(|(_, bytes)| *bytes)
            .collect();
        let together = group
            .iter()
            .fold(0, |sum: u64, bytes| sum.saturating_add(*bytes));
        let fits = machine
            .available_memory
            .is_none_or(|available| !too_much(together, available));
        jobs[*index].slice_s = (group.len() > 1 && fits).then_some(slice_s);
    }
}
