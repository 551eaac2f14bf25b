//! Plain text for a terminal.

use super::text::{Shown, plain, wrap};
use super::{bars, table};
use crate::columns::{COLUMNS, Column, Kind, Row, Section};
use crate::disturbance::DISTURBED;
use crate::report::Report;
use comfy_table::{Attribute, CellAlignment, Color, Table};

/// Spaces between columns.
const GAP: u16 = 2;

/// A name longer than this is cut, so that one name cannot push the figures off the line.
const LONGEST_NAME: usize = 26;

/// Lines shorter than this show ratios without what holds them: a column of figures says more.
const ROOM_FOR_RANGES: usize = 180;

/// Stands behind the kernel of a ternarized row, and before the line that explains it.
const TERNARIZED: &str = " *";

/// Renders the report for a terminal `width` characters wide, in colour when asked to.
pub fn render(report: &Report, width: usize, colour: bool) -> String {
    let mut page = Page {
        text: String::new(),
        width: width.max(20),
        colour,
    };
    if report.simulated() {
        page.paragraph(table::SIMULATED, "", Some(Color::Red));
    }
    let all: Vec<&Row> = report.rows.iter().collect();
    let measured = table::measured(&all);
    let leads = table::leading(report);
    // A network and a layer alone have other figures, so tables of either kind have columns of their own.
    let of_kind = |layer: bool| {
        let rows = measured.iter().copied();
        let rows: Vec<&Row> = rows
            .filter(|row| row.summary.job.layer.is_some() == layer)
            .collect();
        let wanted = table::columns(&rows, |_| true);
        let shown = fitting(&wanted, &rows, page.width, leads);
        (wanted, shown)
    };
    let (networks, layers) = (of_kind(false), of_kind(true));
    for group in report.groups() {
        page.blank();
        page.paragraph(&table::heading(&group), "", Some(Color::Cyan));
        for origin in table::origins(&group) {
            page.paragraph(&origin, "  ", None);
        }
        let rows = table::measured(&group.rows);
        if rows.is_empty() {
            page.paragraph("nothing was measured", "  ", None);
        } else {
            page.text.push('\n');
            let (_, columns) = if group.layer { &layers } else { &networks };
            page.table(columns, &rows);
            page.bars(&bars::bars(&group, page.width));
        }
    }

    let without = table::without_figures(report);
    if !without.is_empty() {
        page.blank();
        page.paragraph("without figures:", "", None);
        for job in without {
            let colour = (job.word == "failed").then_some(Color::Red);
            page.paragraph(
                &format!("{}: {} - {}", job.names.join("; "), job.word, job.reason),
                "  ",
                colour,
            );
        }
    }

    page.blank();
    for note in table::row_notes(report) {
        page.paragraph(&note, "", None);
    }
    if !measured.is_empty() {
        page.paragraph(table::SPREAD, "", None);
        page.paragraph(&table::baseline_note(report), "", None);
    }
    if let Some(note) = table::ternarized_note(report) {
        let note = format!("{} {note}", TERNARIZED.trim());
        page.paragraph(&note, "", Some(Color::Yellow));
    }
    for line in table::energy_lines(report) {
        page.paragraph(&line, "", None);
    }
    let mut left_out: Vec<&str> = Vec::new();
    for (wanted, shown) in [&networks, &layers] {
        for column in wanted {
            let is_shown = shown.iter().any(|shown| shown.id == column.id);
            if !is_shown && !left_out.contains(&column.id) {
                left_out.push(column.id);
            }
        }
    }
    if !left_out.is_empty() {
        let list = left_out.join(", ");
        page.paragraph(&format!("no room here, in results.csv: {list}"), "", None);
    }
    for note in report.notes() {
        page.paragraph(&plain(&note), "", Some(Color::Yellow));
    }
    let verdicts = report.verdicts();
    if !verdicts.is_empty() {
        page.blank();
        for verdict in verdicts {
            page.paragraph(&plain(&verdict), "", Some(Color::Green));
        }
    }
    page.text.trim_start_matches('\n').to_owned()
}

/// The text so far.
struct Page {
    text: String,
    width: usize,
    colour: bool,
}

impl Page {
    fn blank(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with("\n\n") {
            self.text.push('\n');
        }
    }

    /// A text broken into lines; those after the first are indented by two more.
    fn paragraph(&mut self, text: &str, indent: &str, colour: Option<Color>) {
        let (on, off) = match colour.filter(|_| self.colour) {
            Some(Color::Red) => ("\u{1b}[1;31m", "\u{1b}[0m"),
            Some(Color::Green) => ("\u{1b}[1;32m", "\u{1b}[0m"),
            Some(Color::Yellow) => ("\u{1b}[33m", "\u{1b}[0m"),
            Some(_) => ("\u{1b}[1m", "\u{1b}[0m"),
            None => ("", ""),
        };
        let room = self.width.saturating_sub(indent.len() + 2).max(10);
        for (number, line) in wrap(text, room).iter().enumerate() {
            let hang = if number == 0 { "" } else { "  " };
            self.text
                .push_str(&format!("{indent}{hang}{on}{line}{off}\n"));
        }
    }

