//! What cells and controls come to, in words.

use super::figures::WEIGHTS;
use super::render;
use super::run::Run;
use super::verdict::{GateCell, GateControl, Outcome, Verdict};
use crate::record::Stage;
use crate::report::count;

/// What the cells and controls come to.
pub(super) fn outcome(
    cells: &[GateCell],
    controls: &[GateControl],
    later: &[Run<'_>],
) -> (Outcome, Vec<String>) {
    let named = |verdict: Verdict| -> Vec<String> {
        let cells = cells.iter().filter(|cell| cell.verdict == verdict);
        cells.map(in_words).collect()
    };
    let incorrect = named(Verdict::Incorrect);
    if !incorrect.is_empty() {
        return (Outcome::Incorrect, incorrect);
    }
    // Bytes do not depend on how restless the machine is.
    let certain = |cell: &&GateCell| cell.verdict == Verdict::Regressed && cell.figure == WEIGHTS;
    let grown: Vec<String> = cells.iter().filter(certain).map(in_words).collect();
    if !grown.is_empty() {
        return (Outcome::Regressed, named(Verdict::Regressed));
    }
    // A later run is a new chance for the machine to be quiet, and alone decides what it measures.
    let last = later.last().map_or(Stage::Screen, |run| run.info.stage);
    let decides = |control: &&GateControl| match last {
        Stage::Extend => control.stage != Stage::Screen,
        last => control.stage == last,
    };
    let distrust = |control: &GateControl| {
        let figures = render::control_figures(control);
        format!(
            "the base build differs from itself ({}): {figures}; nothing that was measured meanwhile can be trusted",
            control.job,
        )
    };
    let controls = controls.iter().filter(decides);
    let flagged = controls.filter(|control| control.flagged());
    let flagged: Vec<String> = flagged.map(distrust).collect();
    if !flagged.is_empty() {
        return (Outcome::Contaminated, flagged);
    }
    for (verdict, outcome) in [
        (Verdict::Regressed, Outcome::Regressed),
        (Verdict::Inconclusive, Outcome::Inconclusive),
    ] {
        let reasons = named(verdict);
        if !reasons.is_empty() {
            return (outcome, reasons);
        }
    }
    if cells.is_empty() {
        let nothing = "no job has figures of both builds".to_owned();
        return (Outcome::Inconclusive, vec![nothing]);
    }
    let limits = cells.iter().map(|cell| cell.limit_percent);
    let most = limits.fold(0.0, f64::max);
    let better = named(Verdict::Improved);
    let mut reasons = vec![format!(
        "none of {} costs more by as much as its limit (at most {most:.1} %)",
        count(cells.len(), "cell")
    )];
    reasons.extend(better);
    (Outcome::Ok, reasons)
}

/// What happened to a cell, in a line.
pub fn in_words(cell: &GateCell) -> String {
    let mut text = format!("{}, {}: ", cell.job, cell.figure);
    if let Some((ratio, interval, rounds)) = cell.ratio {
        let change = (ratio - 1.0) * 100.0;
        text.push_str(&format!("{change:+.1} %"));
        match interval {
            Some(i) => text.push_str(&format!(
                " ({:+.1} to {:+.1}, {})",
                (i.low - 1.0) * 100.0,
                (i.high - 1.0) * 100.0,
                count(rounds, "round")
            )),
            None if cell.figure == WEIGHTS => {}
            None => text.push_str(&format!(" ({})", count(rounds, "round"))),
        }
        text.push_str(&format!(
            ", {} {:.1} %",
            if cell.limit_is_noise {
                "noise of this host"
            } else {
                "limit"
            },
            cell.limit_percent
        ));
    }
    if let Some(p) = cell.p {
        text.push_str(&format!(", p {p:.4}"));
    }
    if let Some(reason) = &cell.reason {
        let separator = if cell.ratio.is_some() { "; " } else { "" };
        text.push_str(&format!("{separator}{reason}"));
    }
    text
}
