//! Every format of the stored runs. The page has tests of its own, and a picture.

use super::stored::STORED;
use bitbench_reports::columns::COLUMNS;
use bitbench_reports::export::{FORMATS, Format};
use bitbench_reports::report::Report;
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use std::collections::BTreeSet;
use std::path::Path;

/// Rows of a table, or lines of samples, that a golden file shows.
const SHOWN: usize = 24;

#[test]
fn every_format_of_every_stored_run_is_this() {
    for stored in &STORED {
        let records = stored.read();
        let report = Report::new(&records);
        for format in FORMATS.iter().filter(|format| format.name != "html") {
            // These two have a golden file already.
            if stored.folder == "run" && ["csv", "markdown"].contains(&format.name) {
                continue;
            }
            let bytes = (format.make)(&records, &report).unwrap();
            let text = match format.name {
                "sqlite" => dump(&bytes),
                "samples" => beginning(std::str::from_utf8(&bytes).unwrap()),
                "json" => without_columns(&bytes),
                _ => String::from_utf8(bytes).unwrap(),
            };
            let name = format!("{}_{}", stored.folder, format.file);
            insta::assert_snapshot!(name, text);
        }
    }
}

/// The first lines, and how many there are.
fn beginning(text: &str) -> String {
    let lines: Vec<&str> = text.lines().take(SHOWN).collect();
    format!("{}\n... {} lines", lines.join("\n"), text.lines().count())
}

/// The document without what columns are, and with the figures of two rows alone.
fn without_columns(bytes: &[u8]) -> String {
    let mut value: serde_json::Value = serde_json::from_slice(bytes).unwrap();
    let columns = value["columns"].as_object().unwrap();
    assert_eq!(columns.len(), COLUMNS.len());
    value.as_object_mut().unwrap().remove("columns");
    for row in value["rows"].as_array_mut().unwrap().iter_mut().skip(2) {
        row.as_object_mut().unwrap().remove("figures");
    }
    serde_json::to_string_pretty(&value).unwrap()
}

/// The first rows of every table, and how many there are.
fn dump(bytes: &[u8]) -> String {
    let connection = open(bytes);
    let mut text = String::new();
    for table in tables(&connection) {
        let mut rows = connection
            .prepare(&format!("SELECT * FROM {table}"))
            .unwrap();
        let names: Vec<String> = rows.column_names().map(ToOwned::to_owned).collect();
        text.push_str(&format!("{table}: {}\n", names.join(" | ")));
        let mut rows = rows.query(()).unwrap();
        let mut number = 0;
        while let Some(row) = rows.next().unwrap() {
            number += 1;
            if number > SHOWN {
                continue;
            }
            let fields: Vec<String> = (0..names.len())
                .map(|index| match row.get_ref(index).unwrap() {
                    ValueRef::Null => "NULL".to_owned(),
                    ValueRef::Integer(number) => number.to_string(),
                    ValueRef::Real(number) => format!("{number:?}"),
                    ValueRef::Text(text) => String::from_utf8(text.to_vec()).unwrap(),
                    ValueRef::Blob(_) => panic!("no table has a blob"),
                })
                .collect();
            text.push_str(&format!("  {}\n", fields.join(" | ")));
        }
        text.push_str(&format!("  ... {number} rows\n"));
    }
    text
}

/// A data base of SQLite from the bytes of its file.
pub(super) fn open(bytes: &[u8]) -> Connection {
    let mut connection = Connection::open_in_memory().unwrap();
    connection
        .deserialize_read_exact(rusqlite::MAIN_DB, bytes, bytes.len(), false)
        .unwrap();
    connection
}

pub(super) fn tables(connection: &Connection) -> Vec<String> {
    let mut names = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY rowid")
        .unwrap();
    let names = names.query_map((), |row| row.get(0)).unwrap();
    names.map(Result::unwrap).collect()
}

#[test]
fn every_file_of_the_folder_is_a_format() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/export");
    let mut files = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        files.insert(path.file_stem().unwrap().to_str().unwrap().to_owned());
    }
    assert!(files.remove("mod"));
    let names: BTreeSet<String> = FORMATS.iter().map(|f| f.name.to_owned()).collect();
    assert_eq!(files, names);
    let files: BTreeSet<&str> = FORMATS.iter().map(|f| f.file).collect();
    assert_eq!(files.len(), FORMATS.len());
    for name in names {
        assert_eq!(Format::find(&name).unwrap().name, name);
    }
}
