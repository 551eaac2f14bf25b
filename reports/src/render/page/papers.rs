//! The tables that people quote, in the layout of the BitNet papers: a row for each model, the half-precision kernels first, then
//! the ternary ones, with the speed-up in brackets. Prefill and decode stand apart, and so do numbers of threads.

use super::grid::{Grid, GridCell, Head, Line, figure, why};
use crate::columns::Row;
use crate::compare::{Against, Comparison, Figure, pairs};
use crate::paired::Paired;
use crate::record::Precision;
use crate::render::layout::{self, Layout, Threads, layouts};
use crate::render::text::{number, plain};
use crate::report::Report;

/// What one kind of table shows.
pub(super) struct Measure {
    /// Its title: `Decode`.
    pub(super) title: &'static str,
    pub(super) unit: &'static str,
    /// Id of the column whose figure it shows.
    pub(super) column: &'static str,
    /// What stands in brackets.
    bracket: Bracket,
    /// Whether the least is best.
    pub(super) lower: bool,
    /// Whether it rests on energy counters.
    counters: bool,
}

/// What stands in brackets behind a figure.
enum Bracket {
    Nothing,
    /// The column of a speed-up.
    Speedup(&'static str),
    /// The column of a saving in percent, and the saving itself.
    Saved(&'static str, fn(&Comparison) -> &Against),
    /// How many times less it is than that of the baseline of the decode phase.
    TimesLess(Figure),
}

pub(super) static SPEED: [Measure; 3] = [
    Measure {
        title: "Decode",
        unit: "tok/s",
        column: "decode_tokens_per_second",
        bracket: Bracket::Speedup("decode_speedup"),
        lower: false,
        counters: false,
    },
    Measure {
        title: "Prefill",
        unit: "tok/s",
        column: "prefill_tokens_per_second",
        bracket: Bracket::Speedup("prefill_speedup"),
        lower: false,
        counters: false,
    },
    Measure {
        title: "Multiplication",
        unit: "us",
        column: "multiply_us",
        bracket: Bracket::Speedup("multiply_speedup"),
        lower: true,
        counters: false,
    },
];

pub(super) static ENERGY: [Measure; 3] = [
    Measure {
        title: "Decode",
        unit: "J/token",
        column: "decode_joules_per_token",
        bracket: Bracket::Saved("energy_saved_percent", |c| &c.energy_saved_percent),
        lower: true,
        counters: true,
    },
    Measure {
        title: "Prefill",
        unit: "J/token",
        column: "prefill_joules_per_token",
        bracket: Bracket::Saved("prefill_energy_saved_percent", |c| {
            &c.prefill_energy_saved_percent
        }),
        lower: true,
        counters: true,
    },
    Measure {
        title: "Multiplication",
        unit: "uJ",
        column: "multiply_uj",
        bracket: Bracket::Nothing,
        lower: true,
        counters: true,
    },
];

pub(super) static MEMORY: [Measure; 1] = [Measure {
    title: "Peak memory",
    unit: "MB",
    column: "peak_mb",
    bracket: Bracket::TimesLess(Figure::PEAK),
    lower: true,
    counters: false,
}];

/// The tables of some measures: of each, one for every number of threads and sizes. Tables without any figure are left out.
pub(super) fn grids(report: &Report, measures: &[Measure]) -> Vec<Grid> {
    let layouts = layouts(report, Threads::Tables);
    let of_measure = |measure| layouts.iter().map(move |layout| (measure, layout));
    let grids = measures.iter().flat_map(of_measure);
    grids
        .filter_map(|(measure, layout)| grid(measure, layout, report))
        .collect()
}

fn grid(measure: &Measure, layout: &Layout<'_>, report: &Report) -> Option<Grid> {
    layout
        .rows()
        .find(|row| figure(measure.column, row).is_some())?;
    let title = format!(
        "{}, {}: {}",
        measure.title,
        measure.unit,
        layout.setting.words()
    );
    let mut grid = empty(layout, title);
    grid.simulated = measure.counters && report.simulated();
    for line in &layout.lines {
        let cells = line.cells.iter().map(|rows| match rows.first() {
            Some(row) => cell(measure, row, report, &mut grid),
            None => grid.missing("not planned", "the plan has no such job"),
        });
        let mut cells: Vec<GridCell> = cells.collect();
        if !grid.simulated {
            Grid::mark_best(&mut cells, measure.lower);
        }
        grid.rows.push(of_model(line, cells));
    }
    Some(grid)
}

/// A table without lines: a column for each contender.
pub(super) fn empty(layout: &Layout<'_>, title: String) -> Grid {
    let first = if layout.setting.layer {
        "layer"
    } else {
        "model"
    };
    let mut head = vec![Head::new(first, "")];
    for column in &layout.columns {
        let below = match column.precision {
            Precision::Half => "half precision",
            Precision::Ternary => "ternary",
        };
        let below = if layout.several_engines() {
            format!("{below}, {}", plain(&column.engine))
        } else {
            below.to_owned()
        };
        head.push(Head::new(plain(&column.kernel), below));
    }
    Grid {
        title,
        head,
        ..Grid::default()
    }
}

/// The line of a model.
pub(super) fn of_model(line: &layout::Line<'_>, cells: Vec<GridCell>) -> Line {
    let mut rows = line.cells.iter().flatten();
    let ternarized = rows.any(|row| row.summary.job.model.ternarized);
    Line {
        name: plain(&line.model.name),
        below: if ternarized { "ternarized" } else { "" }.to_owned(),
        cells,
    }
}

fn cell(measure: &Measure, row: &Row, report: &Report, grid: &mut Grid) -> GridCell {
    let Some((value, shown)) = figure(measure.column, row) else {
        let (word, reason) = why(measure.column, row, measure.counters);
        return grid.missing(word, &reason);
    };
    let mut below: Vec<String> = shown.spread.into_iter().collect();
    let mut bracket = String::new();
    match &measure.bracket {
        Bracket::Nothing => {}
        Bracket::Speedup(id) => match figure(id, row) {
            Some((_, ratio)) if ratio.mark == Some("baseline") => below.push("baseline".to_owned()),
            Some((_, ratio)) => {
                bracket = format!("{}x", ratio.text);
                below.extend(ratio.spread.map(|range| inside(&range)));
            }
            None => {}
        },
        Bracket::Saved(id, of) => match figure(id, row) {
            Some((_, saved)) if saved.mark == Some("baseline") => below.push("baseline".to_owned()),
            Some((percent, saved)) => {
                let (amount, word) = (saved.text.trim_start_matches('-'), less(percent));
                bracket = format!("{amount} % {word}");
                below.extend(saved_range(of(&row.comparison)));
            }
            None => {}
        },
        Bracket::TimesLess(of) => {
            match times_less(row, report, *of) {
                Some(paired) => bracket = times_in_words(paired.estimate),
                None if row.comparison.decode_speedup == Against::IsBaseline => {
                    below.push("baseline".to_owned());
                }
                None => {}
            }
            let weights = figure("weights_mb", row);
            below.extend(weights.map(|(_, weights)| format!("weights {}", weights.text)));
        }
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

/// `3.82x less`, or `1.20x more` for what takes more than its baseline; `the same` within half a percent.
pub(super) fn times_in_words(times_less: f64) -> String {
    if (times_less - 1.0).abs() < 0.005 {
        "the same".to_owned()
    } else if times_less >= 1.0 {
        format!("{}x less", number(times_less, 2))
    } else {
        format!("{}x more", number(1.0 / times_less, 2))
    }
}

/// `less` for what is saved, `more` for what is not.
pub(super) fn less(percent_saved: f64) -> &'static str {
    if percent_saved >= 0.0 { "less" } else { "more" }
}

/// What holds the saving: without signs where all of it is a saving, or all of it is none.
fn saved_range(saved: &Against) -> Option<String> {
    let Against::Baseline { figure, .. } = saved else {
        return None;
    };
    let (low, high) = figure
        .interval
        .map_or((figure.min, figure.max), |i| (i.low, i.high));
    if figure.n == 1 {
        return None;
    }
    Some(if low >= 0.0 {
        format!("{} to {} %", number(low, 1), number(high, 1))
    } else if high < 0.0 {
        format!("{} to {} %", number(-high, 1), number(-low, 1))
    } else {
        format!("{} % more to {} % less", number(-low, 1), number(high, 1))
    })
}

/// A range without its brackets.
pub(super) fn inside(range: &str) -> String {
    range.trim_matches(['(', ')']).to_owned()
}

/// How many times less of something the row takes than its baseline, from the rounds that both have.
pub(super) fn times_less(row: &Row, report: &Report, of: Figure) -> Option<Paired> {
    let Against::Baseline { job, .. } = &row.comparison.decode_speedup else {
        return None;
    };
    let baseline = report.rows.iter().find(|row| row.summary.job.id == *job)?;
    let pairs = pairs(&baseline.summary, &row.summary, of).ok()?;
    Paired::of(&pairs, |ratio| ratio, report.run.seed).ok()
}
