//! Every figure of every row: the tables of the list of columns, model by model.

use crate::columns::{Cell, Column, Kind, Row, Section, Spread};
use crate::render::table;
use crate::render::text::{Shown, decimals, number, plain};
use crate::report::Group;
use minijinja::context;
use minijinja::value::Value;

/// The tables of one model.
pub(super) fn group(group: &Group<'_>) -> Value {
    let rows = table::measured(&group.rows);
    context! {
        heading => table::heading(group),
        origins => table::origins(group),
        speed => table_of(&rows, Section::Speed),
        energy => table_of(&rows, Section::Energy),
        memory => table_of(&rows, Section::Memory),
    }
}

/// The columns that name the job and those of one section; nothing when the section has nothing to show.
pub(super) fn table_of(rows: &[&Row], section: Section) -> Option<Value> {
    let columns = table::columns(rows, |s| s == Section::Job || s == section);
    if !columns.iter().any(|column| column.section == section) {
        return None;
    }
    let heads = columns.iter().map(|column| {
        context! {
            title => column.title,
            unit => column.unit,
            help => column.help,
            numeric => column.kind != Kind::Text,
        }
    });
    let lines = rows.iter().map(|row| {
        let cells = columns.iter().map(|column| cell(column, row, rows));
        Value::from(cells.collect::<Vec<Value>>())
    });
    Some(context! {
        columns => heads.collect::<Vec<Value>>(),
        rows => lines.collect::<Vec<Value>>(),
    })
}

fn cell(column: &Column, row: &Row, rows: &[&Row]) -> Value {
    let cell = (column.cell)(row);
    let shown = Shown::of(&cell, column.kind);
    // Shown when the pointer rests on the cell.
    let tip = match &cell {
        Cell::Number {
            spread: Some(spread),
            ..
        } => tip(spread, column),
        Cell::Missing(reason) => plain(reason),
        _ => String::new(),
    };
    let sort = match &cell {
        Cell::Number { value, .. } => Some(*value),
        _ => None,
    };
    context! {
        tip => tip,
        numeric => column.kind != Kind::Text,
        best => table::best(column, rows).is_some_and(|best| best == shown.text),
        missing => matches!(cell, Cell::Missing(_)),
        text => shown.text,
        spread => shown.spread,
        mark => shown.mark,
        sort => sort,
    }
}

/// The rounds of a figure, and what else is known of a ratio.
fn tip(spread: &Spread, column: &Column) -> String {
    let shown = |value: f64| number(value, decimals(column.kind));
    let mut tip = format!(
        "{} to {} {}, n = {}",
        shown(spread.min),
        shown(spread.max),
        column.unit,
        spread.n
    );
    if let Some(interval) = spread.interval {
        tip.push_str(&format!(
            "; exact signed-rank interval of {:.1} %: {} to {}",
            interval.level * 100.0,
            shown(interval.low),
            shown(interval.high)
        ));
    }
    if let Some(medians) = spread.of_medians {
        tip.push_str(&format!(
            "; from the medians of both rows: {} (bootstrap {} to {})",
            shown(medians.ratio),
            shown(medians.interval.low),
            shown(medians.interval.high)
        ));
    }
    tip
}
