//! `bitbench explain`: what a column means, and how its figures come from the record.

use super::{Code, CommandError};
use anyhow::anyhow;
use bitbench_reports::columns::{Better, COLUMNS, Column, Kind, Section};
use bitbench_reports::render;

/// Arguments of `bitbench explain`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  bitbench explain                             every column in a line
  bitbench explain decode_tokens_per_second")]
pub struct Arguments {
    /// Column of results.csv [default: list all]
    column: Option<String>,
}

/// Explains a column, or lists all.
///
/// # Errors
/// See [`CommandError`].
pub fn explain(arguments: &Arguments) -> Result<Code, CommandError> {
    match &arguments.column {
        None => list(),
        Some(name) => one(find(name)?),
    }
    Ok(Code::Done)
}

/// The column of this name, or that one of its fields (`_mad`, `_low`) belongs to.
fn find(name: &str) -> Result<&'static Column, CommandError> {
    let owner = |column: &&Column| {
        let rest = name.strip_prefix(column.id);
        let rest = rest.and_then(|rest| rest.strip_prefix('_'));
        rest.is_some_and(|what| fields(column.kind).iter().any(|field| field.0 == what))
    };
    let exact = Column::find(name);
    let found = exact.or_else(|| COLUMNS.iter().copied().find(owner));
    found.ok_or_else(|| {
        let word = name.to_lowercase();
        let near = COLUMNS.iter().filter(|column| {
            !word.is_empty() && (column.id.contains(&word) || column.title.contains(&word))
        });
        let near: Vec<&str> = near.map(|column| column.id).collect();
        let hint = if near.is_empty() {
            "`bitbench explain` lists all".to_owned()
        } else {
            format!("there are: {}", near.join(", "))
        };
        CommandError::usage(anyhow!("there is no column `{name}`; {hint}"))
    })
}

fn list() {
    let width = super::run::output_width();
    for (section, heading) in [
        (Section::Job, "Which job"),
        (Section::Speed, "Speed"),
        (Section::Energy, "Energy"),
        (Section::Memory, "Memory"),
    ] {
        say!("{heading}");
        for column in COLUMNS.iter().filter(|column| column.section == section) {
            say!("  {}{}", column.id, in_unit(column));
            print_wrapped("      ", column.help, width);
        }
    }
}

fn one(column: &Column) {
    let width = super::run::output_width();
    say!("{}: {}{}", column.id, column.title, in_unit(column));
    print_wrapped("  ", column.help, width);
    let better = match column.better {
        Better::Higher => "Higher is better.",
        Better::Lower => "Lower is better.",
        Better::Neither => "",
    };
    if !better.is_empty() {
        say!("  {better}");
    }
    say!("How it follows from records.jsonl");
    print_wrapped("  ", column.derived, width);
    let over_rounds = match column.kind {
        Kind::Text | Kind::Fact { .. } => "It does not vary from round to round.",
        Kind::Measured { .. } => {
            "Over rounds, one number for each process: the median (`summary.rs`)."
        }
        Kind::Ratio { .. } => {
            "Over rounds: the Hodges-Lehmann estimate of the logarithms of the ratios (`stats/hodges_lehmann.rs`)."
        }
    };
    print_wrapped("  ", over_rounds, width);
    let file = format!(
        "Files are those of reports/src; this column is `columns/{}.rs`.",
        column.id
    );
    print_wrapped("  ", &file, width);
    let fields = fields(column.kind);
    if !fields.is_empty() {
        say!("Beside it in results.csv");
    }
    for (what, meaning) in fields {
        print_wrapped("  ", &format!("{}_{what}: {meaning}", column.id), width);
    }
}

/// The fields that stand behind a column in results.csv.
fn fields(kind: Kind) -> Vec<(&'static str, &'static str)> {
    render::csv::fields_beside(kind)
}

fn in_unit(column: &Column) -> String {
    if column.unit.is_empty() {
        String::new()
    } else {
        format!(", {}", column.unit)
    }
}

fn print_wrapped(indent: &str, text: &str, width: usize) {
    for line in render::wrap(text, width.saturating_sub(indent.len())) {
        say!("{indent}{line}");
    }
}
