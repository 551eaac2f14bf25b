//! Runs without energy, with simulated energy, cut short, empty, and with names that would do harm.

use crate::support;
use bitbench_reports::record::*;
use bitbench_reports::render::{csv, html, markdown, terminal, write_all};
use bitbench_reports::report::Report;

fn report(lines: &[Record]) -> Report {
    Report::new(&support::read_back(lines))
}

/// The columns of a CSV by id, for the row of one job.
fn field(text: &str, job: &str, id: &str) -> String {
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    let index = header.iter().position(|name| *name == id).unwrap();
    let line = lines
        .find(|line| line.starts_with(&format!("{job},")))
        .unwrap();
    line.split(',').nth(index).unwrap().to_owned()
}

#[test]
fn a_run_without_energy_says_so_and_shows_no_energy_column() {
    let report = report(&support::lines(support::no_counters()));
    let text = terminal::render(&report, 100, false);
    insta::assert_snapshot!("terminal_without_energy", text);
    let csv = csv::render(&report);
    for id in [
        "decode_joules_per_token",
        "decode_joules_per_token_n",
        "energy_saved_percent",
        "provenance",
    ] {
        assert_eq!(field(&csv, "700M/i2s-avx2/2", id), "", "{id}");
    }
    let page = html::render(&report).unwrap();
    assert!(page.contains("energy: unavailable - no powercap zone"));
    assert!(page.contains("To help: run on the host itself"));
    assert!(!page.contains("<th scope=\"col\" title=\"Energy of the decode window"));
    assert!(!markdown::render(&report).contains("J/token"));
}

#[test]
fn a_batch_is_told_from_one_sequence_in_every_form() {
    let mut lines = support::lines(support::counters(Provenance::MeasuredCounter));
    crate::summary::eight_sequences(&mut lines);
    let report = report(&lines);
    let text = terminal::render(&report, 80, false);
    insta::assert_snapshot!("terminal_batch", text);
    assert!(
        text.lines().all(|line| line.chars().count() <= 80),
        "{text}"
    );
    let heading = "700M: prompt 128, generated 32 tokens, 8 sequences together";
    assert!(html::render(&report).unwrap().contains(heading));
    assert!(markdown::render(&report).contains(heading));
    let csv = csv::render(&report);
    assert_eq!(field(&csv, "700M/i2s-avx2/2", "batch"), "8");
    assert_eq!(field(&csv, "700M/i2s-avx2/1", "batch"), "1");
    let each = field(&csv, "700M/i2s-avx2/2", "decode_tokens_per_second_each");
    assert!(!each.is_empty());
    let each = field(&csv, "700M/i2s-avx2/1", "decode_tokens_per_second_each");
    assert_eq!(each, "");
}

#[test]
fn a_suite_about_memory_shows_its_columns_first() {
    let mut lines = support::lines(support::no_counters());
    let Record::Run(run) = &mut lines[0] else {
        panic!("the first line is the run");
    };
    run.suite.leads = Some(Topic::Memory);
    let text = terminal::render(&report(&lines), 80, false);
    let header = text
        .lines()
        .find(|line| line.starts_with("kernel"))
        .unwrap();
    assert!(header.contains("MB") && !header.contains("tok/s"), "{text}");
    let wide = terminal::render(&report(&lines), 240, false);
    let header = wide
        .lines()
        .find(|line| line.starts_with("kernel"))
        .unwrap();
    assert!(header.find("MB") < header.find("tok/s"), "{wide}");
}

#[test]
fn bars_are_as_long_as_their_ratios() {
    let text = terminal::render(&report(&support::lines(support::no_counters())), 80, false);
    let bar = |name: &str| {
        let line = text
            .lines()
            .find(|line| line.contains(name) && line.contains('█'));
        line.unwrap_or_else(|| panic!("{name}: {text}"))
    };
    let length = |name: &str| bar(name).chars().filter(|c| *c == '█').count();
    let (half, ternary) = (length("f16-avx2 x2"), length("i2s-avx2 x2"));
    assert!(bar("f16-avx2 x2").ends_with("baseline"), "{text}");
    assert!((3..5).contains(&(ternary / half)), "{text}");
    let last = text.trim_end().lines().last().unwrap();
    assert!(
        text.contains("energy unknown: no counter was read"),
        "{last}"
    );
}

#[test]
fn simulated_energy_is_called_so_everywhere() {
    let report = report(&support::lines(support::counters(Provenance::Simulated)));
    let text = terminal::render(&report, 160, false);
    assert!(text.starts_with("SIMULATED: "), "{text}");
    assert!(text.contains(" sim"), "{text}");
    assert!(text.contains("SIMULATED counters of powercap"), "{text}");
    let page = html::render(&report).unwrap();
    assert!(page.contains("SIMULATED: ") && page.contains("(simulated)"));
    let markdown = markdown::render(&report);
    assert!(markdown.contains("> **SIMULATED: ") && markdown.contains("(simulated)"));
    let csv = csv::render(&report);
    assert_eq!(field(&csv, "700M/i2s-avx2/2", "provenance"), "simulated");
    assert_ne!(
        field(&csv, "700M/i2s-avx2/2", "decode_joules_per_token"),
        ""
    );
    assert_eq!(field(&csv, "700M/i2s-avx2/2", "energy_saved_percent"), "");
}

#[test]
fn an_interrupted_run_shows_what_it_has() {
    let mut lines = support::lines(support::no_counters());
    // Eight jobs of the first round.
    let stop = lines
        .iter()
        .enumerate()
        .filter(|(_, line)| matches!(line, Record::Outcome(_)))
        .nth(8)
        .map(|(index, _)| index)
        .unwrap();
    lines.truncate(stop + 1);
    lines.push(support::end(true));
    let report = report(&lines);
    insta::assert_snapshot!(
        "terminal_interrupted",
        terminal::render(&report, 100, false)
    );
    let page = html::render(&report).unwrap();
    assert!(page.contains("the run was interrupted before its plan was done"));
    assert!(page.contains("not reached: the run was interrupted"));
}

