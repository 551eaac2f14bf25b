//! One self-contained page: no network, no script, light and dark, for screen, phone and paper.

use super::text::{Shown, command_line, decimals, number, plain};
use super::{RenderError, chart, table};
use crate::columns::{COLUMNS, Cell, Column, Kind, Row, Section, Spread};
use crate::record::{Design, EnergySourceInfo};
use crate::report::{Group, Report};
use minijinja::value::Value;
use minijinja::{Environment, context};

/// Renders the page. Names, paths and reasons from the record are escaped by the template engine.
///
/// # Errors
/// See [`RenderError`].
pub fn render(report: &Report) -> Result<String, RenderError> {
    let mut environment = Environment::new();
    // The ending of the name turns on escaping for HTML.
    environment.add_template("report.html", include_str!("report.html"))?;
    let groups: Result<Vec<Value>, RenderError> = report.groups().iter().map(group).collect();
    let any_energy = report.groups().iter().any(|group| {
        let rows = table::measured(&group.rows);
        table_of(&rows, Section::Energy).is_some()
    });
    let run = &report.run;
    let page = environment.get_template("report.html")?.render(context! {
        suite => plain(&run.suite.name),
        about => plain(&run.suite.about),
        suite_hash => plain(&run.suite.hash),
        started_at => plain(&run.started_at),
        bitbench => plain(&run.bitbench),
        command => command_line(&run.command),
        seed => run.seed,
        mirrored => run.design == Some(Design::MirroredRows),
        rounds => report.rounds(),
        simulated => report.simulated().then_some(table::SIMULATED),
        verdicts => plain_lines(&report.verdicts()),
        notes => plain_lines(&report.notes()),
        row_notes => table::row_notes(report),
        any_energy => any_energy,
        energy_open => matches!(run.energy, EnergySourceInfo::Open { .. }),
        energy_lines => table::energy_lines(report),
        energy_domains => energy_domains(report),
        baseline => table::baseline_note(report),
        ternarized => table::ternarized_note(report),
        spread => table::SPREAD,
        without => without_figures(report),
        host => table::host(&run.host),
        engines => engines(report),
        glossary => glossary(),
        groups => groups?,
    })?;
    Ok(page)
}

fn plain_lines(lines: &[String]) -> Vec<String> {
    lines.iter().map(|line| plain(line)).collect()
}

/// The tables and the chart of one model.
fn group(group: &Group<'_>) -> Result<Value, RenderError> {
    let rows = table::measured(&group.rows);
    Ok(context! {
        heading => table::heading(group),
        origins => table::origins(group),
        // The chart is markup made here; the drawing library escapes the labels.
        chart => chart::decode_speed(group)?.map(Value::from_safe_string),
        speed => table_of(&rows, Section::Speed),
        energy => table_of(&rows, Section::Energy),
        memory => table_of(&rows, Section::Memory),
    })
}

/// The columns that name the job and those of one section; nothing when the section has nothing to show.
fn table_of(rows: &[&Row], section: Section) -> Option<Value> {
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
    context! {
        tip => tip,
        numeric => column.kind != Kind::Text,
        best => table::best(column, rows).is_some_and(|best| best == shown.text),
        missing => matches!(cell, Cell::Missing(_)),
        text => shown.text,
        spread => shown.spread,
        mark => shown.mark,
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

fn without_figures(report: &Report) -> Vec<Value> {
    let views = table::without_figures(report).into_iter().map(|job| {
        context! { names => job.names.join("; "), word => job.word, reason => job.reason }
    });
    views.collect()
}

/// Every domain of the energy source: its name, whether it counts towards the total, and where it is read.
fn energy_domains(report: &Report) -> Vec<Value> {
    let EnergySourceInfo::Open { domains, .. } = &report.run.energy else {
        return Vec::new();
    };
    let views = domains.iter().map(|domain| {
        context! {
            name => plain(&domain.name),
            counted => domain.counted,
            origin => plain(&domain.origin),
        }
    });
    views.collect()
}

/// The programs that computed, each once.
fn engines(report: &Report) -> Vec<String> {
    let mut engines: Vec<String> = Vec::new();
    for row in &report.rows {
        let engine = &row.summary.job.engine;
        let engine = plain(&format!("{} {}", engine.name, engine.version));
        if !engines.contains(&engine) {
            engines.push(engine);
        }
    }
    engines
}

fn glossary() -> Vec<Value> {
    let shown = COLUMNS.iter().filter(|column| column.rank.is_some());
    let terms = shown.map(|column| {
        context! {
            title => column.title,
            unit => column.unit,
            id => column.id,
            help => column.help,
        }
    });
    terms.collect()
}
