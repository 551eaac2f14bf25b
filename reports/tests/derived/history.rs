//! What is kept of runs by commit, and what comes back.

use crate::support::*;
use bitbench_reports::history::*;
use bitbench_reports::record::*;
use rusqlite::Connection;
use std::fs;
use std::path::{Path, PathBuf};

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        Place {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn open(&self) -> History {
        History::open(&self.path("sub/history.sqlite")).unwrap()
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "made-up durations are small and positive"
)]
/// The run of the golden tests at another time, of another revision, and with decode at so many times its speed.
fn records(day: usize, revision: &str, speed: f64) -> Records {
    let mut lines = lines(counters(Provenance::MeasuredCounter));
    for line in &mut lines {
        match line {
            Record::Run(run) => {
                run.started_at = format!("2026-02-{day:02}T03:04:05.5Z");
                run.bitbench = format!("0.1.0 ({revision})");
            }
            Record::Sample(sample) if sample.phase == Phase::Decode => {
                for duration in &mut sample.durations_ns {
                    *duration = (*duration as f64 / speed).round() as u64;
                }
            }
            _ => {}
        }
    }
    read_back(&lines)
}

fn exported(history: &History) -> String {
    let mut out = Vec::new();
    history.export(&mut out, Path::new("out")).unwrap();
    String::from_utf8(out).unwrap()
}

fn import(history: &mut History, text: impl AsRef<[u8]>) -> Result<Imported, HistoryError> {
    history.import(text.as_ref(), Path::new("in"))
}

#[test]
fn a_run_is_kept_once_with_the_figures_of_its_jobs() {
    let place = Place::new();
    let mut history = place.open();
    let first = records(1, "0123456789", 1.0);
    let added = history.add_run(&first, Some("abc")).unwrap();
    assert_eq!(added.run, AddedRun::New);
    assert_eq!(added.commit.as_deref(), Some("abc"));
    let again = history.add_run(&first, Some("other")).unwrap();
    assert_eq!(again.run, AddedRun::Same);
    assert_eq!(again.commit.as_deref(), Some("abc"));
    assert_eq!(again.rows, added.rows);
    let mut other = first.clone();
    other.run.seed += 1;
    assert_eq!(history.add_run(&other, None).unwrap().run, AddedRun::New);

    let runs = history.runs().unwrap();
    assert_eq!(runs.len(), 2);
    let run = &runs[runs.iter().position(|run| run.commit.is_some()).unwrap()];
    assert_eq!(run.rows.len(), added.rows);
    let of = |job: &str, figure: &str| {
        let mut rows = run.rows.iter();
        rows.find(|row| row.job == job && row.figure == figure)
    };
    let decode = of("700M/i2s-avx2/2", "decode").unwrap();
    let report = bitbench_reports::report::Report::new(&first);
    let figure = row(&report, "700M/i2s-avx2/2")
        .summary
        .figure(|round| &round.decode_tokens_per_second)
        .unwrap();
    assert!((decode.median / figure.median - 1.0).abs() < 1e-11);
    assert!((decode.low / figure.min - 1.0).abs() < 1e-11);
    assert!((decode.high / figure.max - 1.0).abs() < 1e-11);
    assert_eq!(
        (decode.rounds, decode.threads, decode.more_is_better),
        (3, 2, true)
    );
    for figure in ["prefill", "peak memory", "weights", "decode energy"] {
        assert!(of("700M/i2s-avx2/2", figure).is_some(), "{figure}");
    }
    let energy = of("700M/i2s-avx2/2", "decode energy").unwrap();
    assert_eq!(
        energy.basis.as_deref(),
        Some("powercap: package-0, package-0/dram")
    );
    // A counter that vanished is no figure, and neither is a job that was skipped or failed.
    assert!(of("small-f16.gguf/i2s-avx2/1", "decode").is_some());
    assert!(of("small-f16.gguf/i2s-avx2/1", "decode energy").is_none());
    for job in ["700M/i2s-avx512-vnni/2", "small-f16.gguf/i2s-scalar/1"] {
        assert!(run.rows.iter().all(|row| row.job != job), "{job}");
    }
}

#[test]
fn simulated_energy_is_never_kept() {
    let place = Place::new();
    let mut history = place.open();
    let simulated = read_back(&lines(counters(Provenance::Simulated)));
    history.add_run(&simulated, None).unwrap();
    let runs = history.runs().unwrap();
    assert!(runs[0].rows.iter().any(|row| row.figure == "decode"));
    assert!(runs[0].rows.iter().all(|row| row.figure != "decode energy"));
}

