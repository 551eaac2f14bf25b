//! The history: what is stored by commit, by many processes at a time, and what a kill leaves of it.

use crate::support::{BITBENCH, Bench, Running, Suite};
use bitbench_reports::history::History;
use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

const FILE: &str = "bitbench-results/history.sqlite";

/// A run in `run`, made once.
fn run(bench: &Bench) -> String {
    bench.suite(&Suite {
        window_s: 0.02,
        rounds: 1,
        ..Suite::default()
    });
    bench
        .run("run --suite mine.toml --no-control --out run")
        .expect(0);
    bench.read("run/records.jsonl")
}

/// A copy of a run as one that began at another time.
fn copy(bench: &Bench, records: &str, folder: &str, started_at: &str) {
    let begin = records.find("\"started_at\":\"").unwrap() + 14;
    let end = begin + records[begin..].find('"').unwrap();
    let text = format!("{}{started_at}{}", &records[..begin], &records[end..]);
    fs::create_dir_all(bench.path().join(folder)).unwrap();
    bench.file(&format!("{folder}/records.jsonl"), text);
}

/// The folders of the whole lines that say that a run is stored.
fn stored_by(out: &str) -> Vec<String> {
    let whole = out.rfind('\n').map_or("", |end| &out[..end]);
    let folder = |line: &str| {
        Some(
            line.strip_prefix("stored: ")?
                .split_once(": ")?
                .0
                .to_owned(),
        )
    };
    whole.lines().filter_map(folder).collect()
}

/// When the run in a folder such as `k1w2n3` began.
fn started(folder: &str) -> String {
    let numbers: Vec<u32> = folder
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|number| number.parse().ok())
        .collect();
    format!(
        "2026-01-01T{:02}:{:02}:{:02}Z",
        numbers[0], numbers[1], numbers[2]
    )
}

#[test]
fn runs_are_stored_shown_and_carried_over() {
    let bench = Bench::beside();
    bench.run("history show").expect(2).says(&["history add"]);
    assert!(!bench.has(FILE));
    let records = run(&bench);
    for day in 10..30 {
        copy(
            &bench,
            &records,
            &format!("day{day}"),
            &format!("2026-01-{day}T00:00:00Z"),
        );
        let ran = bench
            .run(&format!("history add day{day} --commit commit{day}"))
            .expect(0);
        assert!(ran.out.contains("as given"), "{}", ran.out);
    }
    let ran = bench.run("history add day10 day11").expect(0);
    assert_eq!(ran.out.matches("stored before: ").count(), 2, "{}", ran.out);
    assert!(
        ran.out.contains("commit commit10, as it was stored first"),
        "{}",
        ran.out
    );
    let ran = bench.run("history add run").expect(0);
    let told = [
        "which bitbench was built from",
        "HEAD of the current folder",
        "no commit",
    ];
    assert!(
        told.iter().any(|words| ran.out.contains(words)),
        "{}",
        ran.out
    );

    let ran = bench.run("history show").expect(0);
    for words in [
        "suite mine (",
        "tiny/i2s-scalar/1",
        "decode",
        "tok/s",
        "▅▅▅",
        "21 commits",
        "newest first: ",
    ] {
        assert!(ran.out.contains(words), "no {words} in {}", ran.out);
    }
    assert!(
        ran.out.lines().all(|line| line.chars().count() <= 80),
        "{}",
        ran.out
    );
    let ran = bench
        .run("history show --job f16* --figure prefill")
        .expect(0);
    assert!(
        !ran.out.contains("i2s") && !ran.out.contains("decode"),
        "{}",
        ran.out
    );
    bench
        .run("history show --host nobody")
        .expect(2)
        .says(&["no such figure"]);
    bench
        .run("history show --figure tea")
        .expect(2)
        .says(&["peak memory"]);

    bench.run("history plot --out page.html").expect(0);
    bench
        .run("history plot --out decode.svg --figure decode")
        .expect(0);
    bench
        .run("history plot --out plot.png")
        .expect(2)
        .says(&[".svg"]);
    let page = bench.read("page.html");
    assert!(
        page.contains("tiny/i2s-scalar/1, decode (tok/s)") && page.contains("No figure changed")
    );
    assert!(
        !page.contains("http://") || !page.contains("src="),
        "{page}"
    );
    assert!(bench.read("decode.svg").starts_with("<svg"));
    bench.run("history export lines.jsonl").expect(0);
    let ran = bench
        .run("history import lines.jsonl --file other.sqlite")
        .expect(0);
    assert!(
        ran.out.starts_with("21 runs and 0 A/A ratios were new, 0 "),
        "{}",
        ran.out
    );
    bench
        .run("history export again.jsonl --file other.sqlite")
        .expect(0);
    assert_eq!(bench.read("lines.jsonl"), bench.read("again.jsonl"));
    bench.file(
        "evil.jsonl",
        format!("{}\u{1b}[31m\n", bench.read("lines.jsonl")),
    );
    let ran = bench
        .run("history import evil.jsonl --file evil.sqlite")
        .expect(2);
    assert!(
        ran.err.contains("evil.jsonl") && ran.err.contains("line 23: "),
        "{}",
        ran.err
    );
    assert!(!ran.err.contains('\u{1b}'), "{}", ran.err);
    bench.run("history show --file evil.sqlite").expect(2);

    bench.file("text", "dear diary ".repeat(100));
    bench
        .run("history add day10 --file text")
        .expect(2)
        .says(&["text is no history", "--file"]);
    bench
        .run("history add nowhere")
        .expect(2)
        .says(&["nowhere"]);
}

