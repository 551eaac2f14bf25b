//! The A/A control, and budgets of time and precision.

use crate::support::{Bench, Ran, Suite, outcomes};
use bitbench_reports::record::{End, Job, Record, Records, StoppedBy};
use serde_json::Value;

fn controls(records: &Records) -> Vec<&Job> {
    let jobs = records.run.jobs.iter();
    jobs.filter(|job| job.control_of.is_some()).collect()
}

/// What was printed, on one line: tables are broken to the width of the terminal.
fn said(ran: &Ran) -> String {
    let words: Vec<&str> = ran.out.split_whitespace().collect();
    words.join(" ")
}

fn stopped_by(records: &Records) -> Option<StoppedBy> {
    match records.lines.last() {
        Some(Record::End(End {
            interrupted: false,
            stopped_by,
            ..
        })) => *stopped_by,
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_job_is_measured_twice_and_is_a_line_but_no_row() {
    let bench = Bench::beside();
    bench.suite(&Suite {
        rounds: 3,
        window_s: 0.02,
        ..Suite::default()
    });
    let ran = bench.run("run --suite mine.toml --out out").expect(0);
    assert!(
        said(&ran).contains("A/A control (tiny, f16-scalar, 1 thread)"),
        "{}",
        ran.out
    );
    assert!(!said(&ran).contains("/control"), "{}", ran.out);
    let records = bench.records("out");
    let controls = controls(&records);
    assert_eq!(controls.len(), 1, "{:?}", records.run.jobs);
    assert_eq!(controls[0].control_of.as_deref(), Some("tiny/f16-scalar/1"));
    assert_eq!(controls[0].injected_percent, None);
    let of_control = outcomes(&records.lines).into_iter();
    let of_control = of_control.filter(|(place, _)| place.job == controls[0].id);
    assert_eq!(of_control.count(), 3);
    assert_eq!(bench.csv("out").len(), 2);
    let page = bench.read("out/report.html");
    assert!(page.contains("the same build against itself"));

    let shown = bench.run("report --control out").expect(0);
    let shown: Value = serde_json::from_str(&shown.out).unwrap();
    let cells = shown["cells"].as_array().unwrap();
    let what: Vec<&str> = cells
        .iter()
        .map(|cell| cell["what"].as_str().unwrap())
        .collect();
    assert_eq!(what, ["decode", "prefill"]);
    assert!(
        cells.iter().all(|cell| cell["decidable"] == false),
        "three rounds: {cells:?}"
    );

    for options in ["--no-control", "--quick", "--kernel i2s-scalar"] {
        let list = bench
            .run(&format!("run --suite mine.toml {options} --list"))
            .expect(0);
        assert!(!list.out.contains("/control"), "{options}: {}", list.out);
    }
}

#[test]
fn a_slowed_control_is_never_taken_for_a_result() {
    let bench = Bench::beside();
    bench.suite(&Suite {
        window_s: 0.02,
        kernels: r#""i2s-scalar""#,
        ..Suite::default()
    });
    let ran = bench
        .run("run --suite mine.toml --slow-down-control 50% --out out")
        .expect(0);
    assert!(said(&ran).contains("TEST, not a result"), "{}", ran.out);
    assert!(
        said(&ran).contains("slowed down by 50 % on purpose"),
        "{}",
        ran.out
    );
    let records = bench.records("out");
    assert_eq!(controls(&records)[0].injected_percent, Some(50.0));
    assert_eq!(bench.csv("out").len(), 1);
    bench
        .run("run --suite mine.toml --slow-down-control 5% --no-control --out other")
        .expect(2);
}

#[test]
fn a_time_budget_stops_a_run_between_blocks() {
    let bench = Bench::beside();
    bench.suite(&Suite {
        rounds: 100,
        window_s: 0.02,
        ..Suite::default()
    });
    let run = "run --suite mine.toml --no-control --time-budget 2s --out out";
    let ran = bench.run(run).expect(0);
    assert!(
        said(&ran).contains("the time budget of 2 s stopped the run"),
        "{}",
        ran.out
    );
    assert!(said(&ran).contains("100 were planned"), "{}", ran.out);
    let records = bench.records("out");
    assert_eq!(stopped_by(&records), Some(StoppedBy::TimeBudget));
    let rounds = outcomes(&records.lines).len();
    assert!(
        rounds >= 4 && rounds.is_multiple_of(4) && rounds < 200,
        "{rounds}"
    );
    for row in bench.csv("out").values() {
        assert_eq!(row["status"], "measured");
        assert_eq!(row["decode_tokens_per_second_n"], (rounds / 2).to_string());
    }
}

#[test]
fn a_target_precision_stops_a_run_early_or_asks_for_more() {
    let bench = Bench::beside();
    let suite = Suite {
        rounds: 40,
        window_s: 0.02,
        ..Suite::default()
    };
    bench.suite(&suite);
    let run = "run --suite mine.toml --target-precision 100% --out out";
    let ran = bench.run(run).expect(0);
    assert!(
        said(&ran).contains("the target precision stopped the run"),
        "{}",
        ran.out
    );
    let records = bench.records("out");
    assert_eq!(stopped_by(&records), Some(StoppedBy::TargetPrecision));
    let rounds = |records: &Records| outcomes(&records.lines).len() / 3;
    // Six rounds give the first interval.
    assert!((6..40).contains(&rounds(&records)), "{}", rounds(&records));
    // What is known is known.
    bench.run(&format!("{run} --resume")).expect(0);
    assert_eq!(rounds(&bench.records("out")), rounds(&records));
    bench
        .run("run --suite mine.toml --target-precision 50% --out out --resume")
        .expect(2)
        .says(&["the budget", "differs"]);

    // More rounds than the suite's, within a time that bounds them.
    bench.suite(&Suite { rounds: 2, ..suite });
    let run = "run --suite mine.toml --no-control --target-precision 100% --out";
    bench.run(&format!("{run} few")).expect(0);
    let few = bench.records("few");
    assert_eq!((stopped_by(&few), outcomes(&few.lines).len()), (None, 4));
    assert!(bench.read("few/results.md").contains("was not reached by"));
    bench.run(&format!("{run} more --time-budget 3m")).expect(0);
    let more = bench.records("more");
    assert_eq!(stopped_by(&more), Some(StoppedBy::TargetPrecision));
    assert!(outcomes(&more.lines).len() >= 12);
}

#[test]
fn budgets_of_nonsense_are_refused() {
    let bench = Bench::beside();
    bench.suite(&Suite::default());
    for options in [
        "--time-budget 0s",
        "--time-budget soon",
        "--time-budget 5",
        "--target-precision 0",
        "--target-precision 1%%",
        "--target-precision -1",
        "--target-precision nan",
    ] {
        bench
            .run(&format!("run --suite mine.toml {options} --out out"))
            .expect(2);
    }
    assert!(!bench.has("out"));
}