#[test]
fn a_resumed_run_replaces_what_was_kept_of_it() {
    let place = Place::new();
    let mut history = place.open();
    let whole = records(1, "0123456789", 1.0);
    let mut part = whole.clone();
    part.lines.truncate(part.lines.len() / 2);
    history.add_run(&part, None).unwrap();
    let before = history.runs().unwrap()[0].rows[0].rounds;
    let grown = history.add_run(&whole, Some("abc")).unwrap();
    assert_eq!(grown.run, AddedRun::Grown);
    // What was stored before the resumption does not come back.
    assert_eq!(history.add_run(&part, None).unwrap().run, AddedRun::Same);
    let runs = history.runs().unwrap();
    assert_eq!(runs.len(), 1);
    assert_eq!(runs[0].commit.as_deref(), Some("abc"));
    assert!(runs[0].rows[0].rounds > before);
    history.check().unwrap();
}

/// A run whose first job is measured a second time as its control, over seven rounds.
fn with_control(day: usize, injected: Option<f64>) -> Records {
    let mut run = run(no_counters());
    run.started_at = format!("2026-03-{day:02}T00:00:00Z");
    run.jobs.truncate(2);
    let mut control = run.jobs[0].clone();
    control.id.push_str("/control");
    control.control_of = Some(run.jobs[0].id.clone());
    control.injected_percent = injected;
    run.jobs.push(control);
    let mut lines = vec![Record::Run(Box::new(run.clone()))];
    for number in 0..7 {
        for job in &run.jobs {
            lines.extend(round(&no_counters(), job, number, number));
        }
    }
    lines.push(end(false));
    read_back(&lines)
}

#[test]
fn the_controls_of_runs_are_kept_and_those_of_tests_are_not() {
    let place = Place::new();
    let mut history = place.open();
    let measured = with_control(1, None);
    assert_eq!(history.add_run(&measured, None).unwrap().controls, 2);
    assert_eq!(history.add_run(&measured, None).unwrap().controls, 0);
    assert_eq!(
        history
            .add_run(&with_control(2, Some(5.0)), None)
            .unwrap()
            .controls,
        0
    );
    let controls = history.controls().unwrap();
    let figures: Vec<&str> = controls.iter().map(|(_, c)| c.figure.as_str()).collect();
    assert_eq!(figures, ["decode", "prefill"]);
    assert_eq!(controls[0].1.rounds, 7);
    assert_eq!(controls[0].1.job, measured.run.jobs[0].id);
    let jobs = history.runs().unwrap();
    assert!(
        jobs.iter()
            .flat_map(|run| &run.rows)
            .all(|row| !row.job.ends_with("/control"))
    );
}

#[test]
fn the_noise_of_a_machine_is_unknown_until_enough_was_seen_of_it() {
    let place = Place::new();
    let mut history = place.open();
    let host = run(no_counters()).host;
    let control = |number: usize, ratio: f64| ControlRow {
        suite: "gate".to_owned(),
        job: "job".to_owned(),
        figure: "decode".to_owned(),
        ratio,
        rounds: 10,
        at: format!("2026-03-01T00:00:{number:02}Z"),
    };
    // 1 % above and below in turn, and a last one of 5 %.
    let mut controls: Vec<ControlRow> = (0..19)
        .map(|n| control(n, if n % 2 == 0 { 1.01 } else { 1.0 / 1.01 }))
        .collect();
    assert_eq!(history.add_controls(&host, &controls).unwrap(), 19);
    assert_eq!(history.noise_floor(&host, "gate", "decode").unwrap(), None);
    controls.push(control(19, 1.05));
    controls.push(control(20, f64::NAN));
    controls.push(control(21, 0.0));
    assert_eq!(history.add_controls(&host, &controls).unwrap(), 1);
    let floor = history
        .noise_floor(&host, "gate", "decode")
        .unwrap()
        .unwrap();
    assert_eq!(floor.n, 20);
    // Type 7: 0.525 of the way from the second largest of twenty to the largest.
    let expected = 0.525 * 1.05_f64.ln() + 0.475 * 1.01_f64.ln();
    assert!((floor.floor - expected).abs() < 1e-9, "{floor:?}");
    assert_eq!(history.noise_floor(&host, "gate", "prefill").unwrap(), None);
    assert_eq!(
        history.noise_floor(&host, "x86-energy", "decode").unwrap(),
        None
    );
    // Sessions of few rounds say nothing of the machine.
    let few: Vec<ControlRow> = (30..50)
        .map(|number| ControlRow {
            rounds: 3,
            ..control(number, 2.0)
        })
        .collect();
    assert_eq!(history.add_controls(&host, &few).unwrap(), 20);
    assert_eq!(
        history.noise_floor(&host, "gate", "decode").unwrap(),
        Some(floor)
    );
    let other = Host {
        cpu: Some("Another CPU".to_owned()),
        ..host.clone()
    };
    assert_ne!(host_key(&host), host_key(&other));
    assert_eq!(history.noise_floor(&other, "gate", "decode").unwrap(), None);
    // How busy it was is no fact that stays.
    let busy = Host {
        load_centi: Some(900),
        ..host.clone()
    };
    assert_eq!(host_key(&host), host_key(&busy));
}

