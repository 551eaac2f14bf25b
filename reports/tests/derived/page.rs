//! The page: its tables in the layout of the papers, what stands beside them, several runs on one page.

use crate::support;
use bitbench_reports::record::*;
use bitbench_reports::render::{html, write_joined};
use bitbench_reports::report::Report;
use serde_json::Value;
use std::collections::BTreeMap;

fn report(energy: EnergySourceInfo) -> Report {
    Report::new(&support::read_back(&support::lines(energy)))
}

/// The page, with slashes as they are read.
fn page_of(report: &Report) -> String {
    html::render(report).unwrap().replace("&#x2f;", "/")
}

fn joined(reports: &[Report]) -> String {
    html::render_joined(reports).unwrap().replace("&#x2f;", "/")
}

/// The page without its style, its script and what is drawn in its plots, a tag a line.
fn skeleton(page: &str) -> String {
    let mut text = support::without_script(page);
    for (open, close) in [("<style>", "</style>"), ("<svg", "</svg>")] {
        let mut rest = text.as_str();
        let mut kept = String::new();
        while let Some((before, after)) = rest.split_once(open) {
            kept.push_str(before);
            rest = after.split_once(close).unwrap().1;
        }
        kept.push_str(rest);
        text = kept;
    }
    let (before, policy) = text.split_once("content=\"default-src 'none';").unwrap();
    let (_, after) = policy.split_once("\">").unwrap();
    format!("{before}content=\"...\">{after}")
}

