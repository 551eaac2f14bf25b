//! Markdown for GitHub: one table for each model.

use super::table;
use super::text::{Shown, command_line, plain};
use crate::columns::{Column, Kind, Row};
use crate::report::{Report, count};

/// Renders the page.
pub fn render(report: &Report) -> String {
    let mut page = format!("# bitbench: {}\n", escaped(&plain(&report.run.suite.name)));
    if report.simulated() {
        page.push_str(&format!("\n> **{}**\n", table::SIMULATED));
    }
    let verdicts = report.verdicts();
    push_list(&mut page, verdicts.iter().map(|v| escaped(&plain(v))));
    push_list(&mut page, report.notes().iter().map(|n| escaped(&plain(n))));

    for group in report.groups() {
        page.push_str(&format!("\n## {}\n", escaped(&table::heading(&group))));
        push_list(&mut page, table::origins(&group).iter().map(|o| escaped(o)));
        let rows = table::measured(&group.rows);
        if rows.is_empty() {
            page.push_str("\nNothing was measured.\n");
        } else {
            page.push('\n');
            push_table(&mut page, &rows);
        }
    }
    let mut below = vec![table::SPREAD.to_owned(), table::baseline_note(report)];
    below.extend(table::ternarized_note(report).map(ToOwned::to_owned));
    below.extend(table::energy_lines(report));
    below.extend(table::row_notes(report));
    push_list(&mut page, below.iter().map(|line| escaped(line)));

    let without = table::without_figures(report);
    if !without.is_empty() {
        page.push_str("\n## Without figures\n");
        let line = |w: &table::WithoutFigures| {
            format!(
                "{}: **{}** - {}",
                escaped(&w.names.join("; ")),
                w.word,
                escaped(&w.reason)
            )
        };
        push_list(&mut page, without.iter().map(line));
    }

    page.push_str("\n## Run\n");
    let run = &report.run;
    let mut facts = vec![
        format!("started {}", plain(&run.started_at)),
        format!("bitbench {}", plain(&run.bitbench)),
        format!(
            "suite {}, {}",
            plain(&run.suite.name),
            plain(&run.suite.hash)
        ),
        plain(&run.suite.about),
        format!("{} rounds, seed {}", report.rounds(), run.seed),
    ];
    let host = table::host(&run.host);
    facts.extend(
        host.into_iter()
            .map(|(label, value)| format!("{label}: {value}")),
    );
    push_list(&mut page, facts.iter().map(|fact| escaped(fact)));
    // Nothing is markup inside a fence, and no run of backticks in the command is as long as this one.
    let command = command_line(&run.command);
    let mut fence = "```".to_owned();
    while command.contains(&fence) {
        fence.push('`');
    }
    page.push_str(&format!("\n{fence}text\n{command}\n{fence}\n"));
    page
}

/// Renders what fits into another page, such as a README or a pull request: verdicts, the columns that matter most, what must
/// be known of them, and how to get them again. It has no headings.
pub fn excerpt(report: &Report) -> String {
    let mut page = String::new();
    if report.simulated() {
        page.push_str(&format!("> **{}**\n", table::SIMULATED));
    }
    let verdicts = report.verdicts();
    push_list(&mut page, verdicts.iter().map(|v| escaped(&plain(v))));
    for group in report.groups() {
        page.push_str(&format!("\n**{}**\n\n", escaped(&table::heading(&group))));
        let rows = table::measured(&group.rows);
        if rows.is_empty() {
            page.push_str("Nothing was measured.\n");
        } else {
            let columns = table::columns(&rows, |_| true);
            let of_excerpt = |column: &&'static Column| EXCERPT.contains(&column.id);
            push_columns(
                &mut page,
                &rows,
                &columns.into_iter().filter(of_excerpt).collect::<Vec<_>>(),
            );
        }
    }
    let run = &report.run;
    let mut below = report.notes();
    below.push(table::SPREAD.to_owned());
    below.push(table::baseline_note(report));
    below.extend(table::ternarized_note(report).map(ToOwned::to_owned));
    below.extend(table::energy_lines(report));
    below.extend(table::row_notes(report));
    let without = table::without_figures(report);
    below.extend(
        without
            .iter()
            .map(|w| format!("{}: {} - {}", w.names.join("; "), w.word, w.reason)),
    );
    let host = &run.host;
    below.push(format!(
        "{}, {}, {}; bitbench {}, suite {}, {}, seed {}",
        host.cpu.as_deref().unwrap_or("CPU not known"),
        count(host.physical_cores as usize, "core"),
        host.os.as_deref().unwrap_or("system not known"),
        run.bitbench,
        run.suite.name,
        run.started_at,
        run.seed
    ));
    push_list(&mut page, below.iter().map(|line| escaped(&plain(line))));
    // Not in a fence, where a marker of `splice` would be a line of its own.
    page.push_str(&format!(
        "- `bitbench` was called as <code>{}</code>\n",
        escaped(&command_line(&run.command))
    ));
    page.trim_start().to_owned()
}

/// The columns of an excerpt.
const EXCERPT: [&str; 15] = [
    "kernel",
    "head",
    "threads",
    "batch",
    "prefill_tokens_per_second",
    "prefill_speedup",
    "decode_tokens_per_second",
    "decode_speedup",
    "first_token_ms",
    "multiply_us",
    "multiply_speedup",
    "decode_joules_per_token",
    "energy_saved_percent",
    "weights_mb",
    "peak_mb",
];

fn push_list(page: &mut String, lines: impl Iterator<Item = String>) {
    let mut first = true;
    for line in lines {
        page.push_str(if first { "\n- " } else { "- " });
        page.push_str(&line);
        page.push('\n');
        first = false;
    }
}

fn push_table(page: &mut String, rows: &[&Row]) {
    push_columns(page, rows, &table::columns(rows, |_| true));
}

fn push_columns(page: &mut String, rows: &[&Row], columns: &[&'static Column]) {
    let titles = columns.iter().map(|column| escaped(&titled(column)));
    push_line(page, titles);
    let rules = columns.iter().map(|column| match column.kind {
        Kind::Text => "---".to_owned(),
        _ => "---:".to_owned(),
    });
    push_line(page, rules);
    for row in rows {
        let cells = columns.iter().map(|column| {
            let shown = Shown::of(&(column.cell)(row), column.kind);
            let best = table::best(column, rows).is_some_and(|best| best == shown.text);
            let line = escaped(&shown.line());
            if best { format!("**{line}**") } else { line }
        });
        push_line(page, cells);
    }
}

fn push_line(page: &mut String, cells: impl Iterator<Item = String>) {
    let cells: Vec<String> = cells.collect();
    page.push_str(&format!("| {} |\n", cells.join(" | ")));
}

fn titled(column: &Column) -> String {
    if column.unit.is_empty() {
        column.title.to_owned()
    } else {
        format!("{}, {}", column.title, column.unit)
    }
}

/// Text without meaning to Markdown or HTML.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '#' | '|' | '~' | '!' | '$' => {
                escaped.push('\\');
                escaped.push(c);
            }
            c => escaped.push(c),
        }
    }
    escaped
}