    /// Lines of bars, which are as wide as they may be.
    fn bars(&mut self, lines: &[String]) {
        if !lines.is_empty() {
            self.text.push('\n');
        }
        let (on, off) = if self.colour {
            ("\u{1b}[36m", "\u{1b}[0m")
        } else {
            ("", "")
        };
        for (number, line) in lines.iter().enumerate() {
            let (on, off) = if number == 0 { ("", "") } else { (on, off) };
            self.text.push_str(&format!("{on}{line}{off}\n"));
        }
    }

    fn table(&mut self, columns: &[&Column], rows: &[&Row]) {
        let mut table = Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        if self.colour {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        let width = self.width;
        let headers: Vec<Vec<String>> = columns.iter().map(|c| header(c, rows, width)).collect();
        let tallest = headers.iter().map(Vec::len).max().unwrap_or(0);
        table.set_header(headers.iter().map(|lines| {
            // Short headers sit on the line above the figures.
            format!("{}{}", "\n".repeat(tallest - lines.len()), lines.join("\n"))
        }));
        for row in rows {
            table.add_row(columns.iter().map(|column| {
                let shown = Shown::of(&(column.cell)(row), column.kind);
                let cell = comfy_table::Cell::new(cut(&shown, column, width));
                if table::best(column, rows).is_some_and(|best| best == shown.text) {
                    cell.add_attribute(Attribute::Bold)
                } else {
                    cell
                }
            }));
        }
        for (column, drawn) in columns.iter().zip(table.column_iter_mut()) {
            drawn.set_padding((0, GAP));
            if column.kind != Kind::Text {
                drawn.set_cell_alignment(CellAlignment::Right);
            }
        }
        self.text.push_str(&table.trim_fmt());
        self.text.push('\n');
    }
}

/// The columns that fit into `width`: names first, then those that the suite is about, then the others. Among these they are
/// taken by their rank and given in their order.
fn fitting(
    wanted: &[&'static Column],
    rows: &[&Row],
    width: usize,
    leads: Section,
) -> Vec<&'static Column> {
    let part = |column: &Column| match column.section {
        Section::Job => 0,
        // What a layer is measured for, before what it is.
        _ if column.id.starts_with("multiply_") => 1,
        // Speed stands where the list has it unless something else leads.
        section if section == leads && leads != Section::Speed => 1,
        _ => 2,
    };
    let mut by_rank = wanted.to_vec();
    by_rank.sort_by_key(|column| (part(column), column.rank));
    let mut used = 0;
    let mut taken = Vec::new();
    for column in by_rank {
        let needed = column_width(column, rows, width);
        // The kernel and one figure are shown at any width.
        if used + needed <= width || taken.len() < 2 {
            used += needed + usize::from(GAP);
            taken.push(column.id);
        }
    }
    let mut fitting: Vec<&Column> = COLUMNS
        .iter()
        .copied()
        .filter(|column| taken.contains(&column.id))
        .collect();
    fitting.sort_by_key(|column| part(column));
    fitting
}

fn column_width(column: &Column, rows: &[&Row], width: usize) -> usize {
    let lines = header(column, rows, width);
    let headers = lines.iter().map(|line| line.chars().count());
    headers
        .max()
        .unwrap_or(0)
        .max(widest_cell(column, rows, width))
}

fn widest_cell(column: &Column, rows: &[&Row], width: usize) -> usize {
    let shown = rows
        .iter()
        .map(|row| cut(&Shown::of(&(column.cell)(row), column.kind), column, width));
    shown.map(|text| text.chars().count()).max().unwrap_or(0)
}

/// The title broken to about the width of the figures below it, then the unit.
fn header(column: &Column, rows: &[&Row], width: usize) -> Vec<String> {
    let words = column.title.split(' ');
    let longest = words.map(|word| word.chars().count()).max().unwrap_or(0);
    let mut lines = wrap(column.title, longest.max(widest_cell(column, rows, width)));
    if !column.unit.is_empty() {
        lines.push(column.unit.to_owned());
    }
    lines
}

/// One line of a cell: long names cut, marks shortened to what the lines below the table explain.
fn cut(shown: &Shown, column: &Column, width: usize) -> String {
    let mut line = shown.text.clone();
    if line.chars().count() > LONGEST_NAME {
        line = line.chars().take(LONGEST_NAME - 1).collect();
        line.push('…');
    }
    let ratio = matches!(column.kind, Kind::Ratio { .. });
    if let Some(spread) = shown
        .spread
        .as_ref()
        .filter(|_| !ratio || width >= ROOM_FOR_RANGES)
    {
        line.push_str(&format!(" {spread}"));
    }
    match shown.mark {
        None => {}
        Some("baseline") => line.push_str(" base"),
        Some("ternarized") => line.push_str(TERNARIZED),
        Some("simulated") => line.push_str(" sim"),
        Some(DISTURBED) => line.push_str(" !"),
        Some(other) => line.push_str(&format!(" ({other})")),
    }
    line
}