#[test]
fn a_trend_has_one_value_a_commit_and_marks_what_changed() {
    let place = Place::new();
    let mut history = place.open();
    for day in 1..=20 {
        let speed = if day <= 10 { 1.0 } else { 0.8 } * (1.0 + 0.001 * (day % 3) as f64);
        let records = records(day, &format!("{day:010}"), speed);
        let commit = revision(&records.run.bitbench).unwrap();
        history.add_run(&records, Some(&commit)).unwrap();
    }
    // A second run of a commit is no second point.
    let mut again = records(21, "0000000020", 0.8);
    again.run.seed = 1;
    history.add_run(&again, Some("0000000020")).unwrap();
    let wanted = Wanted {
        job: Some("700M*avx2".to_owned()),
        figure: Some("decode".to_owned()),
        host: Some("Example".to_owned()),
        suite: Some("x86-energy".to_owned()),
    };
    let trends = history.trends(&wanted).unwrap();
    let jobs: Vec<&str> = trends.iter().map(|trend| trend.job.as_str()).collect();
    assert_eq!(
        jobs,
        [
            "700M/f16-avx2/1",
            "700M/f16-avx2/2",
            "700M/i2s-avx2/1",
            "700M/i2s-avx2/2"
        ]
    );
    for trend in &trends {
        assert_eq!(trend.points.len(), 20);
        assert_eq!(trend.points[19].runs, 2);
        assert_eq!(trend.points[19].rounds, 6);
        assert_eq!(trend.changes.len(), 1, "{:?}", trend.changes);
        assert_eq!(trend.points[trend.changes[0].at].label(), "0000000011");
        let (ratio, better) = trend.effect(&trend.changes[0]);
        assert!((ratio - 0.8).abs() < 0.01 && !better);
    }
    let page = page(&trends).unwrap();
    for words in [
        "decode: worse from 0000000011 on",
        "-20.0 %",
        "Example CPU 3000",
    ] {
        assert!(page.contains(words), "no {words}");
    }
    let drawing = svg(&trends).unwrap();
    let drawing = roxmltree::Document::parse(&drawing).unwrap();
    assert_eq!(drawing.root_element().tag_name().name(), "svg");
    let mut evil = trends[0].clone();
    evil.job = "</title><script>alert(1)</script>".to_owned();
    evil.host = "<b onload=x>".to_owned();
    evil.points[3].commit = Some("\"><script>".to_owned());
    let evil = [evil];
    for text in [
        bitbench_reports::history::page(&evil).unwrap(),
        svg(&evil).unwrap(),
    ] {
        assert!(
            !text.contains("<script") && !text.contains("<b onload"),
            "{text}"
        );
    }
    for nothing in [
        Wanted {
            job: Some("avx2*700M".to_owned()),
            ..Wanted::default()
        },
        Wanted {
            figure: Some("multiply".to_owned()),
            ..Wanted::default()
        },
        Wanted {
            host: Some("Nobody".to_owned()),
            ..Wanted::default()
        },
        Wanted {
            suite: Some("x86".to_owned()),
            ..Wanted::default()
        },
    ] {
        assert_eq!(history.trends(&nothing).unwrap(), [], "{nothing:?}");
    }
    let key = host_key(&again.run.host).replace("blake3:", "")[..8].to_owned();
    let by_key = Wanted {
        host: Some(key),
        ..Wanted::default()
    };
    assert!(!history.trends(&by_key).unwrap().is_empty());
}

