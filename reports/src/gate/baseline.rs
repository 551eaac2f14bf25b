//! A gate against a run that was stored: where the build of before is not at hand.
//!
//! The two were not measured at the same time, so nothing is paired: whatever changed on the host meanwhile is in every ratio. The
//! host must be the same, limits are [`WIDER`] times those of the policy, and the limits of the machine that each process measured
//! say whether it stood still ([`crate::versus`]).

use super::{Gate, GateCell, Outcome, Verdict, figure, in_words};
use crate::record::{Build, BuildInfo, GatePolicy, Records, Stage};
use crate::versus::{self, Versus};

/// How much wider limits are than those of builds that are measured together.
pub const WIDER: f64 = 2.0;

/// Judges what came of holding a new run against a stored one.
pub fn against_baseline(
    versus: &Versus,
    policy: &GatePolicy,
    old: &Records,
    new: &Records,
) -> Gate {
    let cells: Vec<GateCell> = versus.cells.iter().map(|cell| of(cell, policy)).collect();
    let named = |verdict: Verdict| -> Vec<String> {
        let cells = cells.iter().filter(|cell| cell.verdict == verdict);
        cells.map(in_words).collect()
    };
    let moved = |cell: &&versus::Cell| cell.verdict == versus::Verdict::MachineChanged;
    let moved: Vec<String> = versus
        .cells
        .iter()
        .filter(moved)
        .map(|cell| {
            format!(
                "{}, {}: the machine itself changed",
                cell.job, cell.kind.name
            )
        })
        .collect();
    let (outcome, reasons) = [
        (Outcome::Incorrect, named(Verdict::Incorrect)),
        (Outcome::Regressed, named(Verdict::Regressed)),
        (Outcome::Contaminated, moved),
        (Outcome::Inconclusive, named(Verdict::Inconclusive)),
    ]
    .into_iter()
    .find(|(_, reasons)| !reasons.is_empty())
    .unwrap_or_else(|| {
        let reason = "no cell costs more than the stored run by as much as its limit".to_owned();
        (Outcome::Ok, vec![reason])
    });
    let build = |build: Build, records: &Records| BuildInfo {
        build,
        version: records.run.bitbench.clone(),
        path: format!("run of {}", records.run.started_at),
        hash: None,
    };
    Gate {
        suite: new.run.suite.name.clone(),
        started_at: new.run.started_at.clone(),
        builds: vec![build(Build::Base, old), build(Build::New, new)],
        policy: policy.clone(),
        cells,
        controls: Vec::new(),
        left_out: versus.left_out.clone(),
        notes: vec![format!(
            "held against a stored run, not measured beside it: limits are {WIDER} times those of the policy, and a build that is \
             measured beside the new one (--base-bin, --base-rev) tells smaller differences"
        )],
        outcome,
        reasons,
    }
}

fn of(cell: &versus::Cell, policy: &GatePolicy) -> GateCell {
    let gated = figure(cell.kind.name);
    let percent = gated.map_or(policy.decode_percent, |f| (f.least_percent)(policy)) * WIDER;
    let limit = (percent / 100.0).ln_1p();
    let more_is_better = gated.is_none_or(|figure| figure.more_is_better);
    let cost = |ratio: f64| match more_is_better {
        true => -ratio.ln(),
        false => ratio.ln(),
    };
    let highest = cell.interval.map(|i| cost(i.low).max(cost(i.high)));
    let (verdict, reason) = match cell.verdict {
        versus::Verdict::OtherAnswer => (Verdict::Incorrect, Some("other tokens came out")),
        versus::Verdict::MachineChanged => {
            (Verdict::Inconclusive, Some("the machine itself changed"))
        }
        versus::Verdict::Worse if cost(cell.ratio) >= limit => (Verdict::Regressed, None),
        versus::Verdict::Better if cost(cell.ratio) <= -limit => (Verdict::Improved, None),
        _ if highest.is_some_and(|highest| highest < limit) => (Verdict::Ok, None),
        _ => (Verdict::Inconclusive, Some("the rounds do not tell")),
    };
    GateCell {
        job: cell.job.clone(),
        figure: cell.kind.name,
        unit: cell.kind.unit,
        more_is_better,
        medians: Some((cell.old.0, cell.new.0)),
        ratio: Some((cell.ratio, cell.interval, cell.old.1.min(cell.new.1))),
        p: Some(cell.p),
        limit_percent: percent,
        limit_is_noise: false,
        stage: Stage::Screen,
        verdict,
        reason: reason.map(ToOwned::to_owned),
    }
}