/// Ten processes write at a time and one of them is killed at another moment in each of some rounds. Whatever was called stored
/// before is there afterwards, and the file is sound.
#[test]
fn a_kill_amid_ten_writers_loses_nothing_that_was_stored() {
    const WRITERS: usize = 10;
    const RUNS: usize = 5;
    const KILLS: u64 = 6;
    let bench = Bench::alone();
    let records = run(&bench);
    let mut stored = BTreeSet::new();
    let mut cut_short = 0;
    let begin = Instant::now();
    for kill in 0..KILLS {
        let mut writers: Vec<Running> = Vec::new();
        for writer in 0..WRITERS {
            // The one that is killed has so much to do that it is not done by then.
            let count = if writer == 0 { RUNS * 4 } else { RUNS };
            let folders: Vec<String> = (0..count)
                .map(|n| format!("k{kill}w{writer}n{n}"))
                .collect();
            for folder in &folders {
                copy(&bench, &records, folder, &started(folder));
            }
            let mut command = bench.command(BITBENCH);
            command
                .args(["history", "add", "--commit", "abc"])
                .args(folders);
            writers.push(Running::start(command));
        }
        let killed = writers.remove(0);
        // Before it has opened the file, while it waits for its turn or in the middle of a transaction.
        let wanted = usize::try_from(kill).unwrap();
        let patience = Instant::now();
        while stored_by(&killed.printed()).len() < wanted {
            assert!(
                patience.elapsed() < Duration::from_secs(120),
                "it stores nothing"
            );
            std::thread::sleep(Duration::from_micros(300));
        }
        std::thread::sleep(Duration::from_micros(700 * kill));
        killed.signal(rustix::process::Signal::KILL);
        let ran = killed.end();
        cut_short += usize::from(ran.status.code().is_none());
        stored.extend(stored_by(&ran.out));
        for writer in writers {
            let ran = writer.end().expect(0);
            let by = stored_by(&ran.out);
            assert_eq!(by.len(), RUNS, "{}", ran.out);
            stored.extend(by);
        }
        let history = History::existing(&bench.path().join(FILE)).unwrap();
        history.check().unwrap();
        let there: BTreeSet<String> = history
            .runs()
            .unwrap()
            .into_iter()
            .map(|run| run.at)
            .collect();
        let lost: Vec<&String> = stored
            .iter()
            .filter(|folder| !there.contains(&started(folder)))
            .collect();
        assert!(lost.is_empty(), "kill {kill}: {lost:?}");
        // At most the one run that was stored and not yet told of is there besides, for each kill.
        assert!(there.len() <= stored.len() + usize::try_from(kill).unwrap() + 1);
        let whole = history.runs().unwrap();
        let rows = whole[0].rows.len();
        assert!(
            rows > 0 && whole.iter().all(|run| run.rows.len() == rows),
            "half a run"
        );
    }
    println!(
        "{} runs stored, {cut_short} of {KILLS} writers killed before their end, {:.1} s",
        stored.len(),
        begin.elapsed().as_secs_f64()
    );
    assert!(cut_short > 0, "no writer was killed in time");
}