/// The text of some markup: tags become a space each.
fn text(markup: &str) -> String {
    let mut text = String::new();
    for part in markup.split('<') {
        text.push_str(part.split_once('>').map_or(part, |(_, text)| text));
        text.push(' ');
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The cells of the table under a caption, line by line, heads first, as markup.
fn table(page: &str, caption: &str) -> Vec<Vec<String>> {
    let (_, after) = page
        .split_once(&format!("<figcaption>{caption}"))
        .unwrap_or_else(|| panic!("no table {caption}"));
    let (table, _) = after.split_once("</table>").unwrap();
    let rows = table.split("<tr").skip(1);
    rows.map(|row| {
        let cells = row
            .split("<t")
            .skip(1)
            .filter(|cell| cell.starts_with(['h', 'd']));
        cells.map(|cell| format!("<t{cell}")).collect()
    })
    .collect()
}

/// The cell of a row and a column of such a table.
fn cell(table: &[Vec<String>], row: &str, column: &str) -> String {
    let head = table
        .iter()
        .rposition(|line| line.iter().all(|c| c.starts_with("<th")))
        .unwrap();
    let at = table[head]
        .iter()
        .position(|c| text(c).starts_with(column))
        .unwrap();
    let line = table
        .iter()
        .skip(head + 1)
        .find(|line| text(&line[0]).starts_with(row));
    line.unwrap_or_else(|| panic!("no row {row}"))[at].clone()
}

#[test]
fn the_page_says_this_of_the_stored_run() {
    let page = page_of(&Report::new(&support::golden()));
    insta::assert_snapshot!("page", skeleton(&page));
}

/// Speed, speed-up, energy and memory of the tables from the JSON text, without the types and functions under test.
#[test]
fn the_cells_of_the_quoted_tables_follow_from_the_lines() {
    let records = support::golden();
    let page = page_of(&Report::new(&records));
    let mut rounds: BTreeMap<(String, &str), Vec<f64>> = BTreeMap::new();
    for line in &records.lines {
        let value = serde_json::to_value(line).unwrap();
        let job = value["job"].as_str().unwrap_or_default().to_owned();
        let number = |v: &Value| v.as_f64().unwrap();
        if value["record"] == "memory" {
            let peak = number(&value["peak_bytes"]) / 1e6;
            rounds.entry((job.clone(), "peak")).or_default().push(peak);
        }
        for (phase, key) in [("decode", "decode"), ("prefill", "prefill")] {
            if value["record"] != "sample" || value["phase"] != phase {
                continue;
            }
            let mut durations: Vec<f64> = value["durations_ns"]
                .as_array()
                .unwrap()
                .iter()
                .map(number)
                .collect();
            durations.sort_by(f64::total_cmp);
            let (low, high) = ((durations.len() - 1) / 2, durations.len() / 2);
            let middle = (durations[low] + durations[high]) / 2.0;
            let tokens = number(&value["tokens"]);
            rounds
                .entry((job.clone(), key))
                .or_default()
                .push(tokens / middle * 1e9);
            if let Some(domains) = value["energy"]["measured"]["domains"].as_array() {
                let counted = domains.iter().filter(|d| d["counted"] == true);
                let joules: f64 = counted.map(|d| number(&d["energy_uj"]) * 1e-6).sum();
                let joules = joules / (tokens * durations.len() as f64);
                let key = if key == "decode" {
                    "decode J"
                } else {
                    "prefill J"
                };
                rounds.entry((job.clone(), key)).or_default().push(joules);
            }
        }
    }
    let median = |job: &str, key| {
        let mut values = rounds[&(job.to_owned(), key)].clone();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let mut checked = 0;
    for (caption, key) in [
        ("Decode, tok/s", "decode"),
        ("Prefill, tok/s", "prefill"),
        ("Decode, J/token", "decode J"),
        ("Prefill, J/token", "prefill J"),
        ("Peak memory, MB", "peak"),
    ] {
        for threads in [1, 2] {
            let plural = if threads == 1 { "" } else { "s" };
            let caption =
                format!("{caption}: {threads} thread{plural}, prompt 128, generated 32 tokens");
            let table = table(&page, &caption);
            for kernel in ["f16-avx2", "i2s-avx2", "i2s-scalar"] {
                let cell = cell(&table, "700M", kernel);
                let (_, sort) = cell.split_once("data-sort=\"").unwrap();
                let sort: f64 = sort.split('"').next().unwrap().parse().unwrap();
                let expected = median(&format!("700M/{kernel}/{threads}"), key);
                assert!(
                    (sort / expected - 1.0).abs() < 1e-9,
                    "{caption}, {kernel}: {sort}, {expected}"
                );
                let shown: f64 = text(&cell).split(' ').next().unwrap().parse().unwrap();
                assert!(
                    (shown / expected - 1.0).abs() < 1e-3,
                    "{caption}, {kernel}: {shown}, {expected}"
                );
                checked += 1;
            }
        }
    }
    assert_eq!(checked, 30);
}

#[test]
fn the_quoted_tables_have_speedups_in_brackets_and_the_best_in_bold() {
    let page = page_of(&Report::new(&support::golden()));
    let decode = table(&page, "Decode, tok/s: 2 threads");
    assert_eq!(
        text(&decode[0].concat()),
        "model f16-avx2 half precision i2s-avx2 ternary i2s-scalar ternary i2s-avx512-vnni ternary"
    );
    let best = cell(&decode, "700M", "i2s-avx2");
    assert_eq!(text(&best), "48.19 (3.75x) ±1.8%, 3.72 to 3.77");
    assert!(best.contains(" best"), "{best}");
    let baseline = cell(&decode, "700M", "f16-avx2");
    assert_eq!(text(&baseline), "12.79 ±3.7%, baseline");
    assert!(!baseline.contains(" best"), "{baseline}");
    let energy = table(&page, "Decode, J/token: 2 threads");
    assert_eq!(
        text(&cell(&energy, "700M", "i2s-avx2")),
        "0.4565 (73.4 % less) ±1.7%, 73.1 to 73.5 %"
    );
    assert_eq!(
        text(&cell(&energy, "700M", "i2s-scalar")),
        "1.972 (14.4 % more) ±3.3%, 13.4 to 14.9 %"
    );
    let memory = table(&page, "Peak memory, MB: 2 threads");
    assert!(text(&cell(&memory, "700M", "i2s-avx2")).starts_with("421.2 (3.82x less)"));
}

#[test]
fn a_cell_without_a_figure_says_why() {
    let page = page_of(&Report::new(&support::golden()));
    for (caption, row, column, word) in [
        (
            "Decode, tok/s: 2 threads",
            "700M",
            "i2s-avx512-vnni",
            "skipped",
        ),
        (
            "Decode, tok/s: 1 thread",
            "small-f16.gguf",
            "i2s-scalar",
            "failed",
        ),
        (
            "Decode, tok/s: 2 threads",
            "small-f16.gguf",
            "i2s-scalar",
            "not planned",
        ),
        (
            "Decode, J/token: 1 thread",
            "small-f16.gguf",
            "i2s-avx2",
            "no counter",
        ),
    ] {
        let cell = cell(&table(&page, caption), row, column);
        let shown = text(&cell);
        assert!(shown.starts_with(word), "{caption}: {shown}");
        assert!(
            !cell.contains("data-sort"),
            "it would be sorted as a number: {cell}"
        );
        // The number behind it is that of a note below the table.
        let (_, below) = page.split_once(&format!("<figcaption>{caption}")).unwrap();
        let (_, notes) = below.split_once("<ol class=\"notes\">").unwrap();
        let (notes, _) = notes.split_once("</ol>").unwrap();
        let number: usize = shown.rsplit(' ').next().unwrap().parse().unwrap();
        assert!(
            notes.split("<li>").nth(number).is_some(),
            "{caption}: {notes}"
        );
    }
    assert!(!page.contains("<span class=\"value\">0</span>"));
}

#[test]
fn without_counters_there_is_no_energy_table() {
    let page = page_of(&report(support::no_counters()));
    assert!(!page.contains("J/token: 1 thread"));
    assert!(
        page.contains("not measured</strong>"),
        "the answer at the top"
    );
    assert!(page.contains("None: No power: no powercap zone"));
}

#[test]
fn simulated_energy_looks_so_and_is_compared_with_nothing() {
    let page = page_of(&report(support::counters(Provenance::Simulated)));
    let decode = table(
        &page,
        "Decode, J/token: 2 threads, prompt 128, generated 32 tokens <strong>SIMULATED</strong>",
    );
    for line in &decode[1..] {
        for cell in &line[1..] {
            assert!(!cell.contains(" best") && !cell.contains('('), "{cell}");
            assert!(
                cell.contains("simulated") || cell.contains("missing"),
                "{cell}"
            );
        }
    }
    assert!(page.contains("<figure class=\"grid simulated\">"));
    assert!(page.contains("Not to be quoted"));
    let beside = table(&page, "Decode energy, J/token");
    assert!(text(&cell(&beside, "700M", "ternary")).starts_with("simulated"));
    assert!(page.contains("<figcaption>SIMULATED power</figcaption>"));
}

#[test]
fn published_figures_stand_beside_as_printed_and_in_no_ratio() {
    let page = page_of(&Report::new(&support::golden()));
    let best = table(&page, "Decode, tok/s: best number of threads");
    assert_eq!(
        text(&best[0].concat()),
        "measured here published: Intel Core i7-13700H published: Apple M2 Ultra"
    );
    let row: Vec<String> = best[2].iter().map(|cell| text(cell)).collect();
    assert_eq!(
        row[3..],
        ["30.73", "119.08 (3.88x)", "114.47", "194.38 (1.70x)"]
    );
    let two = table(&page, "Decode, tok/s: 2 threads</figcaption>");
    assert_eq!(text(&two[2][3]), "18.56");
    let energy = table(&page, "Decode energy, J/token");
    assert_eq!(text(&energy[2][4]), "0.384 (71.9 % less)");
    for line in best.iter().chain(&two).chain(&energy) {
        for cell in line.iter().filter(|cell| cell.contains("published")) {
            assert!(
                !cell.contains(" best") && !cell.contains("data-sort"),
                "{cell}"
            );
        }
    }
    // Estimates are of a model that this run does not have.
    assert!(!page.contains("ESTIMATED"));
}

/// The stored run with its first model under another name.
fn renamed(name: &str) -> Report {
    let stored = support::stored(&support::lines(support::counters(
        Provenance::MeasuredCounter,
    )));
    let lines = stored.replace("700M", name);
    let lines: Vec<Record> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    Report::new(&support::read_back(&lines))
}

#[test]
fn estimated_energy_has_a_table_of_its_own_look() {
    let page = page_of(&renamed("2B4T"));
    let (before, estimates) = page.split_once("<aside class=\"estimate\">").unwrap();
    let (estimates, after) = estimates.split_once("</aside>").unwrap();
    assert!(estimates.contains("ESTIMATED, not measured"));
    assert!(estimates.contains("~0.028") && estimates.contains("~0.649"));
    assert!(!estimates.contains(" best") && !estimates.contains("sortable"));
    for figure in ["0.028", "0.649", "0.425", "0.186"] {
        assert!(
            !before.contains(figure) && !after.contains(figure),
            "{figure}"
        );
    }
    let table = table(&page, "BitNet b1.58 2B4T: latency and memory");
    let lines: Vec<String> = table.iter().map(|line| text(&line.concat())).collect();
    assert!(
        lines[1].starts_with("2B4T measured here: i2s-avx2, 2 threads"),
        "{lines:?}"
    );
    let published = lines
        .iter()
        .find(|line| line.starts_with("BitNet b1.58 2B4T published: bitnet.cpp"));
    assert!(published.unwrap().contains(" 29 0.4 computed"), "{lines:?}");
}

#[test]
fn a_model_that_nobody_published_stands_alone() {
    let page = page_of(&renamed("mine"));
    assert!(page.contains("No model of this run was measured here and published"));
    assert!(!page.contains("13700H"));
}

/// A run of the same jobs on another machine.
fn elsewhere(change: impl Fn(&mut Run)) -> Report {
    let mut records = support::golden();
    change(&mut records.run);
    Report::new(&records)
}

#[test]
fn runs_of_like_hosts_are_joined_with_ratios_and_of_unlike_ones_without() {
    let like = elsewhere(|run| run.host.load_centi = Some(99));
    let unlike = elsewhere(|run| {
        run.host.cpu = Some("Other CPU 9".to_owned());
        run.host.microcode = Some("0x77".to_owned());
    });
    let page = joined(&[elsewhere(|_| {}), like, unlike]);
    let decode = table(&page, "Decode, tok/s");
    assert_eq!(text(&decode[0].concat()), "row A B like A C unlike host");
    let row: Vec<String> = decode[2].iter().map(|cell| text(cell)).collect();
    assert_eq!(
        row,
        [
            "700M i2s-avx2, 1 thread, prompt 128, generated 32",
            "29.88 ±3.3%",
            "29.88 (1.00x of A) ±3.3%, 0.96 to 1.05",
            "29.88 ±3.3%"
        ]
    );
    assert!(page.contains("A and C are of unlike hosts, so there is no ratio between them: CPU: Example CPU 3000 and Other CPU 9."));
    // A section for each, with tables of its own.
    assert_eq!(page.matches("<section class=\"run\"").count(), 3);
    assert_eq!(
        page.matches("<figcaption>Decode, tok/s: 1 thread").count(),
        3
    );
    assert_eq!(page.matches("<script>").count(), 1);
}

#[test]
fn rows_of_other_suites_are_not_joined() {
    let other = elsewhere(|run| run.suite.hash = "blake3:00".to_owned());
    let page = joined(&[elsewhere(|_| {}), other]);
    assert!(page.contains("No two runs here have rows of the same suite."));
    assert!(page.contains("No other run here is of the same suite as A"));
    assert!(!page.contains("x of A"));
    let quick = elsewhere(|run| run.suite.quick = true);
    let page = joined(&[elsewhere(|_| {}), quick]);
    assert!(!page.contains("x of A"));
}

#[test]
fn simulated_energy_is_in_no_ratio_of_joined_runs() {
    let simulated = || report(support::counters(Provenance::Simulated));
    let page = joined(&[simulated(), simulated()]);
    let energy = table(&page, "Decode energy, J/token <strong>SIMULATED</strong>");
    for line in &energy[1..] {
        for cell in &line[1..] {
            assert!(!cell.contains("of A"), "{cell}");
        }
    }
    assert!(text(&cell(&energy, "700M", "B")).contains("simulated"));
    // Their speed was measured.
    assert!(text(&cell(&table(&page, "Decode, tok/s"), "700M", "B")).contains("1.00x of A"));
}

#[test]
fn a_joined_page_makes_its_folder() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("a/b");
    let reports = [
        Report::new(&support::golden()),
        Report::new(&support::golden()),
    ];
    let written = write_joined(&out, &reports).unwrap();
    assert_eq!(written, out.join("report.html"));
    assert_eq!(
        std::fs::read_to_string(written).unwrap(),
        html::render_joined(&reports).unwrap()
    );
}

/// 10 000 windows of 40 repetitions each.
fn large() -> Report {
    let mut records = support::golden();
    let mut samples = records.lines.iter_mut().filter_map(|line| match line {
        Record::Sample(sample) if matches!(sample.phase, Phase::Decode | Phase::Prefill) => {
            Some(sample)
        }
        _ => None,
    });
    for sample in &mut samples {
        let first = sample.durations_ns[0];
        sample.durations_ns = (0..40)
            .map(|n| first + first / 997 * ((n * 31) % 40))
            .collect();
    }
    let samples = records
        .lines
        .iter()
        .filter(|line| matches!(line, Record::Sample(_)));
    let samples: Vec<Record> = samples.cloned().collect();
    // As idle windows they add to the time line, and to no figure.
    let idle = samples
        .iter()
        .cycle()
        .zip(0_u64..)
        .take(10_000 - samples.len());
    let idle = idle.map(|(line, number)| {
        let Record::Sample(mut sample) = line.clone() else {
            unreachable!("samples only")
        };
        sample.phase = Phase::WarmUp;
        sample.at_ns = number * 1_000_000_000;
        Record::Sample(sample)
    });
    let idle: Vec<Record> = idle.collect();
    records.lines.splice(0..0, idle);
    Report::new(&records)
}

#[test]
fn a_large_record_gives_a_page_below_three_megabytes_that_says_what_it_left_out() {
    let report = large();
    assert_eq!(report.windows.len(), 10_000);
    let page = html::render(&report).unwrap();
    assert!(page.len() < 3_000_000, "{}", page.len());
    assert!(page.contains(" windows is drawn, in the order in which they were stored."));
    assert_eq!(
        page,
        html::render(&large()).unwrap(),
        "the same record gives the same page"
    );
    // 40 repetitions in each of 3 rounds are few enough to be drawn one by one.
    assert!(!page.contains("equal steps of rank between them."));
}

#[test]
fn the_policy_of_the_page_lets_nothing_in() {
    let page = html::render(&Report::new(&support::golden())).unwrap();
    let (_, policy) = page
        .split_once("http-equiv=\"Content-Security-Policy\" content=\"")
        .unwrap();
    let (policy, _) = policy.split_once('"').unwrap();
    assert!(
        policy.starts_with("default-src 'none'; style-src 'sha256-"),
        "{policy}"
    );
    assert!(!policy.contains("unsafe"), "{policy}");
    // A browser checks the digests: scripts/check-page.
    assert_eq!(policy.matches("'sha256-").count(), 2, "{policy}");
    assert!(
        !page.contains(" style=\"") && !page.contains(" onclick"),
        "not allowed by the policy"
    );
}

/// Of the windows of a phase, those count that the figures rest on.
#[test]
fn windows_that_were_measured_again_or_in_slices_are_told_apart() {
    let job = "700M/i2s-avx2/2";
    let mut lines = support::lines(support::no_counters());
    let end = lines.pop().unwrap();
    let decode = lines.iter().find_map(|line| match line {
        Record::Sample(s)
            if s.place.job == job && s.place.round == 0 && s.phase == Phase::Decode =>
        {
            Some(s.clone())
        }
        _ => None,
    });
    let decode = decode.unwrap();
    lines.push(Record::Resumed(Resumed {
        at: "2026-01-02T04:00:00Z".to_owned(),
        bitbench: "0.1.0".to_owned(),
        command: vec!["bitbench".to_owned()],
    }));
    // A later process, in two slices; then a line of an earlier one that came late.
    for (process, slice) in [(900, Some(0)), (900, Some(1)), (899, None)] {
        let mut sample = decode.clone();
        sample.place.process = process;
        sample.slice = slice;
        sample.at_ns = 5_000_000_000;
        lines.push(Record::Sample(sample));
    }
    lines.push(end);
    let report = Report::new(&support::read_back(&lines));
    let of_round = report
        .windows
        .iter()
        .filter(|w| w.job == job && w.round == 0 && w.phase == Phase::Decode);
    let counts: Vec<bool> = of_round.map(|w| w.counts).collect();
    assert_eq!(counts, [false, true, true, false]);
    // The time of the second process begins where that of the first ends.
    let before = &report.windows[..report.windows.len() - 3];
    let end = before
        .iter()
        .map(|w| w.start_s + w.seconds)
        .fold(0.0, f64::max);
    let late = &report.windows[report.windows.len() - 3];
    assert!(
        (late.start_s - (end + 5.0)).abs() < 1e-9,
        "{} after {end}",
        late.start_s
    );
}
