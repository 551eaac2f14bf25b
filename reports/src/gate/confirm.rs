//! The confirming run, of which alone the test is made.

use super::evidence::{Decision, Evidence, alpha_of_look};
use super::run::{Run, measured, not_measured};
use super::screen::{Screened, Tested};
use super::verdict::{GateCell, Verdict};
use crate::record::{Build, GatePolicy, Stage};
use crate::stats::holm;

/// Decides what the screening run left open: by the confirming run, and what that leaves open by that and the further rounds.
pub(super) fn confirm(screened: &mut Screened, later: &[Run<'_>], policy: &GatePolicy) {
    let Screened { cells, tested, .. } = screened;
    look(cells, tested, later.get(..1).unwrap_or_default(), policy);
    if later.len() < 2 {
        return;
    }
    // What the first look decided stands, whatever the further rounds of its job say.
    let decided = cells.clone();
    look(cells, tested, later, policy);
    for tested in tested {
        if decided[tested.cell].verdict != Verdict::Inconclusive {
            cells[tested.cell] = decided[tested.cell].clone();
        }
    }
}

/// Decides the cells that the screening run left open, by the runs after it.
fn look(cells: &mut [GateCell], tested: &[Tested], later: &[Run<'_>], policy: &GatePolicy) {
    let Some(first) = later.first() else {
        return;
    };
    let mut found = Vec::new();
    for Tested {
        cell: index,
        figure,
        limit,
    } in tested
    {
        let cell = &mut cells[*index];
        let mut costs = Vec::new();
        let mut shown = None;
        let mut stage = Stage::Confirm;
        let mut trouble = None;
        for run in later {
            let (Some(base), Some(new)) = (
                run.find(&cell.job, Build::Base),
                run.find(&cell.job, Build::New),
            ) else {
                continue;
            };
            if let Some(Some(failed)) = not_measured(&cell.job, base, new, run, &mut Vec::new()) {
                trouble = Some((failed.verdict, failed.reason));
                continue;
            }
            match measured(base, new, figure) {
                Some(Ok(more)) => {
                    costs.extend(&more.costs);
                    stage = run.info.stage;
                    shown.get_or_insert(more);
                }
                Some(Err(reason)) => trouble = Some((Verdict::Inconclusive, Some(reason))),
                None => {}
            }
        }
        if let Some((verdict, reason)) = trouble {
            (cell.verdict, cell.reason) = (verdict, reason);
            continue;
        }
        let seed = first.records.run.seed;
        if let (Some(shown), Ok(evidence)) = (shown, Evidence::of(&costs, seed)) {
            cell.stage = stage;
            cell.show(&evidence, &shown);
            found.push((*index, evidence, *limit));
        }
    }
    let alpha = alpha_of_look(policy.confirm_rounds, policy.most_rounds);
    let adjusted = |p: fn(&Evidence) -> f64| {
        let all: Vec<f64> = found.iter().map(|(_, evidence, _)| p(evidence)).collect();
        holm(&all)
    };
    let (worse, better) = (adjusted(|e| e.worse_p), adjusted(|e| e.better_p));
    for (place, (index, evidence, limit)) in found.iter().enumerate() {
        let cell = &mut cells[*index];
        let (worse_p, better_p) = (worse[place], better[place]);
        cell.p = Some(worse_p);
        cell.reason = None;
        cell.verdict = match evidence.decide(*limit, worse_p, better_p, alpha) {
            Decision::Regressed => Verdict::Regressed,
            Decision::Improved => Verdict::Improved,
            Decision::Ok => Verdict::Ok,
            Decision::Open => {
                cell.reason = Some(match evidence.rounds_needed(*limit) {
                    Some(rounds) => {
                        format!("some {rounds} rounds would tell, as noisy as these are")
                    }
                    None => "too close to the limit to be told from it".to_owned(),
                });
                Verdict::Inconclusive
            }
        };
    }
}
