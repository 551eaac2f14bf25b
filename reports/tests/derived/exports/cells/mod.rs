//! Every cell of every table of the page, derived from the data base a second time: what it says, what it is sorted by, and what
//! stands behind it when the pointer rests on it. A table that nobody says how to derive fails the test, and so does a number in
//! the place of words.

mod beside;
mod figures;
mod joined;
mod page;
mod plots;
mod quoted;
mod run;
mod says;
mod validity;

use super::stored::{STORED, Stored};
use bitbench_reports::export::Format;
use bitbench_reports::record::{FILE_NAME, Records};
use bitbench_reports::render::html;
use bitbench_reports::report::Report;
use page::{Table, tables};
use run::Run;
use says::Says;
use std::collections::BTreeMap;

/// What a cell must be.
struct Expected {
    says: Says,
    sort: Sort,
    tip: Tip,
}

/// What a cell is sorted by.
enum Sort {
    Nothing,
    Value(f64),
    /// What it says.
    Text,
}

/// What is shown when the pointer rests on a cell.
enum Tip {
    Nothing,
    Says(Says),
    /// Why there is no figure, or a remark.
    Words,
    /// Nothing, or a remark.
    Any,
}

impl Expected {
    /// A cell that is not sorted by a number.
    fn text(says: Says) -> Expected {
        Expected {
            says,
            sort: Sort::Nothing,
            tip: Tip::Nothing,
        }
    }

    fn words(words: impl Into<String>) -> Expected {
        Expected::text(Says::words(words))
    }

    fn figure(value: f64, says: Says) -> Expected {
        Expected {
            says,
            sort: Sort::Value(value),
            tip: Tip::Nothing,
        }
    }

    /// No figure: what happened in a word, and the number of a note that says why.
    fn missing(word: &str) -> Expected {
        Expected {
            says: Says::words(format!("{word} ")).and(Says::note()),
            sort: Sort::Nothing,
            tip: Tip::Words,
        }
    }
}

/// Every cell of a table must be what is expected of it; gives how many numbers were derived.
fn hold(table: &Table, expected: &[Vec<Expected>], context: &str) -> usize {
    let context = format!(
        "{context}: {}: {}: {}",
        table.section, table.heading, table.caption
    );
    assert_eq!(table.rows.len(), expected.len(), "rows of {context}");
    let mut derived = 0;
    for (row, expected) in table.rows.iter().zip(expected) {
        let context = format!("{context}: {}", row[0].text);
        assert_eq!(row.len(), expected.len(), "cells of {context}");
        for (number, (cell, expected)) in row.iter().zip(expected).enumerate() {
            let context = format!("{context}, cell {number}");
            assert_eq!(expected.says.differs(&cell.text), None, "{context}");
            derived += expected.says.derived();
            match (&expected.sort, &cell.sort) {
                (Sort::Nothing, None) => {}
                (Sort::Text, Some(sort)) => assert_eq!(*sort, cell.text, "{context}"),
                (Sort::Value(value), Some(sort)) => {
                    let sort: f64 = sort.parse().unwrap();
                    let far = (sort - value).abs();
                    assert!(
                        far <= value.abs() * 1e-9 + 1e-9,
                        "{context}: sorted by {sort}, not {value}"
                    );
                }
                (_, sort) => panic!("{context}: sorted by {sort:?}"),
            }
            match &expected.tip {
                Tip::Nothing => assert_eq!(cell.tip, "", "{context}"),
                Tip::Says(says) => {
                    assert_eq!(says.differs(&cell.tip), None, "{context}");
                    derived += says.derived();
                }
                Tip::Words => assert!(!cell.tip.is_empty(), "{context}"),
                Tip::Any => {}
            }
        }
    }
    derived
}

/// Every table of a page of one run; how many numbers of each section were derived.
fn trace(page: &str, run: &Run, context: &str) -> BTreeMap<String, usize> {
    let mut derived: BTreeMap<String, usize> = BTreeMap::new();
    for table in tables(page) {
        let expected = match table.section.as_str() {
            "Speed" | "Energy" | "Memory" => quoted::table(run, &table),
            "Validity" => {
                let numbers = validity::hold(run, &table, context);
                *derived.entry("Validity".to_owned()).or_default() += numbers;
                continue;
            }
            "Plots" => plots::table(run, &table),
            "Beside published figures" => beside::table(run, &table),
            "All figures" => figures::table(run, &table, context),
            other => panic!("{context}: nobody says how the tables of {other} are derived"),
        };
        let name = match table.section.as_str() {
            "Plots" => table.heading.clone(),
            "Speed" if !table.heading.is_empty() => table.heading.clone(),
            "Beside published figures" => table.caption.clone(),
            section => section.to_owned(),
        };
        *derived.entry(name).or_default() += hold(&table, &expected, context);
    }
    derived
}