#[test]
fn versions_name_the_revision_that_measured() {
    for (version, expected) in [
        ("0.1.0 (0123456789)", Some("0123456789")),
        ("0.1.0 (0123456789, changed)", Some("0123456789-dirty")),
        ("0.1.0 (unknown revision)", None),
        ("0.1.0", None),
        ("0.1.0 ()", None),
        ("0.1.0 (012345678", None),
        ("0.1.0 (0123456789, odd)", None),
    ] {
        assert_eq!(revision(version).as_deref(), expected, "{version}");
    }
}

#[test]
fn lines_of_json_give_back_the_same_history() {
    let place = Place::new();
    let mut history = place.open();
    for day in 1..=5 {
        let speed = 1.0 + day as f64 / 7.0;
        history
            .add_run(&records(day, "0123456789", speed), Some("abc"))
            .unwrap();
    }
    history.add_run(&with_control(1, None), None).unwrap();
    let text = exported(&history);
    let mut other = History::open(&place.path("other.sqlite")).unwrap();
    let imported = import(&mut other, &text).unwrap();
    assert_eq!(
        (imported.runs, imported.controls, imported.known),
        (6, 2, 0)
    );
    assert_eq!(exported(&other), text);
    assert_eq!(other.runs().unwrap(), history.runs().unwrap());
    let again = import(&mut other, &text).unwrap();
    assert_eq!((again.runs, again.controls, again.known), (0, 0, 8));
    assert_eq!(exported(&other), text);
}

#[test]
fn a_wrong_line_is_named_and_nothing_is_imported() {
    let place = Place::new();
    let mut history = place.open();
    history
        .add_run(&records(1, "0123456789", 1.0), None)
        .unwrap();
    history.add_run(&with_control(1, None), None).unwrap();
    let text = exported(&history);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 5);
    let change = |line: usize, from: &str, to: &str| {
        let mut lines: Vec<String> = lines.iter().map(|l| (*l).to_owned()).collect();
        assert!(
            lines[line - 1].contains(from),
            "{from}: {}",
            lines[line - 1]
        );
        lines[line - 1] = lines[line - 1].replacen(from, to, 1);
        (line as u64, lines.join("\n"))
    };
    let long = format!("\"commit\":\"{}\"", "x".repeat(5000));
    let mut cases = vec![
        change(1, "\"format\":1", "\"format\":2"),
        change(1, "history", "past"),
        change(1, "{", ""),
        change(2, "\"rounds\":3", "\"rounds\":0"),
        change(2, "\"rounds\":3", "\"rounds\":-3"),
        change(2, "\"rounds\":3", "\"rounds\":99999999999999"),
        change(2, "\"low\":", "\"low\":1e300,\"was\":"),
        change(2, "\"low\":", "\"low\":1e999,\"x\":"),
        change(2, "\"median\":", "\"median\":1e300,\"median\":"),
        change(2, "\"key\":\"blake3:", "\"key\":\"blake3:x"),
        change(2, "\"at\":\"2026", "\"at\":\"soon"),
        change(2, "05.5Z", "05.5+01:00"),
        change(2, "\"commit\":null", "\"commit\":\"\""),
        change(2, "\"commit\":null", &long),
        change(2, "\"suite\":", "\"unknown\":1,\"suite\":"),
        change(3, "\"entry\":\"run\"", "\"entry\":\"history\",\"format\":1"),
        change(4, "\"ratio\":", "\"ratio\":-"),
        change(4, "\"control\":", "\"kontrol\":"),
        change(5, "\"entry\":\"control\"", "\"entry\":\"tea\""),
        change(5, "}", "\u{0}}"),
    ];
    // The low of a row above its median.
    let low = lines[1].find("\"low\":").unwrap();
    let mut ordered = lines[1].to_owned();
    ordered.insert_str(low + 6, "9999999");
    cases.push((2, [lines[0], &ordered].join("\n")));
    // A row twice.
    let rows = lines[1].find("\"rows\":[").unwrap() + 8;
    let end = lines[1][rows..].find('}').unwrap() + rows + 1;
    let row = lines[1][rows..end].to_owned();
    let mut twice = lines[1].to_owned();
    twice.insert_str(rows, &(row + ","));
    cases.push((2, [lines[0], &twice].join("\n")));
    for (number, (line, text)) in cases.into_iter().enumerate() {
        let mut fresh = History::open(&place.path(&format!("{number}.sqlite"))).unwrap();
        let error = import(&mut fresh, &text).unwrap_err();
        let HistoryError::Line { line: found, .. } = &error else {
            panic!("{number}: {error:?}");
        };
        assert_eq!(*found, line, "{number}: {error}");
        assert!(
            error.to_string().contains("nothing was imported"),
            "{error}"
        );
        assert_eq!(
            exported(&fresh).lines().count(),
            1,
            "{number}: half imported"
        );
    }
    let mut fresh = place.open();
    for text in ["", "\n", "\u{0}", "[]", "null"] {
        assert!(matches!(
            import(&mut fresh, text),
            Err(HistoryError::Line { line: 1, .. })
        ));
    }
    assert!(matches!(
        import(
            &mut fresh,
            [
                b"{\"entry\":\"history\",\"format\":1}\n".as_slice(),
                &[0xff, 0xfe]
            ]
            .concat()
        ),
        Err(HistoryError::Line { line: 2, .. })
    ));
    // A last line without its end, and empty lines, are no errors.
    assert!(import(&mut fresh, text.trim_end().replace('\n', "\n\n")).is_ok());
}

