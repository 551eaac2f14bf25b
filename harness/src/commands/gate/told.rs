//! What a gate prints and writes.

use super::{Allowed, Arguments};
use crate::commands::{Code, CommandError, run};
use crate::gate::Designed;
use crate::plan::Plan;
use crate::progress::{self, minutes, plain_lines, wrapped};
use anyhow::Context;
use bitbench_reports::gate::{Gate, Outcome, name_of, render};
use bitbench_reports::record::Build;
use bitbench_reports::report::count;
use std::path::Path;

/// How many jobs, how often, and how long that is predicted to take.
pub(super) fn in_short(plan: &Plan, designed: &Designed) -> String {
    let runs = plan.jobs.iter().filter(|planned| planned.skip.is_none());
    let jobs = runs.filter(|planned| planned.job.build == Some(Build::New));
    format!(
        "{} of two builds and a control; screening in {} rounds, about {}; what that leaves open again in {} to {} rounds, at most \
         {}",
        count(jobs.count(), "job"),
        designed.policy.screen_rounds,
        minutes(designed.screen_s),
        designed.policy.confirm_rounds,
        designed.policy.most_rounds,
        minutes(designed.most_s),
    )
}

/// What would be done.
pub(super) fn print_plan(plan: &Plan, designed: &Designed) {
    for planned in &plan.jobs {
        if planned.job.build == Some(Build::New) {
            let name = name_of(&planned.job);
            match &planned.skip {
                Some(reason) => say!("{name:<28} skipped: {reason}"),
                None => say!("{name}"),
            }
        }
    }
    say_wrapped(&in_short(plan, designed), run::output_width());
}

/// Writes and prints what came out.
pub(super) fn conclude(
    arguments: &Arguments,
    folder: &Path,
    judged: &Gate,
) -> Result<Code, CommandError> {
    for (name, make) in &render::FILES {
        let path = folder.join(name);
        std::fs::write(&path, make(judged))
            .with_context(|| format!("cannot write {}", path.display()))
            .map_err(CommandError::internal)?;
    }
    let width = run::output_width();
    for line in plain_lines(render::terminal(judged).trim_end()).lines() {
        say_wrapped(line, width);
    }
    let github = std::env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true");
    if arguments.annotations || github {
        progress::say(&plain_lines(render::annotations(judged).trim_end()));
    }
    let allowed = |code, allowed| match arguments.allow.contains(&allowed) {
        true => Code::Done,
        false => code,
    };
    Ok(match judged.outcome {
        Outcome::Ok => Code::Done,
        Outcome::Regressed => Code::Regressed,
        Outcome::Inconclusive => allowed(Code::Inconclusive, Allowed::Inconclusive),
        Outcome::Contaminated => allowed(Code::Contaminated, Allowed::Contaminated),
        Outcome::Incorrect => Code::Incorrect,
    })
}

/// A line, broken at spaces where it is too long; what follows is indented further.
fn say_wrapped(line: &str, width: usize) {
    if line.chars().count() <= width {
        progress::say(line);
        return;
    }
    let indent = line.len() - line.trim_start().len();
    let room = width.saturating_sub(indent + 2);
    for (number, part) in wrapped(line, room).iter().enumerate() {
        let further = if number == 0 { 0 } else { 2 };
        progress::say(&format!("{:1$}{part}", "", indent + further));
    }
}
