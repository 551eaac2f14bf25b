//! The layout of the tables that people quote, as the BitNet papers have it: a line for each model, a column for each kernel,
//! half precision first. The page and the LaTeX tables share it.

use crate::columns::Row;
use crate::record::{Job, ModelInfo, Precision};
use crate::report::{Report, count};

/// Where rows stand that differ in nothing but their number of threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Threads {
    /// In a table of their own.
    Tables,
    /// In a line of their own.
    Lines,
    /// In the same cell.
    Cells,
}

/// What the rows of one table have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Setting {
    /// Nothing where the table has several numbers of them.
    pub(crate) threads: Option<u32>,
    pub(crate) prefill_tokens: u32,
    pub(crate) decode_tokens: u32,
    pub(crate) batch: u32,
    pub(crate) layer: bool,
}

/// What a column is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Contender {
    pub(crate) engine: String,
    /// The kernel, with its head where that is not in half precision.
    pub(crate) kernel: String,
    pub(crate) precision: Precision,
}

/// The rows of one model.
#[derive(Debug, Clone)]
pub(crate) struct Line<'a> {
    pub(crate) model: &'a ModelInfo,
    /// Nothing where numbers of threads have no lines of their own.
    pub(crate) threads: Option<u32>,
    /// The rows in each column, in the order of the plan; none where there is no such job.
    pub(crate) cells: Vec<Vec<&'a Row>>,
}

/// One table.
#[derive(Debug, Clone)]
pub(crate) struct Layout<'a> {
    pub(crate) setting: Setting,
    pub(crate) columns: Vec<Contender>,
    pub(crate) lines: Vec<Line<'a>>,
}

impl Setting {
    fn of(job: &Job, threads: Threads) -> Setting {
        Setting {
            threads: (threads == Threads::Tables).then_some(job.threads),
            prefill_tokens: job.prefill_tokens,
            decode_tokens: job.decode_tokens,
            batch: job.batch,
            layer: job.layer.is_some(),
        }
    }

    /// In words: `2 threads, prompt 128, generated 32 tokens`.
    pub(crate) fn words(&self) -> String {
        let mut words = self.threads.map_or(String::new(), |threads| {
            format!("{}, ", count(threads as usize, "thread"))
        });
        if self.layer {
            let tokens = count(self.batch as usize, "token");
            words.push_str(&format!("one layer, {tokens} at a time"));
            return words;
        }
        words.push_str(&format!(
            "prompt {}, generated {} tokens",
            self.prefill_tokens, self.decode_tokens
        ));
        if self.batch != 1 {
            words.push_str(&format!(", {} sequences together", self.batch));
        }
        words
    }
}

impl Contender {
    fn of(job: &Job) -> Contender {
        Contender {
            engine: job.engine.name.clone(),
            kernel: job.kernel_and_head(),
            precision: job.precision,
        }
    }
}

impl Layout<'_> {
    /// Whether columns are of more than one engine, so that a head must name it.
    pub(crate) fn several_engines(&self) -> bool {
        let mut engines = self.columns.iter().map(|column| &column.engine);
        let first = engines.next();
        engines.any(|engine| Some(engine) != first)
    }

    /// Every row of the table.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &Row> {
        let cells = self.lines.iter().flat_map(|line| &line.cells);
        cells.flatten().copied()
    }
}

/// The tables of a run, in the order of its plan.
pub(crate) fn layouts(report: &Report, threads: Threads) -> Vec<Layout<'_>> {
    let mut settings: Vec<(Setting, Vec<&Row>)> = Vec::new();
    for row in &report.rows {
        let setting = Setting::of(&row.summary.job, threads);
        match settings.iter_mut().find(|(known, _)| *known == setting) {
            Some((_, rows)) => rows.push(row),
            None => settings.push((setting, vec![row])),
        }
    }
    let settings = settings.into_iter();
    settings
        .map(|(setting, rows)| layout(setting, &rows, threads))
        .collect()
}

fn layout<'a>(setting: Setting, rows: &[&'a Row], threads: Threads) -> Layout<'a> {
    let mut columns: Vec<Contender> = Vec::new();
    for row in rows {
        let column = Contender::of(&row.summary.job);
        if !columns.contains(&column) {
            columns.push(column);
        }
    }
    columns.sort_by_key(|column| column.precision != Precision::Half);
    let mut lines: Vec<Line<'a>> = Vec::new();
    for row in rows {
        let job = &row.summary.job;
        let of_line = (threads == Threads::Lines).then_some(job.threads);
        let same = |line: &Line<'_>| {
            line.model.name == job.model.name
                && line.model.weights == job.model.weights
                && line.threads == of_line
        };
        let place = lines.iter().position(same).unwrap_or_else(|| {
            lines.push(Line {
                model: &job.model,
                threads: of_line,
                cells: vec![Vec::new(); columns.len()],
            });
            lines.len() - 1
        });
        let column = Contender::of(job);
        let cells = columns.iter().zip(&mut lines[place].cells);
        for (_, cell) in cells.filter(|(known, _)| **known == column) {
            cell.push(row);
        }
    }
    Layout {
        setting,
        columns,
        lines,
    }
}
