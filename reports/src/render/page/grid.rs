//! A table whose rows are models: the layout of the papers, of published figures, and of several runs side by side.

use crate::cell::Cell;
use crate::columns::{COLUMNS, Column, Kind, Row};
use crate::render::text::{Shown, plain};
use crate::summary::Status;
use minijinja::context;
use minijinja::value::Value;

/// A table.
#[derive(Debug, Clone, Default)]
pub(super) struct Grid {
    pub(super) title: String,
    /// Heads above the heads, each over a number of columns; none for a plain table.
    pub(super) spans: Vec<Span>,
    pub(super) head: Vec<Head>,
    pub(super) rows: Vec<Line>,
    /// What the numbers behind cells stand for, from 1.
    pub(super) notes: Vec<String>,
    /// Whether its figures are of simulated counters.
    pub(super) simulated: bool,
}

/// A head over several columns.
#[derive(Debug, Clone)]
pub(super) struct Span {
    pub(super) text: String,
    pub(super) columns: usize,
    pub(super) published: bool,
}

/// The head of a column.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) title: String,
    /// What stands below it, small.
    pub(super) below: String,
    pub(super) published: bool,
}

impl Head {
    pub(super) fn new(title: impl Into<String>, below: impl Into<String>) -> Head {
        Head {
            title: title.into(),
            below: below.into(),
            published: false,
        }
    }

    pub(super) fn published(title: impl Into<String>, below: impl Into<String>) -> Head {
        Head {
            published: true,
            ..Head::new(title, below)
        }
    }
}

/// A row.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) name: String,
    pub(super) below: String,
    pub(super) cells: Vec<GridCell>,
}

/// A cell.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct GridCell {
    pub(super) text: String,
    /// Such as `3.75x`, shown in brackets.
    pub(super) bracket: String,
    /// Small, on a line of its own: spread and interval.
    pub(super) below: String,
    pub(super) tip: String,
    pub(super) best: bool,
    pub(super) missing: bool,
    pub(super) published: bool,
    /// Number of the note that explains it.
    pub(super) note: Option<usize>,
    /// What it is sorted by.
    pub(super) sort: Option<f64>,
}

impl From<Grid> for Value {
    fn from(grid: Grid) -> Value {
        let spans = grid.spans.into_iter().map(|span| {
            context! { text => span.text, columns => span.columns, published => span.published }
        });
        let head = grid.head.into_iter().map(|head| {
            context! { title => head.title, below => head.below, published => head.published }
        });
        let rows = grid.rows.into_iter().map(|line| {
            let cells: Vec<Value> = line.cells.into_iter().map(cell).collect();
            context! { name => line.name, below => line.below, cells => cells }
        });
        context! {
            title => grid.title,
            spans => spans.collect::<Vec<Value>>(),
            head => head.collect::<Vec<Value>>(),
            rows => rows.collect::<Vec<Value>>(),
            notes => grid.notes,
            simulated => grid.simulated,
        }
    }
}

fn cell(cell: GridCell) -> Value {
    context! {
        text => cell.text,
        bracket => cell.bracket,
        below => cell.below,
        tip => cell.tip,
        best => cell.best,
        missing => cell.missing,
        published => cell.published,
        note => cell.note,
        sort => cell.sort,
    }
}

impl Grid {
    /// A cell without a figure: what happened in a word, and the whole reason in a note.
    pub(super) fn missing(&mut self, word: &str, reason: &str) -> GridCell {
        let reason = plain(reason);
        GridCell {
            text: word.to_owned(),
            tip: reason.clone(),
            missing: true,
            note: Some(self.note(reason)),
            ..GridCell::default()
        }
    }

    /// The number of a note, which is added where it is new.
    pub(super) fn note(&mut self, text: String) -> usize {
        if let Some(place) = self.notes.iter().position(|note| *note == text) {
            return place + 1;
        }
        self.notes.push(text);
        self.notes.len()
    }

    /// Marks the best of some cells of a row by what they are sorted by: only where there are two at least.
    pub(super) fn mark_best(cells: &mut [GridCell], lower: bool) {
        let values = || cells.iter().filter_map(|cell| cell.sort);
        let best = if lower {
            values().reduce(f64::min)
        } else {
            values().reduce(f64::max)
        };
        let (Some(best), true) = (best, values().count() > 1) else {
            return;
        };
        // Figures that look the same are equally good.
        let shown = cells.iter().find(|cell| cell.sort == Some(best));
        let Some(shown) = shown.map(|cell| cell.text.clone()) else {
            return;
        };
        for cell in cells {
            cell.best = cell.sort.is_some() && cell.text == shown;
        }
    }
}

/// The column of this id.
pub(super) fn column(id: &str) -> Option<&'static Column> {
    COLUMNS.iter().copied().find(|column| column.id == id)
}

/// What a column says of a row, as text with its spread; nothing where it has no figure.
pub(super) fn figure(id: &str, row: &Row) -> Option<(f64, Shown)> {
    let column = column(id)?;
    let cell = (column.cell)(row);
    match cell {
        Cell::Number { value, .. } => {
            // A spread for people, whether or not the tables of all columns have room for it.
            let kind = match column.kind {
                Kind::Measured { decimals, .. } => Kind::Measured {
                    decimals,
                    spread_shown: true,
                },
                kind => kind,
            };
            Some((value, Shown::of(&cell, kind)))
        }
        _ => None,
    }
}

/// What happened to a row, in a word, and the whole reason, for a cell without a figure.
pub(super) fn why(id: &str, row: &Row, counters: bool) -> (&'static str, String) {
    match &row.summary.status {
        Status::Measured => {}
        status => {
            let reason = status.reason().unwrap_or_default();
            return (status.word(), format!("{}: {reason}", status.word()));
        }
    }
    let cell = column(id).map(|column| (column.cell)(row));
    let reason = match cell {
        Some(Cell::Missing(reason)) => reason,
        _ => "not measured".to_owned(),
    };
    let word = if counters { "no counter" } else { "no figure" };
    (word, reason)
}