#[test]
fn files_that_are_something_else_are_left_alone() {
    let place = Place::new();
    let path = place.path("file");
    let open = || History::open(&path).map(|_| ()).unwrap_err();
    fs::write(&path, "dear diary\n".repeat(200)).unwrap();
    let error = open();
    assert!(matches!(error, HistoryError::Foreign { .. }), "{error:?}");
    assert!(error.to_string().contains("--file"), "{error}");
    assert_eq!(fs::read(&path).unwrap().len(), 2200);

    fs::remove_file(&path).unwrap();
    let foreign = Connection::open(&path).unwrap();
    foreign
        .execute_batch("CREATE TABLE runs (id); INSERT INTO runs VALUES (1);")
        .unwrap();
    assert!(matches!(open(), HistoryError::Foreign { .. }));
    let rows: i64 = foreign
        .query_row("SELECT count(*) FROM runs", [], |row| row.get(0))
        .unwrap();
    assert_eq!(rows, 1);
    drop(foreign);

    fs::remove_file(&path).unwrap();
    History::open(&path).unwrap();
    let newer = Connection::open(&path).unwrap();
    newer
        .pragma_update(None, "user_version", FORMAT + 1)
        .unwrap();
    let error = open();
    assert!(matches!(error, HistoryError::Newer { .. }), "{error:?}");
    assert!(error.to_string().contains("format 2"), "{error}");

    assert!(matches!(
        History::existing(&place.path("none")),
        Err(HistoryError::Absent { .. })
    ));
    assert!(!place.path("none").exists());
    assert!(History::open(place.folder.path()).is_err());
    fs::write(place.path("plain"), "").unwrap();
    let below = History::open(&place.path("plain/below/history.sqlite"));
    assert!(matches!(below, Err(HistoryError::Io { .. })));
    // An empty file is one that somebody made for it.
    History::open(&place.path("plain")).unwrap();
}

#[test]
fn a_damaged_file_is_an_error_that_says_what_to_do() {
    let place = Place::new();
    let path = place.path("history.sqlite");
    let mut history = History::open(&path).unwrap();
    for day in 1..=9 {
        history
            .add_run(&records(day, "0123456789", 1.0), None)
            .unwrap();
    }
    drop(history);
    let whole = fs::read(&path).unwrap();
    let mut told = 0;
    for page in 1..whole.len() / 4096 {
        let mut damaged = whole.clone();
        damaged[page * 4096..][..4096].fill(0xa5);
        fs::write(&path, &damaged).unwrap();
        let outcome = History::existing(&path).and_then(|history| {
            history.check()?;
            history.runs()
        });
        match outcome {
            Err(error @ HistoryError::Corrupt { .. }) => {
                let text = error.to_string();
                assert!(
                    text.contains("history.sqlite") && text.contains("import"),
                    "{text}"
                );
                told += 1;
            }
            other => panic!("page {page}: {other:?}"),
        }
    }
    assert!(told > 3);
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let cut = History::existing(&path).and_then(|history| history.check());
    assert!(matches!(cut, Err(HistoryError::Corrupt { .. })), "{cut:?}");
}
