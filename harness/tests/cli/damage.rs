//! Kills and interrupts: nothing that was finished is lost, and the run can be gone on with.

use crate::support::{
    Bench, Running, Suite, children, fixture, lacks_a_feature, outcomes, parent_of_living,
    runs_here, samples, send,
};
use bitbench::worker::PROTOCOL;
use bitbench_reports::design::{ROUNDS_OF_BLOCK, Schedule};
use bitbench_reports::record::{Design, Outcome, Phase, Record, Run};
use rustix::process::Signal;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::time::{Duration, Instant};

const RUN: &str = "run --suite mine.toml --out out";

fn suite() -> Suite {
    Suite {
        kernels: r#""*-scalar""#,
        models: &["tiny", "small"],
        rounds: 2,
        window_s: 0.25,
        ..Suite::default()
    }
}

/// The order in which the rounds of a run come, by the seed and the jobs in its record.
fn expected_order(run: &Run, rounds: u32) -> Vec<(String, u32)> {
    let schedule = Schedule::of(run.seed, &run.jobs);
    let turns = (0..rounds.div_ceil(ROUNDS_OF_BLOCK)).flat_map(|block| schedule.block(block));
    let due = turns.filter(|turn| turn.round < rounds);
    due.map(|turn| (run.jobs[turn.job].id.clone(), turn.round))
        .collect()
}

/// Waits until so many rounds ended and the next one has a sample: the middle of a run.
fn wait_for_middle(bench: &Bench, running: &mut Running, ended: usize) {
    running.wait_for("the middle of a run", || {
        let records = bench.records_so_far("out");
        let begun = matches!(records.last(), Some(Record::Sample(s)) if s.phase == Phase::Prefill);
        (outcomes(&records).len() >= ended && begun).then_some(())
    });
}

