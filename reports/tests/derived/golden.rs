//! The stored run and everything that must come of it.

use crate::support;
use bitbench_reports::record::{Provenance, Record};
use bitbench_reports::render::{csv, html, markdown, terminal};
use bitbench_reports::report::Report;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The run was killed while it stored its end.
fn golden_file() -> String {
    let mut stored = support::stored(&support::lines(support::counters(
        Provenance::MeasuredCounter,
    )));
    stored.truncate(stored.len() - 20);
    stored
}

/// Compares the stored run to what the builder writes; `BITBENCH_UPDATE_GOLDEN=1` writes it anew.
#[test]
fn the_stored_run_is_what_the_builder_writes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/run/records.jsonl");
    if std::env::var_os("BITBENCH_UPDATE_GOLDEN").is_some() {
        fs::write(&path, golden_file()).unwrap();
    }
    assert_eq!(fs::read_to_string(path).unwrap(), golden_file());
}

#[test]
fn one_line_of_each_kind_is_stored_like_this() {
    let mut lines = support::lines(support::counters(Provenance::MeasuredCounter));
    lines.push(Record::Resumed(bitbench_reports::record::Resumed {
        at: "2026-01-02T03:24:05Z".to_owned(),
        bitbench: "0.1.0 (0123456)".to_owned(),
        command: vec![
            "bitbench".to_owned(),
            "run".to_owned(),
            "--resume".to_owned(),
        ],
    }));
    let mut of_kind: BTreeMap<String, String> = BTreeMap::new();
    for line in &lines {
        let json = serde_json::to_string(line).unwrap();
        let value: Value = serde_json::from_str(&json).unwrap();
        let mut kind = value["record"].as_str().unwrap().to_owned();
        for key in ["phase", "outcome"] {
            kind.push_str(&value.get(key).map_or(String::new(), |v| format!(" {v}")));
        }
        of_kind.entry(kind).or_insert(json);
    }
    let pinned: Vec<String> = of_kind.into_values().collect();
    insta::assert_snapshot!("record", pinned.join("\n"));
}

#[test]
fn what_is_not_there_is_named_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let absent = dir.path().join("elsewhere");
    for path in [dir.path(), &absent] {
        let error = bitbench_reports::record::Records::read(path)
            .unwrap_err()
            .to_string();
        assert!(error.starts_with(path.to_str().unwrap()), "{error}");
        assert!(error.contains("bitbench run"), "{error}");
    }
}

#[test]
fn a_torn_last_line_is_left_out() {
    let records = support::golden();
    let stored = golden_file();
    assert!(!stored.ends_with('\n'));
    let whole = stored.rfind('\n').unwrap() + 1;
    assert_eq!(records.whole_bytes, whole as u64);
    assert_eq!(records.lines.len(), stored.lines().count() - 2);
}

#[test]
fn the_terminal_shows_this_at_80_columns() {
    let text = terminal::render(&Report::new(&support::golden()), 80, false);
    insta::assert_snapshot!("terminal_80", text);
}

#[test]
fn the_terminal_shows_this_at_160_columns() {
    let text = terminal::render(&Report::new(&support::golden()), 160, false);
    insta::assert_snapshot!("terminal_160", text);
}

#[test]
fn no_line_is_longer_than_the_terminal() {
    let report = Report::new(&support::golden());
    for width in [60, 72, 80, 100, 132, 160, 240] {
        let text = terminal::render(&report, width, false);
        let longest = text.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(longest <= width, "{longest} at {width}:\n{text}");
    }
}

#[test]
fn the_csv_is_this() {
    let text = csv::render(&Report::new(&support::golden()));
    insta::assert_snapshot!("results.csv", text);
}

#[test]
fn the_markdown_is_this() {
    insta::assert_snapshot!(
        "results.md",
        markdown::render(&Report::new(&support::golden()))
    );
}

