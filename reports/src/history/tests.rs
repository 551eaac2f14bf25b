use super::*;

#[test]
fn a_full_disk_is_told_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.sqlite");
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/run");
    let mut records = Records::read(&golden).unwrap();
    let mut history = History::open(&path).unwrap();
    history.add_run(&records, Some("first")).unwrap();
    let pages: i64 = history
        .connection
        .query_row("PRAGMA page_count", [], |row| row.get(0))
        .unwrap();
    history
        .connection
        .pragma_update(None, "max_page_count", pages)
        .unwrap();
    let mut stored = 1;
    let error = loop {
        records.run.seed += 1;
        match history.add_run(&records, Some("next")) {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
        assert!(stored < 100, "no limit");
    };
    assert!(matches!(error, HistoryError::Full { .. }), "{error:?}");
    assert!(error.to_string().contains("no space left"), "{error}");
    drop(history);
    let history = History::existing(&path).unwrap();
    history.check().unwrap();
    assert_eq!(history.runs().unwrap().len(), stored);
}
