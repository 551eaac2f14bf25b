//! The plan of a gate: each job of another plan once with each of two builds.

use super::{Machine, Plan, PlannedJob, control, slices};
use bitbench_reports::gate::{id_of, name_of};
use bitbench_reports::record::Build;

/// Time of a round that its process spends outside the windows, at the least: two yardsticks of a tenth of a second each.
const YARDSTICKS_S: f64 = 0.2;

/// Each job of a plan, which has no control, once with the base build and once with the new one, in so many rounds; and one of those of the base build a second time, as the A/A control. Contenders take turns in slices of this
/// length where no counter is read and they fit into memory together.
pub fn two_builds(plan: &Plan, rounds: u32, slice_s: f64, machine: &Machine<'_>) -> Plan {
    let mut jobs = Vec::new();
    for planned in &plan.jobs {
        for build in [Build::Base, Build::New] {
            let mut twin = planned.clone();
            twin.job.id = id_of(&planned.job.id, build);
            twin.job.build = Some(build);
            twin.job.rounds = rounds;
            twin.round_s = (planned.round_s - YARDSTICKS_S).max(0.05);
            jobs.push(twin);
        }
    }
    let base: Vec<PlannedJob> = jobs
        .iter()
        .filter(|planned| planned.job.build == Some(Build::Base))
        .cloned()
        .collect();
    jobs.extend(control::middle(&base));
    if machine.shortest_energy_window.is_none() {
        slices::give(slice_s, &mut jobs, machine);
    }
    let mut plan = Plan {
        jobs,
        yardsticks: false,
        ..plan.clone()
    };
    predict(&mut plan);
    plan
}

/// The jobs of a gate with these names, and a control among them, in so many rounds.
pub fn among(plan: &Plan, names: &[String], rounds: u32) -> Plan {
    let mut plan = plan.clone();
    plan.jobs.retain(|planned| {
        planned.job.control_of.is_none() && names.iter().any(|name| name == name_of(&planned.job))
    });
    let base: Vec<PlannedJob> = plan
        .jobs
        .iter()
        .filter(|planned| planned.job.build == Some(Build::Base))
        .cloned()
        .collect();
    plan.jobs.extend(control::middle(&base));
    for planned in &mut plan.jobs {
        planned.job.rounds = rounds;
    }
    predict(&mut plan);
    plan
}

fn predict(plan: &mut Plan) {
    let runs = plan.jobs.iter().filter(|planned| planned.skip.is_none());
    plan.predicted_s = runs
        .map(|planned| planned.round_s * f64::from(planned.job.rounds))
        .sum();
}
