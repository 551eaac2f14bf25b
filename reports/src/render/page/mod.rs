//! One self-contained page of one run or of several: no network, one small script that sorts tables, light and dark, for screen,
//! phone and paper.

mod beside;
mod best;
mod detail;
mod glance;
mod grid;
mod history;
mod joined;
mod papers;
mod plots;
mod policy;
mod validity;

pub(crate) use history::{history_page, history_svg};

use super::text::{command_line, plain};
use super::{RenderError, table};
use crate::columns::{COLUMNS, Section};
use crate::record::{Design, EnergySourceInfo};
use crate::report::Report;
use minijinja::value::Value;
use minijinja::{Environment, context};
use plots::{Drawing, PLOTS, Plot};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// Renders the page of some runs, in that order. Names, paths and reasons from the records are escaped by the template engine.
///
/// # Errors
/// See [`RenderError`].
pub(super) fn render(reports: &[Report]) -> Result<String, RenderError> {
    let mut environment = Environment::new();
    // The ending of a name turns on escaping for HTML.
    environment.add_template("page.html", include_str!("page.html"))?;
    environment.add_template("run.html", include_str!("run.html"))?;
    environment.add_template("tables.html", include_str!("tables.html"))?;
    let runs: Result<Vec<Value>, RenderError> = (0..)
        .zip(reports)
        .map(|(number, report)| run(number, report))
        .collect();
    let suites = reports.iter().map(|report| plain(&report.run.suite.name));
    let mut titles: Vec<String> = suites.collect();
    titles.dedup();
    let several = reports.len() > 1;
    let page = environment.get_template("page.html")?.render(context! {
        title => titles.join(", "),
        several => several,
        joined => several.then(|| Value::from(joined::joined(reports))),
        runs => runs?,
        glossary => glossary(),
        policy => policy::policy(STYLE, SCRIPT),
        // Both are part of this program.
        style => Value::from_safe_string(STYLE.to_owned()),
        script => Value::from_safe_string(SCRIPT.to_owned()),
    })?;
    Ok(page)
}

/// Everything that the template says of one run.
fn run(number: usize, report: &Report) -> Result<Value, RenderError> {
    let run = &report.run;
    let groups = report.groups();
    let any_energy = groups.iter().any(|group| {
        let rows = table::measured(&group.rows);
        detail::table_of(&rows, Section::Energy).is_some()
    });
    let plots: Result<Vec<Value>, RenderError> = PLOTS.iter().map(|p| plot(p, report)).collect();
    let values =
        |grids: Vec<grid::Grid>| grids.into_iter().map(Value::from).collect::<Vec<Value>>();
    Ok(context! {
        letter => joined::letter(number),
        suite => plain(&run.suite.name),
        about => plain(&run.suite.about),
        suite_hash => plain(&run.suite.hash),
        started_at => plain(&run.started_at),
        bitbench => plain(&run.bitbench),
        cpu => run.host.cpu.as_deref().map(plain),
        command => command_line(&run.command),
        resumed => resumed(report),
        seed => run.seed,
        mirrored => run.design == Some(Design::MirroredRows),
        rounds => report.rounds(),
        simulated => report.simulated().then_some(table::SIMULATED),
        verdicts => plain_lines(&report.verdicts()),
        cards => glance::cards(report).into_iter().map(Value::from).collect::<Vec<Value>>(),
        notes => plain_lines(&report.notes()),
        row_notes => table::row_notes(report),
        checks => validity::checks(report).into_iter().map(Value::from).collect::<Vec<Value>>(),
        unknown => validity::unknown(report),
        speed => values(papers::grids(report, &papers::SPEED)),
        best => values(best::grids(report)),
        energy => values(papers::grids(report, &papers::ENERGY)),
        memory => values(papers::grids(report, &papers::MEMORY)),
        beside => Value::from(beside::beside(report)),
        plots => plots?,
        any_energy => any_energy,
        energy_open => matches!(run.energy, EnergySourceInfo::Open { .. }),
        energy_lines => table::energy_lines(report),
        energy_domains => energy_domains(report),
        baseline => table::baseline_note(report),
        ternarized => table::ternarized_note(report),
        spread => table::SPREAD,
        without => without_figures(report),
        host => table::host(&run.host),
        fingerprint => run.host.fingerprint.as_deref().map(plain),
        engines => engines(report),
        groups => groups.iter().map(detail::group).collect::<Vec<Value>>(),
    })
}

fn plain_lines(lines: &[String]) -> Vec<String> {
    lines.iter().map(|line| plain(line)).collect()
}

fn plot(plot: &Plot, report: &Report) -> Result<Value, RenderError> {
    let drawn = (plot.draw)(report)?;
    let (drawings, absent) = match drawn {
        Ok(drawings) => (drawings, None),
        Err(reason) => (Vec::new(), Some(reason)),
    };
    Ok(context! {
        title => plot.title,
        about => plot.about,
        absent => absent,
        drawings => drawings.into_iter().map(drawing).collect::<Vec<Value>>(),
    })
}

fn drawing(drawing: Drawing) -> Value {
    context! {
        title => drawing.title,
        // Markup made by `plots::canvas`, which escapes what it is given.
        svg => Value::from_safe_string(drawing.svg),
        notes => drawing.notes,
        head => drawing.head,
        rows => drawing.rows,
    }
}

/// The commands that went on with the run.
fn resumed(report: &Report) -> Vec<String> {
    let commands = report.resumed.iter();
    commands
        .map(|resumed| command_line(&resumed.command))
        .collect()
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
