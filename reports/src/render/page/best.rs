//! The best number of threads of each kernel, where a run tried several: the layout of Table 4 of arXiv 2410.16144.

use super::grid::{Grid, GridCell, figure};
use super::papers::{Measure, SPEED, empty, inside, of_model};
use crate::columns::{Cell, Kind, Row};
use crate::compare::{Figure, pairs};
use crate::paired::Paired;
use crate::record::Precision;
use crate::render::layout::{Layout, Line, Threads, layouts};
use crate::render::text::Shown;
use crate::report::{Report, count};

/// Of each table of speed, by which numbers of rounds two rows are held against each other.
const RATES: [Figure; SPEED.len()] = [Figure::DECODE, Figure::PREFILL, Figure::MULTIPLY];

/// A table for each phase and sizes that a kernel was measured at with more than one number of threads.
pub(super) fn grids(report: &Report) -> Vec<Grid> {
    let layouts = layouts(report, Threads::Cells);
    let of_measure = |measure| layouts.iter().map(move |layout| (measure, layout));
    let grids = SPEED.iter().zip(RATES).flat_map(of_measure);
    grids
        .filter_map(|((measure, rate), layout)| grid(measure, rate, layout, report.run.seed))
        .collect()
}

fn grid(measure: &Measure, rate: Figure, layout: &Layout<'_>, seed: u64) -> Option<Grid> {
    let several = |rows: &Vec<&Row>| best(measure, rows).is_some_and(|(_, tried)| tried > 1);
    layout
        .lines
        .iter()
        .find(|line| line.cells.iter().any(several))?;
    let title = format!(
        "{}, {}, best number of threads: {}",
        measure.title,
        measure.unit,
        layout.setting.words()
    );
    let mut grid = empty(layout, title);
    for line in &layout.lines {
        let cells = line.cells.iter().map(|rows| {
            let Some((row, tried)) = best(measure, rows) else {
                let (word, reason) = nothing(rows);
                return grid.missing(word, reason);
            };
            cell(
                measure,
                row,
                tried,
                baseline(measure, line, row),
                rate,
                seed,
            )
        });
        let mut cells: Vec<GridCell> = cells.collect();
        Grid::mark_best(&mut cells, measure.lower);
        grid.rows.push(of_model(line, cells));
    }
    Some(grid)
}

/// Why no number of threads has a figure.
fn nothing(rows: &[&Row]) -> (&'static str, &'static str) {
    if rows.is_empty() {
        return ("not planned", "the plan has no such job");
    }
    (
        "no figure",
        "no number of threads gave a figure: the tables above say why",
    )
}

/// The best of some rows with a figure, and how many have one.
fn best<'a>(measure: &Measure, rows: &[&'a Row]) -> Option<(&'a Row, usize)> {
    let measured = rows.iter().copied();
    let measured: Vec<(&Row, f64)> = measured
        .filter_map(|row| Some((row, figure(measure.column, row)?.0)))
        .collect();
    let best = measured.iter().copied().reduce(|best, next| {
        let better = if measure.lower {
            next.1 < best.1
        } else {
            next.1 > best.1
        };
        if better { next } else { best }
    });
    best.map(|(row, _)| (row, measured.len()))
}

/// The half-precision row of the same head that is best with any kernel and number of threads.
fn baseline<'a>(measure: &Measure, line: &Line<'a>, row: &Row) -> Option<&'a Row> {
    let rows = line.cells.iter().flatten().copied();
    let half: Vec<&Row> = rows
        .filter(|other| {
            let job = &other.summary.job;
            job.precision == Precision::Half && job.head == row.summary.job.head
        })
        .collect();
    best(measure, &half).map(|(row, _)| row)
}

fn cell(
    measure: &Measure,
    row: &Row,
    tried: usize,
    baseline: Option<&Row>,
    rate: Figure,
    seed: u64,
) -> GridCell {
    let Some((value, shown)) = figure(measure.column, row) else {
        return GridCell::default();
    };
    let threads = count(row.summary.job.threads as usize, "thread");
    let mut below = vec![format!("{threads}, best of {tried} tried")];
    below.extend(shown.spread);
    let mut bracket = String::new();
    match baseline {
        Some(baseline) if baseline.summary.job.id == row.summary.job.id => {
            below.push("baseline".to_owned());
        }
        Some(baseline) => {
            let pairs = pairs(&row.summary, &baseline.summary, rate).ok();
            let ratio = pairs.and_then(|pairs| Paired::of(&pairs, |ratio| ratio, seed).ok());
            if let Some(ratio) = ratio {
                let ratio = Shown::of(&Cell::paired(&ratio), Kind::Ratio { decimals: 2 });
                bracket = format!("{}x", ratio.text);
                below.extend(ratio.spread.map(|range| inside(&range)));
            }
        }
        None => {}
    }
    below.extend(shown.mark.map(ToOwned::to_owned));
    GridCell {
        text: shown.text,
        bracket,
        below: below.join(", "),
        sort: Some(value),
        ..GridCell::default()
    }
}
