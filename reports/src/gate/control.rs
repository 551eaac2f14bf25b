//! The A/A controls: what a build differs from itself by.

use super::figures::FIGURES;
use super::run::{Run, name_of};
use super::verdict::GateControl;
use crate::judge::{Judged, Pairs, judge};
use crate::record::{Build, GatePolicy};
use crate::summary::Summary;

/// The A/A controls of a run.
pub(super) fn controls(run: &Run<'_>, policy: &GatePolicy) -> Vec<GateControl> {
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
        let Some(pairs) = figure.pairs(control, twin) else {
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
