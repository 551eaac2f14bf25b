//! `report --export`, `--splice` and what is printed about columns, schemas and the command line.

use crate::support::Bench;
use bitbench_reports::columns::COLUMNS;
use bitbench_reports::export::FORMATS;
use std::fs;
use std::path::Path;

/// A bench with a stored run in `out`.
fn with_run() -> Bench {
    let bench = Bench::beside();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../reports/tests/golden/run");
    let out = bench.path().join("out");
    fs::create_dir(&out).unwrap();
    fs::copy(golden.join("records.jsonl"), out.join("records.jsonl")).unwrap();
    bench
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn formats_are_written_when_they_are_asked_for() {
    let bench = with_run();
    bench.run("report out").expect(0);
    let out = bench.path().join("out");
    let always = ["records.jsonl", "report.html", "results.csv", "results.md"];
    assert_eq!(names(&out), always);
    let all: Vec<&str> = FORMATS.iter().map(|format| format.name).collect();
    let ran = bench
        .run(&format!("report out --export {}", all.join(",")))
        .expect(0);
    let mut expected: Vec<&str> = FORMATS.iter().map(|format| format.file).collect();
    expected.push("records.jsonl");
    expected.sort_unstable();
    assert_eq!(names(&out), expected);
    for format in FORMATS {
        assert!(
            ran.out.contains(&format!("out/{}", format.file)),
            "{}",
            ran.out
        );
    }
    let listed = bench.run("list formats").expect(0).out;
    for format in FORMATS {
        assert!(listed.contains(format.file), "{listed}");
    }
    bench
        .run("report out --export sqlite,word")
        .expect(2)
        .says(&["word", "latex", "junit, sqlite"]);
}

#[test]
fn a_full_disk_leaves_what_was_there() {
    let bench = with_run();
    bench.run("report out --export latex").expect(0);
    let before = bench.read("out/results.tex");
    bench.file("out/results.sqlite", "old");
    // So many steps that the data base is the largest file by far.
    let steps = "1,".repeat(800);
    let records = bench.read("out/records.jsonl");
    let records = records.replace(
        "\"durations_ns\":[",
        &format!("\"token_durations_ns\":[{steps}1],\"durations_ns\":["),
    );
    bench.file("out/records.jsonl", records);
    let script = r#"trap '' XFSZ; ulimit -f 3000; exec "$0" "$@""#;
    let ran = bench.shell(script, &["report", "out", "--export", "latex,sqlite"]);
    ran.expect(4).says(&["out/results.sqlite", "half written"]);
    assert_eq!(bench.read("out/results.tex"), before);
    assert_eq!(bench.read("out/results.sqlite"), "old");
    let left = names(&bench.path().join("out"));
    assert!(left.iter().all(|name| !name.ends_with(".tmp")), "{left:?}");
}

#[test]
fn tables_are_spliced_between_their_markers() {
    let bench = with_run();
    let readme =
        "# Mine\n<!-- bitbench:begin x86-energy -->\nold\n<!-- bitbench:end x86-energy -->\nend\n";
    bench.file("README.md", readme);
    bench.run("report out --splice README.md").expect(0);
    let spliced = bench.read("README.md");
    assert!(
        spliced.starts_with("# Mine\n<!-- bitbench:begin x86-energy -->\n- ")
            && spliced.contains("700M")
    );
    assert!(
        spliced.ends_with("</code>\n<!-- bitbench:end x86-energy -->\nend\n"),
        "{spliced}"
    );
    bench
        .run("report out --splice README.md --splice-name arm")
        .expect(2)
        .says(&["README.md", "<!-- bitbench:begin arm -->"]);
    assert_eq!(bench.read("README.md"), spliced);
    bench
        .run("report out --splice gone.md")
        .expect(2)
        .says(&["gone.md"]);
    bench.run("report out --splice-name arm").expect(2);
}

#[test]
fn every_column_is_explained() {
    let bench = Bench::beside();
    let all = bench.run("explain").expect(0).out;
    for column in COLUMNS {
        assert!(all.contains(&format!("  {}", column.id)), "{}", column.id);
    }
    for id in ["decode_speedup", "decode_speedup_of_medians_low"] {
        let one = bench.run(&format!("explain {id}")).expect(0).out;
        for words in [
            "decode speed-up, x",
            "`compare.rs`",
            "columns/decode_speedup.rs",
            "_of_medians_low: ",
        ] {
            assert!(one.contains(words), "no `{words}` in: {one}");
        }
        assert!(one.lines().all(|line| line.chars().count() <= 80), "{one}");
    }
    bench
        .run("explain watts")
        .expect(2)
        .says(&["`watts`", "decode_watts"]);
    bench.run("explain nonsense").expect(2).says(&["lists all"]);
}

#[test]
fn what_other_programs_want_to_know_is_printed() {
    let bench = Bench::beside();
    for (arguments, word) in [
        ("schema", "\"const\": \"cold_start\""),
        ("schema record", "durations_ns"),
        ("schema report", "of_medians"),
    ] {
        let out = bench.run(arguments).expect(0).out;
        assert!(
            serde_json::from_str::<serde_json::Value>(&out).is_ok(),
            "{arguments}"
        );
        assert!(out.contains(word), "{arguments}");
    }
    for shell in ["bash", "zsh", "fish"] {
        let out = bench.run(&format!("completions {shell}")).expect(0).out;
        assert!(
            out.contains("roofline") && out.contains("perplexity"),
            "{shell}: {out}"
        );
    }
    let page = bench.run("man").expect(0).out;
    assert!(
        page.contains(".TH bitbench 1") && page.contains("roofline"),
        "{page}"
    );
    let page = bench.run("man model convert").expect(0).out;
    assert!(page.contains(".TH bitbench-model-convert 1"), "{page}");
    bench
        .run("man nonsense")
        .expect(2)
        .says(&["bitbench nonsense"]);
}