fn wait_for_end_of(processes: &[u32]) -> Duration {
    let start = Instant::now();
    for id in processes {
        while parent_of_living(*id).is_some() {
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "worker {id} goes on"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    start.elapsed()
}

/// Checks a finished run: every round of every job once, by one process, in the order of the seed.
fn assert_complete(bench: &Bench, rounds: u32) {
    let records = bench.records("out");
    assert_eq!(records.run.design, Some(Design::MirroredRows));
    let ended: Vec<(String, u32)> = outcomes(&records.lines)
        .into_iter()
        .map(|(place, outcome)| {
            assert_eq!(*outcome, Outcome::Measured, "{place:?}");
            (place.job.clone(), place.round)
        })
        .collect();
    assert_eq!(ended, expected_order(&records.run, rounds));
    for (job, row) in bench.csv("out") {
        assert_eq!(row["status"], "measured", "{job}");
        assert_eq!(
            row["decode_tokens_per_second_n"],
            rounds.to_string(),
            "{job}"
        );
    }
}

/// A job and the number of a round of it.
type Round = (String, u32);

/// The processes that worked on each round, and the rounds that ended.
fn work(records: &[Record]) -> (BTreeMap<Round, BTreeSet<u32>>, BTreeSet<Round>) {
    let mut processes: BTreeMap<_, BTreeSet<u32>> = BTreeMap::new();
    for sample in samples(records) {
        let place = &sample.place;
        let round = processes
            .entry((place.job.clone(), place.round))
            .or_default();
        round.insert(place.process);
    }
    let ended = outcomes(records);
    let ended = ended.into_iter().map(|(p, _)| (p.job.clone(), p.round));
    (processes, ended.collect())
}

#[test]
fn a_killed_run_loses_nothing_and_can_be_resumed() {
    let bench = Bench::alone();
    bench.suite(&suite());
    let mut running = bench.start(RUN);
    wait_for_middle(&bench, &mut running, 3);
    let before = bench.read("out/records.jsonl");
    let workers = children(running.id());
    assert_eq!(workers.len(), 1, "one worker at a time");
    running.signal(Signal::KILL);
    let said = running.end();
    assert_eq!(said.status.code(), None);
    let gone = wait_for_end_of(&workers);

    let after = bench.read("out/records.jsonl");
    assert!(after.starts_with(&before), "a line that was there is lost");
    let records = bench.records("out");
    assert_eq!(records.whole_bytes, after.len() as u64, "whole lines only");
    let told = said.err.matches("measured in").count();
    let ended = outcomes(&records.lines).len();
    assert!(
        ended >= told,
        "{told} rounds were reported as measured, {ended} are in the record"
    );
    let (_, finished) = work(&records.lines);
    let samples_before = samples(&records.lines).count();

    // Half a line, as a kill in mid-write leaves it.
    let torn = &before.lines().last().unwrap()[..40];
    let mut file = OpenOptions::new()
        .append(true)
        .open(bench.path().join("out/records.jsonl"))
        .unwrap();
    file.write_all(torn.as_bytes()).unwrap();
    drop(file);
    bench.run("report out").expect(0);
    assert!(
        bench.read("out/report.html").contains("killed"),
        "the report says that the run was killed"
    );

    let ran = bench.run(&format!("{RUN} --resume")).expect(0);
    let records = bench.records("out");
    assert!(bench.read("out/records.jsonl").starts_with(&after));
    let (processes, all) = work(&records.lines);
    for round in &finished {
        assert_eq!(processes[round].len(), 1, "{round:?} was repeated");
    }
    let repeated = processes.values().filter(|p| p.len() > 1).count();
    assert!(
        repeated <= 1,
        "{repeated} rounds have samples of two processes"
    );
    assert_complete(&bench, 2);
    assert!(!bench.has("out/.check"));
    assert_eq!(
        ran.err.matches("measured in").count(),
        all.len() - finished.len()
    );
    println!(
        "{} of {} rounds and {samples_before} samples before the kill, {} rounds after; the worker was gone after {gone:?}",
        finished.len(),
        all.len(),
        all.len() - finished.len()
    );

    // A run that is done is done.
    let bytes = bench.read("out/records.jsonl").len();
    let ran = bench.run(&format!("{RUN} --resume")).expect(0);
    assert!(!ran.err.contains("measured in"), "{}", ran.err);
    assert!(bench.read("out/records.jsonl").len() >= bytes);
    assert_complete(&bench, 2);
}

#[test]
fn a_run_killed_again_and_again_ends_as_if_it_had_not_been() {
    let bench = Bench::alone();
    bench.suite(&Suite {
        models: &["tiny"],
        window_s: 0.15,
        ..suite()
    });
    let mut kills = 0;
    for number in 1..4 {
        let resume = if bench.has("out") { " --resume" } else { "" };
        let mut running = bench.start(&format!("{RUN}{resume}"));
        running.wait_for("one more line", || {
            let records = bench.records_so_far("out");
            (samples(&records).count() >= number * 2).then_some(())
        });
        running.signal(Signal::KILL);
        kills += usize::from(running.end().status.code().is_none());
        bench.records("out");
    }
    bench.run(&format!("{RUN} --resume")).expect(0);
    assert_complete(&bench, 2);
    println!("{kills} kills");
}

#[test]
fn resuming_another_run_is_refused_with_what_differs() {
    let bench = Bench::beside();
    let suite = Suite::default();
    bench.suite(&suite);
    bench.run(RUN).expect(0);
    let records = bench.read("out/records.jsonl");
    let model = fixture("tiny-I2_S.gguf");
    let model = model.display();
    for (options, what) in [
        ("--quick".to_owned(), "the suite"),
        ("--kernel i2s-scalar".to_owned(), "the list of jobs"),
        ("--threads 2".to_owned(), "the list of jobs"),
        (format!("--model {model}"), "the list of jobs"),
    ] {
        bench
            .run(&format!("{RUN} --resume {options}"))
            .expect(2)
            .says(&["records.jsonl", what, "differs"]);
    }
    bench.suite(&Suite {
        rounds: 4,
        ..suite.clone()
    });
    bench
        .run(&format!("{RUN} --resume"))
        .expect(2)
        .says(&["the suite"]);
    bench.suite(&suite);
    bench.file("other.toml", suite.text());
    bench
        .run("run --suite other.toml --out out --resume")
        .expect(2)
        .says(&["the suite"]);

    // Without --resume nothing that exists is written over.
    bench
        .run(RUN)
        .expect(2)
        .says(&["records.jsonl", "--resume", "--out"]);
    assert_eq!(records, bench.read("out/records.jsonl"));
    assert!(!bench.has("out/.check"));
    bench.run(&format!("{RUN} --resume")).expect(0);
}

#[test]
fn a_folder_that_a_run_is_writing_to_cannot_be_resumed() {
    let bench = Bench::alone();
    bench.suite(&suite());
    let mut running = bench.start(RUN);
    wait_for_middle(&bench, &mut running, 1);
    bench
        .run(&format!("{RUN} --resume"))
        .expect(2)
        .says(&["records.jsonl", "still"]);
    running.signal(Signal::KILL);
    running.end();
    bench.run(&format!("{RUN} --resume")).expect(0);
    assert_complete(&bench, 2);
}

#[test]
fn a_killed_worker_is_a_failed_row_and_the_rest_is_measured() {
    let bench = Bench::alone();
    bench.suite(&suite());
    let mut running = bench.start(RUN);
    wait_for_middle(&bench, &mut running, 2);
    let workers = children(running.id());
    assert_eq!(workers.len(), 1);
    send(workers[0], Signal::KILL);
    let ran = running.end().expect(1);
    assert!(ran.err.contains("FAILED"), "{}", ran.err);
    one_failed_row(&bench, "signal 9");
    assert!(ran.out.contains("signal 9"), "{}", ran.out);
    assert!(bench.read("out/report.html").contains("signal 9"));
}

/// Checks that one row failed for this reason, and that all others were measured, but those of kernels that this CPU lacks.
fn one_failed_row(bench: &Bench, word: &str) {
    let mut rows = bench.csv("out");
    rows.retain(|job, row| {
        let runs = runs_here(&row["kernel"]);
        assert_eq!(row["status"] == "skipped", !runs, "{job}: {row:?}");
        assert!(runs || lacks_a_feature(&row["reason"]), "{job}: {row:?}");
        runs
    });
    let failed: Vec<_> = rows
        .values()
        .filter(|row| row["status"] == "failed")
        .collect();
    assert_eq!(failed.len(), 1, "{rows:#?}");
    assert!(
        failed[0]["reason"].contains(word),
        "{}",
        failed[0]["reason"]
    );
    assert_eq!(
        failed[0]["decode_tokens_per_second"], "",
        "no figure of a failed job"
    );
    let measured = rows.values().filter(|row| row["status"] == "measured");
    assert_eq!(measured.count(), rows.len() - 1);
}

#[test]
fn a_killed_reference_worker_costs_at_most_one_row() {
    let bench = Bench::alone();
    bench.suite(&Suite {
        models: &["medium"],
        kernels: r#""i2s-*""#,
        rounds: 1,
        ..suite()
    });
    let mut running = bench.start(RUN);
    let id = running.id();
    // The first worker of all computes the reference answer; nothing is recorded before it is done.
    let first = running.wait_for("the first worker", || children(id).first().copied());
    send(first, Signal::KILL);
    let ran = running.end().expect(1);
    assert!(
        ran.err.contains("no reference answer") || ran.err.contains("signal 9"),
        "{}",
        ran.err
    );
    one_failed_row(&bench, "signal 9");
}

#[test]
fn an_interrupted_run_leaves_a_report_and_can_be_resumed() {
    let bench = Bench::alone();
    bench.suite(&suite());
    let mut running = bench.start(RUN);
    wait_for_middle(&bench, &mut running, 2);
    let workers = children(running.id());
    running.signal(Signal::INT);
    let ran = running.end().expect(130);
    wait_for_end_of(&workers);
    assert!(ran.err.contains("--out out --resume"), "{}", ran.err);
    assert!(
        ran.out.contains("tok/s"),
        "what was measured is printed: {}",
        ran.out
    );
    let records = bench.records("out");
    assert!(matches!(records.lines.last(), Some(Record::End(end)) if end.interrupted));
    let rows = bench.csv("out");
    let measured = rows
        .values()
        .filter(|row| row["status"] == "measured")
        .count();
    assert!((1..rows.len() + 1).contains(&measured), "{rows:?}");
    assert!(bench.read("out/report.html").contains("interrupted"));
    assert!(!bench.has("out/.check"));
    let (_, finished) = work(&records.lines);
    bench.run(&format!("{RUN} --resume")).expect(0);
    let (processes, all) = work(&bench.records("out").lines);
    assert!(finished.iter().all(|round| processes[round].len() == 1));
    assert_complete(&bench, 2);
    println!(
        "{} rounds before Ctrl-C, {} after",
        finished.len(),
        all.len() - finished.len()
    );
    assert!(!bench.read("out/report.html").contains("was interrupted"));
}

#[test]
fn an_interrupt_while_weights_load_is_answered_at_once() {
    let bench = Bench::alone();
    bench.suite(&Suite {
        models: &["medium"],
        window_s: 5.0,
        ..suite()
    });
    let mut running = bench.start(RUN);
    let id = running.id();
    running.wait_for("the first worker", || children(id).first().copied());
    let start = Instant::now();
    running.signal(Signal::TERM);
    running.end().expect(130);
    assert!(
        start.elapsed() < Duration::from_secs(4),
        "{:?}",
        start.elapsed()
    );
    let rows = bench.csv("out");
    assert!(
        rows.values().all(|row| row["status"] == "not run"),
        "{rows:?}"
    );
}

#[test]
fn a_worker_of_another_version_is_a_failed_row() {
    let bench = Bench::beside();
    bench.suite(&Suite::default());
    fs::create_dir_all(bench.path().join("suites/engines/bitbench")).unwrap();
    for (run, word) in [
        (
            r#"["sh", "-c", "read line; echo nonsense"]"#,
            "not understood",
        ),
        (r#"["sh", "-c", "echo broken >&2; exit 7"]"#, "exit code 7"),
        (r#"["sh", "-c", "kill -SEGV $$"]"#, "signal 11"),
        (r#"["no-such-program"]"#, "cannot start `no-such-program`"),
        (
            r#"["sh", "-c", "read line; echo '{\"hello\":{\"name\":\"bitbench\",\"version\":\"0\",\"protocol\":PROTOCOL}}'; read line"]"#,
            "not the engine of the plan",
        ),
        (
            r#"["sh", "-c", "read line; echo '{\"hello\":{\"name\":\"bitbench\",\"version\":\"\",\"protocol\":PROTOCOL}}'; read line"]"#,
            "no usable greeting",
        ),
        (
            r#"["sh", "-c", "read line; echo '{\"hello\":{\"name\":\"bitbench\",\"version\":\"1\",\"protocol\":1}}'; read line"]"#,
            "no usable greeting",
        ),
    ] {
        let run = run.replace("PROTOCOL", &PROTOCOL.to_string());
        bench.file(
            "suites/engines/bitbench/engine.toml",
            format!("about = \"x\"\nrun = {run}\n"),
        );
        let ran = bench.run(&format!("{RUN} --quick")).expect(1);
        assert!(ran.err.contains(word), "{run}: no `{word}` in {}", ran.err);
        for row in bench.csv("out").values() {
            assert_eq!(row["status"], "failed", "{row:?}");
        }
        fs::remove_dir_all(bench.path().join("out")).unwrap();
    }
}
