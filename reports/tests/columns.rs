//! The list of columns against its folder.

use bitbench_reports::columns::{Better, COLUMNS, Kind};
use std::collections::BTreeSet;
use std::path::Path;

#[test]
fn ids_are_unique() {
    let ids: BTreeSet<&str> = COLUMNS.iter().map(|column| column.id).collect();
    assert_eq!(ids.len(), COLUMNS.len());
}

#[test]
fn every_file_of_the_folder_is_listed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/columns");
    let mut files = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        files.insert(path.file_stem().unwrap().to_str().unwrap().to_owned());
    }
    assert!(files.remove("mod"));
    let ids: BTreeSet<String> = COLUMNS.iter().map(|column| column.id.to_owned()).collect();
    assert_eq!(files, ids);
}

#[test]
fn ranks_are_unique() {
    let ranks: Vec<u8> = COLUMNS.iter().filter_map(|column| column.rank).collect();
    let distinct: BTreeSet<u8> = ranks.iter().copied().collect();
    assert_eq!(ranks.len(), distinct.len());
}

#[test]
fn every_column_explains_itself_in_a_sentence() {
    for column in COLUMNS {
        assert!(
            column.help.ends_with('.') && column.help.len() > 20,
            "{}",
            column.id
        );
        assert!(!column.title.is_empty(), "{}", column.id);
        if column.kind == Kind::Text {
            assert_eq!(column.better, Better::Neither, "{}", column.id);
            assert_eq!(column.unit, "", "{}", column.id);
        }
    }
}