fn made(records: &Records) -> (String, Run) {
    let report = Report::new(records);
    let data_base = (Format::find("sqlite").unwrap().make)(records, &report).unwrap();
    (html::render(&report).unwrap(), Run::new(&data_base))
}

/// A stored run with its first model under the name of another, which others published more of.
fn renamed(stored: &Stored, name: &str) -> Records {
    let folder = tempfile::tempdir().unwrap();
    let text = stored.text().replace("700M", name);
    std::fs::write(folder.path().join(FILE_NAME), text).unwrap();
    Records::read(folder.path()).unwrap()
}

#[test]
fn every_cell_of_the_page_follows_from_the_record() {
    let mut derived: BTreeMap<String, usize> = BTreeMap::new();
    let mut pages: Vec<(String, Records)> = STORED
        .iter()
        .map(|stored| (stored.folder.to_owned(), stored.read()))
        .collect();
    for (index, name) in [(0, "2B4T"), (1, "2B4T"), (0, "3.8B")] {
        let stored = &STORED[index];
        let context = format!("{} with {name}", stored.folder);
        pages.push((context, renamed(stored, name)));
    }
    for (context, records) in &pages {
        let (page, run) = made(records);
        for (name, numbers) in trace(&page, &run, context) {
            *derived.entry(name).or_default() += numbers;
        }
    }
    println!("{} numbers: {derived:#?}", derived.values().sum::<usize>());
    for name in [
        "Speed",
        "Best number of threads",
        "Energy",
        "Memory",
        "Validity",
        "Thread scaling",
        "Roofline",
        "Distribution of the samples",
        "Power and clock over time",
        "Decode, tok/s: best number of threads",
        "Decode, tok/s: 2 threads",
        "Decode by kernel, tok/s: best number of threads",
        "Decode energy, J/token",
        "BitNet b1.58 2B4T: latency and memory",
        "All figures",
    ] {
        let numbers = derived.get(name).copied().unwrap_or(0);
        assert!(numbers > 0, "no number of {name} was derived");
    }
}

/// The answer at the top about a layer alone.
#[test]
fn the_energy_of_a_multiplication_follows_from_the_record() {
    let (page, run) = made(&STORED[4].read());
    let ternary = run.jobs.iter().find(|job| !job.half).unwrap();
    let energy = run.median(ternary, "multiply_uj").unwrap();
    let (before, _) = page.split_once(" uJ</strong>").unwrap();
    let shown = before.rsplit("<strong>").next().unwrap();
    assert_eq!(Says::number(energy, 1).differs(shown), None);
}

/// A number of every table with a digit that is wrong.
#[test]
fn a_wrong_number_in_any_table_is_seen() {
    let (page, run) = made(&STORED[0].read());
    let mut seen = 0;
    let mut sections: BTreeMap<String, usize> = BTreeMap::new();
    for (index, table) in tables(&page).iter().enumerate() {
        let (mut cell, mut broken) = (None, tables(&page));
        // The last cell of the first row that has a digit after a point.
        for (at, own) in table.rows.first().unwrap().iter().enumerate() {
            if own.text.contains('.') && own.text.starts_with(|c: char| c.is_ascii_digit()) {
                cell = Some(at);
            }
        }
        let Some(at) = cell else {
            continue;
        };
        let text = &mut broken[index].rows[0][at].text;
        let point = text.find('.').unwrap() + 1;
        let digit = text.as_bytes()[point];
        let other = if digit == b'5' { "1" } else { "5" };
        text.replace_range(point..=point, other);
        let table = &broken[index];
        let expected = match table.section.as_str() {
            "Speed" | "Energy" | "Memory" => quoted::table(&run, table),
            "Plots" => plots::table(&run, table),
            "Beside published figures" => beside::table(&run, table),
            "All figures" => figures::table(&run, table, "broken"),
            _ => continue,
        };
        let differs = expected[0][at].says.differs(&table.rows[0][at].text);
        assert!(
            differs.is_some(),
            "{}: {}",
            table.section,
            table.rows[0][at].text
        );
        seen += 1;
        *sections.entry(table.section.clone()).or_default() += 1;
    }
    assert!(seen > 30 && sections.len() == 6, "{seen}: {sections:?}");
}
