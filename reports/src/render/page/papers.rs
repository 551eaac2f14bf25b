//! The tables that people quote, in the layout of the BitNet papers: a row for each model, the half-precision kernels first, then
//! the ternary ones, with the speed-up in brackets. Prefill and decode stand apart, and so do numbers of threads.

use super::grid::{Grid, GridCell, Head, Line, figure, why};
use crate::columns::Row;
use crate::compare::{Against, Figure, pairs};
use crate::paired::Paired;
use crate::record::{Job, ModelInfo, Precision, WeightsOrigin};
use crate::render::text::{number, plain};
use crate::report::{Report, count};

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
    lower: bool,
    /// Whether it rests on energy counters.
    counters: bool,
}

/// What stands in brackets behind a figure.
enum Bracket {
    Nothing,
    /// The column of a speed-up.
    Speedup(&'static str),
    /// The column of a saving in percent.
    Saved(&'static str),
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

pub(super) static ENERGY: [Measure; 2] = [
    Measure {
        title: "Decode",
        unit: "J/token",
        column: "decode_joules_per_token",
        bracket: Bracket::Saved("energy_saved_percent"),
        lower: true,
        counters: true,
    },
    Measure {
        title: "Prefill",
        unit: "J/token",
        column: "prefill_joules_per_token",
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

/// What rows of one table have in common.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Setting {
    threads: u32,
    prefill_tokens: u32,
    decode_tokens: u32,
    batch: u32,
    layer: bool,
}

impl Setting {
    fn of(job: &Job) -> Setting {
        Setting {
            threads: job.threads,
            prefill_tokens: job.prefill_tokens,
            decode_tokens: job.decode_tokens,
            batch: job.batch,
            layer: job.layer.is_some(),
        }
    }

    fn words(&self) -> String {
        if self.layer {
            let threads = count(self.threads as usize, "thread");
            let tokens = count(self.batch as usize, "token");
            return format!("{threads}, one layer, {tokens} at a time");
        }
        let mut words = format!(
            "{}, prompt {}, generated {} tokens",
            count(self.threads as usize, "thread"),
            self.prefill_tokens,
            self.decode_tokens
        );
        if self.batch != 1 {
            words.push_str(&format!(", {} sequences together", self.batch));
        }
        words
    }
}

/// The tables of some measures: of each, one for every number of threads and sizes. Tables without any figure are left out.
pub(super) fn grids(report: &Report, measures: &[Measure]) -> Vec<Grid> {
    let mut settings: Vec<Setting> = Vec::new();
    for row in &report.rows {
        let setting = Setting::of(&row.summary.job);
        if !settings.contains(&setting) {
            settings.push(setting);
        }
    }
    let of_measure = |measure| settings.iter().map(move |setting| (measure, *setting));
    let grids = measures.iter().flat_map(of_measure);
    grids
        .filter_map(|(measure, setting)| {
            let rows = report.rows.iter();
            let rows = rows.filter(|row| Setting::of(&row.summary.job) == setting);
            grid(measure, setting, &rows.collect::<Vec<_>>(), report)
        })
        .collect()
}

/// What tells columns apart: the engine, and the kernel with its head.
type Contender = (String, String);

fn contender(row: &Row) -> Contender {
    let job = &row.summary.job;
    (job.engine.name.clone(), job.kernel_and_head())
}

fn grid(measure: &Measure, setting: Setting, rows: &[&Row], report: &Report) -> Option<Grid> {
    rows.iter()
        .find(|row| figure(measure.column, row).is_some())?;
    let columns = contenders(rows);
    let several_engines = columns.iter().any(|c| c.0.0 != columns[0].0.0);
    let mut grid = Grid {
        title: format!("{}, {}: {}", measure.title, measure.unit, setting.words()),
        head: vec![Head::new(if setting.layer { "layer" } else { "model" }, "")],
        simulated: measure.counters && report.simulated(),
        ..Grid::default()
    };
    for ((engine, kernel), precision) in &columns {
        let below = match precision {
            Precision::Half => "half precision",
            Precision::Ternary => "ternary",
        };
        let below = if several_engines {
            format!("{below}, {}", plain(engine))
        } else {
            below.to_owned()
        };
        grid.head.push(Head::new(plain(kernel), below));
    }
    for (name, weights) in models(rows) {
        let of_model = |row: &&&Row| {
            let model = &row.summary.job.model;
            model.name == name && model.weights == weights
        };
        let of_model: Vec<&Row> = rows.iter().filter(of_model).copied().collect();
        let mut cells = Vec::new();
        for (column, _) in &columns {
            let row = of_model.iter().find(|row| contender(row) == *column);
            cells.push(match row {
                Some(row) => cell(measure, row, report, &mut grid),
                None => grid.missing("not planned", "the plan has no such job"),
            });
        }
        if !grid.simulated {
            Grid::mark_best(&mut cells, measure.lower);
        }
        let ternarized = of_model.iter().any(|row| row.summary.job.model.ternarized);
        grid.rows.push(Line {
            name: plain(&name),
            below: if ternarized { "ternarized" } else { "" }.to_owned(),
            cells,
        });
    }
    Some(grid)
}

/// The columns: half precision first, each in the order of the plan.
fn contenders(rows: &[&Row]) -> Vec<(Contender, Precision)> {
    let mut columns: Vec<(Contender, Precision)> = Vec::new();
    for precision in [Precision::Half, Precision::Ternary] {
        for row in rows.iter().filter(|r| r.summary.job.precision == precision) {
            let column = (contender(row), precision);
            if !columns.contains(&column) {
                columns.push(column);
            }
        }
    }
    columns
}

fn models(rows: &[&Row]) -> Vec<(String, WeightsOrigin)> {
    let mut models = Vec::new();
    for row in rows {
        let ModelInfo { name, weights, .. } = &row.summary.job.model;
        let model = (name.clone(), weights.clone());
        if !models.contains(&model) {
            models.push(model);
        }
    }
    models
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
        Bracket::Saved(id) => match figure(id, row) {
            Some((_, saved)) if saved.mark == Some("baseline") => below.push("baseline".to_owned()),
            Some((percent, saved)) => {
                let (amount, word) = (saved.text.trim_start_matches('-'), less(percent));
                bracket = format!("{amount} % {word}");
                below.extend(saved_range(row));
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
fn saved_range(row: &Row) -> Option<String> {
    let Against::Baseline { figure, .. } = &row.comparison.energy_saved_percent else {
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
fn inside(range: &str) -> String {
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
