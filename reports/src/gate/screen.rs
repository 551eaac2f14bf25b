//! The screening run, which clears the cells that are beyond doubt.

use super::control::controls;
use super::evidence::Evidence;
use super::figures::{FIGURES, GateFigure, WEIGHTS};
use super::run::{Run, measured, names, not_measured, other_answer};
use super::verdict::{GateCell, GateControl, Verdict};
use crate::record::{Build, GateInfo, GatePolicy, Stage};
use crate::summary::Summary;

/// What the screening run comes to.
pub(super) struct Screened {
    /// All cells.
    pub(super) cells: Vec<GateCell>,
    /// Those that are left open.
    pub(super) tested: Vec<Tested>,
    /// What is not gated, and why.
    pub(super) left_out: Vec<String>,
}

/// A cell that the screening run left open.
pub(super) struct Tested {
    /// Its place among the cells.
    pub(super) cell: usize,
    /// Its figure.
    pub(super) figure: &'static GateFigure,
    /// The cost that fails it, as a logarithm.
    pub(super) limit: f64,
}

/// Judges the screening run. Other tokens are looked for in all runs.
pub(super) fn screen(screen: &Run<'_>, runs: &[Run<'_>]) -> Screened {
    let policy = &screen.info.policy;
    let mut screened = Screened {
        cells: Vec::new(),
        tested: Vec::new(),
        left_out: Vec::new(),
    };
    // What was measured while the base build differed from itself clears nothing.
    let flagged = controls(screen, policy).iter().any(GateControl::flagged);
    for name in names(screen) {
        let (Some(base), Some(new)) = (
            screen.find(&name, Build::Base),
            screen.find(&name, Build::New),
        ) else {
            continue;
        };
        if let Some(cell) = not_measured(&name, base, new, screen, &mut screened.left_out) {
            screened.cells.extend(cell);
            continue;
        }
        for figure in &FIGURES {
            let Some(first) = measured(base, new, figure) else {
                continue;
            };
            let (limit, limit_is_noise) = limit(figure, screen.info);
            let mut cell = GateCell {
                figure: figure.name,
                unit: figure.unit,
                more_is_better: figure.more_is_better,
                limit_percent: limit.exp_m1() * 100.0,
                limit_is_noise,
                ..GateCell::without_figure(&name, Stage::Screen, Verdict::Inconclusive)
            };
            if let Some(reason) = other_answer(&name, figure.phase, runs) {
                cell.verdict = Verdict::Incorrect;
                cell.reason = Some(reason);
                screened.cells.push(cell);
                continue;
            }
            let seed = screen.records.run.seed;
            let evidence = first
                .and_then(|first| Ok((Evidence::of(&first.costs, seed)?, first)))
                .map_err(|reason| cell.reason = Some(reason));
            if let Ok((evidence, first)) = evidence {
                cell.show(&evidence, &first);
                if flagged || evidence.doubtful(limit) {
                    screened.tested.push(Tested {
                        cell: screened.cells.len(),
                        figure,
                        limit,
                    });
                    cell.reason = Some("the screening run leaves it open".to_owned());
                } else {
                    cell.verdict = Verdict::Ok;
                }
            }
            screened.cells.push(cell);
        }
        screened.cells.extend(weights(&name, base, new, policy));
    }
    screened
}

/// The cost that fails a figure, as a logarithm, and whether that is the noise of the host.
fn limit(figure: &GateFigure, info: &GateInfo) -> (f64, bool) {
    let policy = (figure.least_percent)(&info.policy);
    let floor = info.floors.get(figure.name).map_or(0.0, |f| f.percent);
    ((policy.max(floor) / 100.0).ln_1p(), floor > policy)
}

/// Bytes of the packed weights, which every process of a build has the same of.
fn weights(name: &str, base: &Summary, new: &Summary, policy: &GatePolicy) -> Option<GateCell> {
    let bytes = |summary: &Summary| Some(summary.loaded.as_ref()?.weights_bytes as f64);
    let (a, b) = (bytes(base)?, bytes(new)?);
    let limit = policy.weights_percent / 100.0;
    let verdict = if b > a * (1.0 + limit) {
        Verdict::Regressed
    } else if b < a * (1.0 - limit) {
        Verdict::Improved
    } else {
        Verdict::Ok
    };
    Some(GateCell {
        job: name.to_owned(),
        figure: WEIGHTS,
        unit: "MB",
        more_is_better: false,
        medians: Some((a * 1e-6, b * 1e-6)),
        ratio: Some((b / a, None, new.rounds.len())),
        p: None,
        limit_percent: policy.weights_percent,
        limit_is_noise: false,
        stage: Stage::Screen,
        verdict,
        reason: None,
    })
}