#[test]
fn the_page_says_all_that_matters() {
    let report = Report::new(&support::golden());
    let page = html::render(&report).unwrap();
    let verdict = &report.verdicts()[0];
    assert!(verdict.contains("i2s-avx2 decodes"), "{verdict}");
    for expected in [
        verdict.as_str(),
        "<svg",
        "i2s-avx512-vnni, 2 threads",
        "this CPU lacks avx512-vnni",
        "the worker was killed by signal 9 (out of memory?) (1 round had finished; no figures are given)",
        "small-f16.gguf, i2s-avx2, 2 threads: package-0: the counter vanished",
        "psys is left out: it contains the package",
        "ternarized: speed only, quality destroyed",
        "bitbench run --suite x86-energy --model models&#x2f;small-f16.gguf",
        "blake3:8899aabbccddeeff",
        "blake3:0011223344556677",
        "seed 42",
        "Example CPU 3000",
        "killed, or still goes on",
        "prefers-color-scheme: dark",
    ] {
        assert!(page.contains(expected), "missing: {expected}");
    }
    // Nothing is fetched, nothing runs but the script of the page: the only address is the name space of the charts.
    let page = support::without_script(&page);
    assert!(!page.contains("<script") && !page.contains("src="));
    let addresses = page.matches("http://").count() + page.matches("https://").count();
    assert_eq!(
        addresses,
        page.matches("http://www.w3.org/2000/svg").count()
    );
}

/// Recomputes figures of one row from the JSON text, without the types and functions under test.
#[test]
fn the_figures_of_a_row_are_those_of_its_lines() {
    let text = golden_file();
    let mut speed: BTreeMap<(String, u64), f64> = BTreeMap::new();
    let mut joules: BTreeMap<(String, u64), f64> = BTreeMap::new();
    for line in text.lines() {
        let Ok(value) = serde_json::from_str::<Value>(line) else {
            continue;
        };
        if value["record"] != "sample" || value["phase"] != "decode" {
            continue;
        }
        let key = (
            value["job"].as_str().unwrap().to_owned(),
            value["round"].as_u64().unwrap(),
        );
        let durations = value["durations_ns"].as_array().unwrap();
        let tokens = value["tokens"].as_f64().unwrap();
        // Two repetitions, so the median is their mean.
        let mean = durations.iter().map(|d| d.as_f64().unwrap()).sum::<f64>() / 2.0;
        speed.insert(key.clone(), tokens / (mean / 1e9));
        let Some(domains) = value["energy"]["measured"]["domains"].as_array() else {
            continue;
        };
        let counted = domains.iter().filter(|d| d["counted"] == true);
        let total: f64 = counted.map(|d| d["energy_uj"].as_f64().unwrap()).sum();
        joules.insert(key, total / 1e6 / (tokens * durations.len() as f64));
    }
    let middle = |map: &dyn Fn(u64) -> f64| {
        let mut values = [map(0), map(1), map(2)];
        values.sort_by(f64::total_cmp);
        values[1]
    };
    let of = |map: &BTreeMap<(String, u64), f64>, job: &str, round| map[&(job.to_owned(), round)];
    let (row, base) = ("700M/i2s-avx2/2", "700M/f16-avx2/2");
    // Hodges and Lehmann, of three rounds: the middle of the geometric means of every two.
    let estimate = |map: &BTreeMap<(String, u64), f64>| {
        let ratios = [0, 1, 2].map(|round| of(map, row, round) / of(map, base, round));
        let pairs = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)];
        let mut means = pairs.map(|(a, b)| (ratios[a] * ratios[b]).sqrt());
        means.sort_by(f64::total_cmp);
        (means[2] * means[3]).sqrt()
    };
    let speedup = estimate(&speed);
    let energy = middle(&|round| of(&joules, row, round));
    let saved = (1.0 - estimate(&joules)) * 100.0;

    let csv = csv::render(&Report::new(&support::golden()));
    let mut lines = csv.lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    let line = lines.find(|line| line.starts_with(row)).unwrap();
    let fields: Vec<&str> = line.split(',').collect();
    let field = |id: &str| -> f64 {
        let index = header.iter().position(|name| *name == id).unwrap();
        fields[index].parse().unwrap()
    };
    for (id, expected) in [
        ("decode_speedup", speedup),
        ("decode_joules_per_token", energy),
        ("energy_saved_percent", saved),
        (
            "decode_tokens_per_second",
            middle(&|round| of(&speed, row, round)),
        ),
    ] {
        let found = field(id);
        assert!(
            (found / expected - 1.0).abs() < 1e-9,
            "{id}: {found} is not {expected}"
        );
        assert_eq!(
            fields[header.iter().position(|n| *n == format!("{id}_n")).unwrap()],
            "3"
        );
    }
    assert!((3.7..3.8).contains(&speedup), "{speedup}");
}
