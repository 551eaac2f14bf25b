//! All figures: the tables of the list of columns.

use super::super::traced::Numbers;
use super::page::Table;
use super::run::{Run, column_of_help, decimals, heading, range, spread};
use super::says::Says;
use super::{Expected, Sort, Tip};
use bitbench_reports::columns::{Better, Column, Kind};

pub(super) fn table(run: &Run, table: &Table, context: &str) -> Vec<Vec<Expected>> {
    let jobs = run.measured(|job| heading(job) == table.heading);
    let columns: Vec<&Column> = table.head[0]
        .iter()
        .map(|head| column_of_help(&head.tip))
        .collect();
    let mut rows: Vec<Vec<Expected>> = Vec::new();
    for job in &jobs {
        let mut row = Vec::new();
        for column in &columns {
            let numbers = match column.kind {
                Kind::Text => {
                    row.push(Expected {
                        tip: Tip::Any,
                        ..Expected::text(Says::anything())
                    });
                    continue;
                }
                Kind::Fact { .. } => run.traced.fact(job, column.id),
                Kind::Measured { .. } => run.traced.figure(job, column.id),
                Kind::Ratio { .. } => run.traced.ratio(job, column.id),
            };
            row.push(figure(column, &numbers, run.mark(job, column.id)));
        }
        rows.push(row);
    }
    for (number, column) in columns.iter().enumerate() {
        bold(number, column, &rows, table, run, context);
    }
    rows
}

fn figure(column: &Column, numbers: &Numbers, mark: Option<&str>) -> Expected {
    let Some(value) = numbers.get("").copied() else {
        return Expected {
            tip: Tip::Words,
            ..Expected::words("-")
        };
    };
    let most = decimals(column);
    let mut says = Says::number(value, most);
    let of_itself = matches!(column.kind, Kind::Ratio { .. }) && !numbers.contains_key("n");
    let spread = match column.kind {
        Kind::Measured {
            spread_shown: true, ..
        } => spread(numbers),
        Kind::Ratio { .. } if !of_itself => {
            range(numbers, most).map(|range| Says::words("(").and(range).and_words(")"))
        }
        _ => None,
    };
    if let Some(spread) = spread {
        says = says.and_words(" ").and(spread);
    }
    if let Some(mark) = mark.or(of_itself.then_some("baseline")) {
        says = says.and_words(format!(" ({mark})"));
    }
    Expected {
        says,
        sort: Sort::Value(value),
        tip: match numbers.get("n") {
            Some(rounds) => Tip::Says(tip(column, numbers, *rounds)),
            None => Tip::Nothing,
        },
    }
}

fn tip(column: &Column, numbers: &Numbers, rounds: f64) -> Says {
    let shown = |what: &str| Says::number(numbers[what], decimals(column));
    let between = |low: &str, high: &str| shown(low).and_words(" to ").and(shown(high));
    let mut tip = between("min", "max")
        .and_words(format!(" {}, n = ", column.unit))
        .and(Says::fixed(rounds, 0));
    if let Some(level) = numbers.get("level") {
        tip = tip
            .and_words("; exact signed-rank interval of ")
            .and(Says::fixed(level * 100.0, 1))
            .and_words(" %: ")
            .and(between("low", "high"));
    }
    if numbers.contains_key("of_medians") {
        tip = tip
            .and_words("; from the medians of both rows: ")
            .and(shown("of_medians"))
            .and_words(" (bootstrap ")
            .and(between("of_medians_low", "of_medians_high"))
            .and_words(")");
    }
    tip
}

/// The best of a column is in bold, where one direction is good and there are two at least. Nothing simulated is.
fn bold(
    number: usize,
    column: &Column,
    rows: &[Vec<Expected>],
    table: &Table,
    run: &Run,
    context: &str,
) {
    let value = |row: &Vec<Expected>| match row[number].sort {
        Sort::Value(value) => Some(value),
        _ => None,
    };
    let simulated = column.kind != Kind::Text
        && run
            .jobs
            .iter()
            .any(|job| run.mark(job, column.id) == Some("simulated"));
    let values: Vec<f64> = rows.iter().filter_map(value).collect();
    let best = match column.better {
        _ if simulated || values.len() < 2 => None,
        Better::Higher => values.iter().copied().reduce(f64::max),
        Better::Lower => values.iter().copied().reduce(f64::min),
        Better::Neither => None,
    };
    let shown = rows.iter().zip(&table.rows).find_map(|(row, cells)| {
        let own = value(row)?;
        (Some(own) == best).then(|| cells[number].value.clone())
    });
    for cells in &table.rows {
        let expected = shown.as_ref() == Some(&cells[number].value);
        // The first cell of a line is a head.
        if number > 0 {
            let own = cells[number].is("best");
            assert_eq!(
                own, expected,
                "{context}: {} of {}",
                column.id, cells[0].text
            );
        }
    }
}