#[test]
fn a_run_that_measured_nothing_has_pages_too() {
    let mut lines = support::lines(support::no_counters());
    lines.truncate(2);
    lines.push(support::end(true));
    let report = report(&lines);
    insta::assert_snapshot!(
        "terminal_nothing_measured",
        terminal::render(&report, 80, false)
    );
    assert!(
        html::render(&report)
            .unwrap()
            .contains("Nothing was measured.")
    );
    assert!(markdown::render(&report).contains("Nothing was measured."));
    let csv = csv::render(&report);
    assert_eq!(csv.lines().count(), 1 + report.rows.len());
    assert!(!csv.contains(",0,") && !csv.contains(",0.0,"), "{csv}");
}

#[test]
fn colour_changes_nothing_but_the_colour() {
    let report = report(&support::lines(support::counters(
        Provenance::MeasuredCounter,
    )));
    let coloured = terminal::render(&report, 120, true);
    let plain = terminal::render(&report, 120, false);
    assert!(!plain.contains('\u{1b}'));
    assert!(coloured.contains('\u{1b}'));
    let mut stripped = String::new();
    let mut parts = coloured.split('\u{1b}');
    stripped.push_str(parts.next().unwrap());
    for part in parts {
        stripped.push_str(part.split_once('m').unwrap().1);
    }
    let trimmed: Vec<&str> = stripped.lines().map(str::trim_end).collect();
    assert_eq!(trimmed, plain.lines().collect::<Vec<_>>());
}

/// Puts text that would do harm wherever the record takes text from outside.
fn hostile() -> Vec<Record> {
    const EVIL: &str =
        "=<img src=x onerror=alert(1)>|</script>\u{1b}[31m`*_[a](b)\n# \u{202e}\"'{{ 7 * 7 }}";
    let stored = support::stored(&support::lines(support::counters(
        Provenance::MeasuredCounter,
    )));
    let mut lines: Vec<Record> = stored
        .lines()
        .map(|line| {
            let quoted = serde_json::to_string(EVIL).unwrap();
            let evil = quoted.trim_matches('"');
            let line = line
                .replace("small-f16.gguf", evil)
                .replace("i2s-scalar", evil)
                .replace("blake3:", evil)
                .replace("powercap", evil)
                .replace("package-0", evil)
                .replace("psys", evil)
                .replace("signal 9", evil)
                .replace("this CPU lacks", evil)
                .replace("Example CPU", evil)
                .replace("x86-energy", evil)
                .replace("Ternary against", evil)
                .replace("0123456", evil);
            serde_json::from_str(&line).unwrap()
        })
        .collect();
    lines.pop();
    lines
}

#[test]
fn hostile_strings_are_inert() {
    let report = report(&hostile());
    let text = terminal::render(&report, 80, false);
    assert!(
        !text.chars().any(|c| c.is_control() && c != '\n'),
        "{text:?}"
    );
    assert!(!text.contains('\u{202e}'));

    let page = support::without_script(&html::render(&report).unwrap());
    assert!(
        !page.contains("<img") && !page.contains("</script"),
        "{page}"
    );
    assert!(page.contains("&lt;img src=x onerror=alert(1)&gt;"));
    // Neither an attribute is left nor a template expression run.
    assert!(page.contains("{{ 7 * 7 }}") && !page.contains("{{ 49 }}"));
    assert!(page.contains("&quot;&#x27;"), "quotes are escaped");
    assert!(!page.chars().any(|c| c.is_control() && c != '\n'));

    let markdown = markdown::render(&report);
    let (outside, command) = markdown.split_once("\n```").unwrap();
    assert_eq!(command.matches("```").count(), 1);
    for line in outside.lines() {
        assert!(!line.contains("<img") && !line.contains("</"), "{line}");
        assert!(!line.contains(" `") && !line.contains(" [a]("), "{line}");
    }
    let cells = |line: &str| line.replace("\\|", "").matches('|').count();
    let tables: Vec<usize> = markdown
        .lines()
        .filter(|line| line.starts_with('|'))
        .map(cells)
        .collect();
    assert!(
        tables.windows(2).filter(|pair| pair[0] != pair[1]).count() <= 1,
        "{tables:?}"
    );

    let csv = csv::render(&report);
    let mut quotes = 0;
    for field in csv.split([',', '\n']) {
        // A field that goes on after a comma inside quotes does not start one.
        if quotes % 2 == 0 {
            assert!(
                !field.trim_start_matches('"').starts_with(['=', '+', '@']),
                "{field}"
            );
        }
        quotes += field.matches('"').count();
    }
    assert!(csv.contains("'=<img"));
}

#[test]
fn the_files_are_written_whole_and_nothing_else_is_left() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("results.csv"), "of an earlier report").unwrap();
    let records = support::golden();
    let written = write_all(dir.path(), &records).unwrap();
    assert_eq!(written.len(), 3);
    let mut names: Vec<String> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["report.html", "results.csv", "results.md"]);
    let report = Report::new(&records);
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    assert_eq!(read("results.csv"), csv::render(&report));
    assert_eq!(read("results.md"), markdown::render(&report));
    assert_eq!(read("report.html"), html::render(&report).unwrap());
    // The same records give the same bytes.
    write_all(dir.path(), &records).unwrap();
    assert_eq!(read("report.html"), html::render(&report).unwrap());
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("gone");
    let error = write_all(&missing, &support::golden()).unwrap_err();
    assert!(error.to_string().contains("results.csv"), "{error}");
}
