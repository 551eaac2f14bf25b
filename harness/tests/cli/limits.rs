//! What the machine allows and what was tuned on it, from the command line.

use crate::support::{Bench, Suite, outcomes};
use bitbench_reports::record::{Outcome, Precision};
use bitbench_reports::roofline::{LimitKind, Roofline};

#[test]
fn a_roofline_is_printed_stored_and_printed_again() {
    let bench = Bench::alone();
    let ran = bench
        .run("roofline --threads 1 --rounds 5 --out out")
        .expect(0);
    for line in ran.out.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    for word in ["GB/s", "GOP/s", "memory", "1 thread", "±"] {
        assert!(ran.out.contains(word), "no `{word}` in: {}", ran.out);
    }
    let stored = Roofline::read(&bench.path().join("out")).unwrap();
    assert_eq!(stored.rounds, 5);
    for kind in [LimitKind::ReadBandwidth, LimitKind::ComputePeak] {
        let mut limits = stored.limits.iter().filter(|l| l.kind == kind);
        assert!(limits.any(|l| l.samples.len() == 5), "{kind:?}");
    }
    let again = bench.run("report out").expect(0);
    assert!(ran.out.starts_with(again.out.trim_end()), "{}", again.out);
    bench
        .run("roofline --threads 1 --out out")
        .expect(2)
        .says(&["roofline.json", "--out"]);
    let json = bench
        .run("roofline --threads 1 --rounds 5 --json --out other")
        .expect(0);
    assert_eq!(json.out, bench.read("other/roofline.json"));
    serde_json::from_str::<Roofline>(&json.out).unwrap();
}

#[test]
fn a_roofline_of_nonsense_is_refused() {
    let bench = Bench::beside();
    for options in ["--rounds 4", "--threads 0", "--threads 1024", "--model x"] {
        let ran = bench.run(&format!("roofline {options}")).expect(2);
        assert!(!ran.err.is_empty(), "{options}");
    }
    assert!(!bench.has("bitbench-results"));
}

/// Tunes `tiny` for one thread with two kernels.
fn tune(bench: &Bench) {
    let ran = bench
        .run("tune --model tiny --threads 1 --rounds 3 --prefill 8 --kernel i2s-scalar --kernel f16-scalar")
        .expect(0);
    for line in ran.out.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    for word in [
        "decode, ternary (`tuned`): i2s-scalar, 1 thread",
        "prefill, half precision (`tuned-half-prefill`): f16-scalar",
        "256x512",
        "tok/s",
    ] {
        assert!(ran.out.contains(word), "no `{word}` in: {}", ran.out);
    }
}

#[test]
fn what_was_tuned_runs_under_its_own_name() {
    let bench = Bench::alone();
    tune(&bench);
    bench.suite(&Suite {
        kernels: r#""tuned", "tuned-half-prefill""#,
        rounds: 1,
        ..Suite::default()
    });
    bench.run("run --suite mine.toml --out out").expect(0);
    let records = bench.records("out");
    let jobs: Vec<(&str, Precision)> = records
        .run
        .jobs
        .iter()
        .map(|job| (job.id.as_str(), job.precision))
        .collect();
    assert_eq!(
        jobs,
        [
            ("tiny/i2s-scalar/1", Precision::Ternary),
            ("tiny/f16-scalar/1", Precision::Half)
        ]
    );
    let ended = outcomes(&records.lines);
    assert!(ended.iter().all(|(_, o)| **o == Outcome::Measured));
}

#[test]
fn a_choice_that_is_missing_or_stale_names_the_command_that_makes_it() {
    let bench = Bench::alone();
    bench.suite(&Suite::default());
    let run = |options: &str| {
        bench
            .run(&format!("run --suite mine.toml --kernel tuned {options}"))
            .expect(2)
    };
    run("").says(&["nothing was tuned", "`bitbench tune --model tiny`"]);
    tune(&bench);
    run("--model medium").says(&["no choice for medium", "`bitbench tune --model medium`"]);
    run("--threads 2").says(&["threads = 2", "`bitbench tune --model tiny --threads 1,2`"]);
    let stored = bench.read("bitbench-results/tuned.toml");
    let other = bench.file(
        "other.toml",
        stored.replace("arch = \"", "arch = \"pdp-11/"),
    );
    run(&format!("--tuned {}", other.display())).says(&[
        "made for another CPU",
        "pdp-11",
        "tune --model tiny --out",
        "again",
    ]);
    bench.file("other.toml", "kernel = 3");
    run("--tuned other.toml").says(&["other.toml: not what `bitbench tune` stores"]);
    assert!(!bench.has("out"));
}

#[test]
fn tuning_nonsense_is_refused() {
    let bench = Bench::beside();
    for (options, word) in [
        ("--model 2B5T", "2B5T"),
        ("--model tiny --kernel i3s-*", "i3s-*"),
        ("--model tiny --threads 1024", "1024 threads"),
        ("--model tiny --rounds 1", "rounds"),
        ("--model tiny --prefill 1", "prefill"),
        ("", "--model"),
    ] {
        bench
            .run(&format!("tune {options}"))
            .expect(2)
            .says(&[word]);
    }
    assert!(!bench.has("bitbench-results"));
}
