//! Tidy CSV: one line for each job of the plan, those without figures included.

use super::text::plain;
use crate::columns::{COLUMNS, Cell, Column, Kind, Row};
use crate::report::Report;

/// What follows a measured column, each behind its id, and what it means.
const SPREAD: [(&str, &str); 4] = [
    ("mad", "median absolute deviation over rounds times 1.4826"),
    ("min", "the smallest round"),
    ("max", "the largest round"),
    ("n", "number of rounds"),
];
/// What follows a ratio besides.
const RATIO: [(&str, &str); 6] = [
    ("low", "lower end of the exact signed-rank interval"),
    ("high", "upper end of it"),
    ("level", "its level, from 0 to 1"),
    ("of_medians", "the same from the medians of both rows"),
    (
        "of_medians_low",
        "lower end of the block-bootstrap interval of that",
    ),
    ("of_medians_high", "upper end of it"),
];

/// The fields that stand behind a column of this kind, and what each means.
pub fn fields_beside(kind: Kind) -> Vec<(&'static str, &'static str)> {
    let (spread, ratio) = suffixes(kind);
    [spread, ratio].concat()
}

/// Renders every column; a measured one is followed by `_mad`, `_min`, `_max` and `_n`, a ratio by its intervals besides. What
/// is not known is an empty field.
pub fn render(report: &Report) -> String {
    let mut table = line(COLUMNS.iter().flat_map(|column| header(column)));
    for row in &report.rows {
        table.push_str(&line(COLUMNS.iter().flat_map(|column| fields(column, row))));
    }
    table
}

/// A line of fields. One with a semicolon is quoted too: some spreadsheets end fields at them, and some at both.
pub(crate) fn line(fields: impl Iterator<Item = impl AsRef<str>>) -> String {
    let mut line = String::new();
    for (number, field) in fields.enumerate() {
        if number > 0 {
            line.push(',');
        }
        let field = field.as_ref();
        if field.contains([',', ';', '"', '\n', '\r', '\t']) {
            line.push('"');
            line.push_str(&field.replace('"', "\"\""));
            line.push('"');
        } else {
            line.push_str(field);
        }
    }
    line.push('\n');
    line
}

fn header(column: &Column) -> Vec<String> {
    let beside = fields_beside(column.kind).into_iter();
    let beside = beside.map(|(what, _)| format!("{}_{what}", column.id));
    std::iter::once(column.id.to_owned())
        .chain(beside)
        .collect()
}

/// Names of fields, and what each means.
type Suffixes = &'static [(&'static str, &'static str)];

fn suffixes(kind: Kind) -> (Suffixes, Suffixes) {
    match kind {
        Kind::Text | Kind::Fact { .. } => (&[], &[]),
        Kind::Measured { .. } => (&SPREAD, &[]),
        Kind::Ratio { .. } => (&SPREAD, &RATIO),
    }
}

fn fields(column: &Column, row: &Row) -> Vec<String> {
    let cell = (column.cell)(row);
    let mut fields = vec![match &cell {
        Cell::Text { text, .. } => inert(&plain(text)),
        Cell::Number { value, .. } => value.to_string(),
        Cell::Missing(_) => String::new(),
    }];
    let (of_spread, of_ratio) = suffixes(column.kind);
    let spread = match cell {
        Cell::Number { spread, .. } => spread,
        _ => None,
    };
    let number = |number: Option<f64>| number.map_or(String::new(), |number| number.to_string());
    if !of_spread.is_empty() {
        fields.extend([
            number(spread.and_then(|s| s.mad)),
            number(spread.map(|s| s.min)),
            number(spread.map(|s| s.max)),
            spread.map_or(String::new(), |s| s.n.to_string()),
        ]);
    }
    if !of_ratio.is_empty() {
        let interval = spread.and_then(|s| s.interval);
        let medians = spread.and_then(|s| s.of_medians);
        fields.extend([
            number(interval.map(|i| i.low)),
            number(interval.map(|i| i.high)),
            number(interval.map(|i| i.level)),
            number(medians.map(|m| m.ratio)),
            number(medians.map(|m| m.interval.low)),
            number(medians.map(|m| m.interval.high)),
        ]);
    }
    fields
}

/// Keeps a spreadsheet from taking a text for a formula: OWASP, "CSV Injection". Where fields end at semicolons, what follows
/// one begins a field.
pub(crate) fn inert(text: &str) -> String {
    let parts = text.split(';').map(|part| {
        // A quotation mark may be taken for the begin of a field.
        if part
            .trim_start_matches('"')
            .starts_with(['=', '+', '-', '@'])
        {
            format!("'{part}")
        } else {
            part.to_owned()
        }
    });
    parts.collect::<Vec<_>>().join(";")
}
