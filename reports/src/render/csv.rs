//! Tidy CSV: one line for each job of the plan, those without figures included.

use super::RenderError;
use super::text::plain;
use crate::columns::{COLUMNS, Cell, Column, Kind, Row};
use crate::report::Report;

/// Renders every column; a measured one is followed by `_mad`, `_min`, `_max` and `_n`. What is not known is an empty field.
///
/// # Errors
/// When the encoder fails.
pub fn render(report: &Report) -> Result<String, RenderError> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(COLUMNS.iter().flat_map(|column| header(column)))?;
    for row in &report.rows {
        writer.write_record(COLUMNS.iter().flat_map(|column| fields(column, row)))?;
    }
    let bytes = writer
        .into_inner()
        .map_err(|e| csv::Error::from(e.into_error()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn header(column: &Column) -> Vec<String> {
    let mut names = vec![column.id.to_owned()];
    if let Kind::Measured { .. } = column.kind {
        names.extend(["mad", "min", "max", "n"].map(|what| format!("{}_{what}", column.id)));
    }
    names
}

fn fields(column: &Column, row: &Row) -> Vec<String> {
    let cell = (column.cell)(row);
    let mut fields = vec![match &cell {
        Cell::Text { text, .. } => inert(&plain(text)),
        Cell::Number { value, .. } => value.to_string(),
        Cell::Missing(_) => String::new(),
    }];
    if let Kind::Measured { .. } = column.kind {
        match cell {
            Cell::Number {
                spread: Some(spread),
                ..
            } => fields.extend([
                spread.mad.map_or(String::new(), |mad| mad.to_string()),
                spread.min.to_string(),
                spread.max.to_string(),
                spread.n.to_string(),
            ]),
            _ => fields.extend(std::array::from_fn::<String, 4, _>(|_| String::new())),
        }
    }
    fields
}

/// Keeps a spreadsheet from taking a text for a formula: OWASP, "CSV Injection".
pub(crate) fn inert(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@']) {
        format!("'{text}")
    } else {
        text.to_owned()
    }
}
