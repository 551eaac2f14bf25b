//! Contenders that take turns at their windows.

use crate::support::{Bench, Suite, children, outcomes, samples, samples_of, send};
use bitbench::plan::{Choices, ControlChoice, Machine, expand};
use bitbench_engine::cpu::Cpu;
use bitbench_reports::record::{Outcome, Phase, Record, Sample};
use rustix::process::Signal;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

fn suite() -> Suite {
    Suite {
        kernels: r#""i2s-scalar", "tl1-scalar", "f16-scalar""#,
        rounds: 2,
        window_s: 0.05,
        ..Suite::default()
    }
}

/// Slices of a phase in a round: the job of each, in the order they were taken.
fn order(lines: &[Record], phase: Phase, round: u32) -> Vec<(u32, String)> {
    let of_round = samples_of(lines, phase).filter(|sample| sample.place.round == round);
    let mut slices: Vec<&Sample> = of_round.collect();
    slices.sort_by_key(|sample| sample.at_ns);
    let number = |sample: &Sample| sample.slice.expect("every window is in slices");
    slices
        .iter()
        .map(|sample| (number(sample), sample.place.job.clone()))
        .collect()
}

#[test]
fn each_window_is_a_slice_of_each_forwards_and_backwards() {
    let bench = Bench::beside();
    bench.suite(&suite());
    bench
        .run("run --suite mine.toml --no-control --slice 0.01 --out out")
        .expect(0);
    let lines = bench.records("out").lines;
    for round in 0..2 {
        let mut rows = BTreeSet::new();
        for phase in [Phase::Prefill, Phase::Decode] {
            let order = order(&lines, phase, round);
            let of_slice = |number: u32| -> Vec<&str> {
                let same = order.iter().filter(|(slice, _)| *slice == number);
                same.map(|(_, job)| job.as_str()).collect()
            };
            let last = order.last().unwrap().0;
            assert!(last >= 1, "{order:?}");
            let first = of_slice(0);
            assert_eq!(first.len(), 3, "{order:?}");
            rows.insert(first.iter().map(ToString::to_string).collect::<Vec<_>>());
            for number in 0..=last {
                let mut expected = first.clone();
                if number % 2 == 1 {
                    expected.reverse();
                }
                assert_eq!(of_slice(number), expected, "slice {number} of {phase:?}");
            }
            // One slice after the other, none out of its turn.
            let numbers: Vec<u32> = order.iter().map(|(number, _)| *number).collect();
            assert!(numbers.is_sorted(), "{numbers:?}");
            // A window's worth of each.
            let mut spent: BTreeMap<&str, u64> = BTreeMap::new();
            let of_round = samples_of(&lines, phase).filter(|s| s.place.round == round);
            for sample in of_round {
                assert!(sample.durations_ns.iter().sum::<u64>() >= 9_000_000);
                *spent.entry(&sample.place.job).or_default() +=
                    sample.durations_ns.iter().sum::<u64>();
            }
            assert!(spent.values().all(|ns| *ns >= 50_000_000), "{spent:?}");
        }
        assert_eq!(
            rows.len(),
            1,
            "both phases in the order of the round: {rows:?}"
        );
    }
    // All of a round are loaded before the first of them is measured.
    let mut loaded = BTreeSet::new();
    for line in &lines {
        match line {
            Record::Loaded(line) if line.place.round == 0 => {
                loaded.insert(line.place.job.clone());
            }
            Record::Sample(sample) if sample.slice.is_some() => assert_eq!(loaded.len(), 3),
            _ => {}
        }
    }
    assert!(
        outcomes(&lines)
            .iter()
            .all(|(_, o)| matches!(o, Outcome::Measured))
    );
    let rows = bench.csv("out");
    assert!(
        rows.values().all(|row| !row["decode_speedup"].is_empty()),
        "{rows:#?}"
    );
}

#[test]
fn one_that_is_killed_is_out_and_the_others_go_on() {
    let bench = Bench::alone();
    bench.suite(&Suite {
        window_s: 0.5,
        ..suite()
    });
    let mut running = bench.start("run --suite mine.toml --no-control --slice 0.01 --out out");
    running.wait_for("slices", || {
        let lines = bench.records_so_far("out");
        let begun = samples_of(&lines, Phase::Prefill).any(|sample| sample.slice == Some(2));
        begun.then_some(())
    });
    let workers = children(running.id());
    assert_eq!(workers.len(), 3, "all contenders are alive");
    send(workers[1], Signal::KILL);
    let ran = running.end().expect(1);
    assert!(ran.err.contains("FAILED"), "{}", ran.err);
    let rows = bench.csv("out");
    let failed: Vec<_> = rows
        .values()
        .filter(|row| row["status"] == "failed")
        .collect();
    assert_eq!(failed.len(), 1, "{rows:#?}");
    assert!(
        failed[0]["reason"].contains("signal 9"),
        "{}",
        failed[0]["reason"]
    );
    assert_eq!(
        rows.values()
            .filter(|row| row["status"] == "measured")
            .count(),
        2
    );
}

#[test]
fn a_run_that_was_killed_measures_the_row_again() {
    let bench = Bench::alone();
    bench.suite(&Suite {
        window_s: 0.5,
        ..suite()
    });
    let run = "run --suite mine.toml --no-control --slice 0.01 --out out";
    let mut running = bench.start(run);
    running.wait_for("slices of the second round", || {
        let lines = bench.records_so_far("out");
        let begun = samples_of(&lines, Phase::Decode).any(|s| s.place.round == 1);
        begun.then_some(())
    });
    running.signal(Signal::KILL);
    running.end();
    bench.run(&format!("{run} --resume")).expect(0);
    let lines = bench.records("out").lines;
    let measured = outcomes(&lines);
    assert_eq!(measured.len(), 6, "{measured:?}");
    // The row that was cut is measured anew as a whole, by contenders that are alive together.
    let newest: BTreeSet<u32> = measured
        .iter()
        .filter(|(place, _)| place.round == 1)
        .map(|(place, _)| place.process)
        .collect();
    for process in newest {
        let slices =
            samples(&lines).filter(|s| s.place.process == process && s.phase == Phase::Decode);
        assert!(slices.count() > 2);
    }
}

#[test]
fn slices_of_nonsense_are_refused() {
    let bench = Bench::beside();
    bench.suite(&suite());
    for length in ["0.001", "-1", "4000", "much"] {
        bench
            .run(&format!("run --suite mine.toml --list --slice={length}"))
            .expect(2)
            .says(&["--slice", "between 0.005 and 3600 seconds"]);
    }
    let text = format!("slice_s = 0.0\n{}", suite().text());
    bench.file("mine.toml", text);
    bench
        .run("run --suite mine.toml --list")
        .expect(2)
        .says(&["mine.toml", "`slice_s` is 0"]);
}

#[test]
fn turns_are_for_those_that_fit_into_memory_together_and_have_no_counters() {
    let loaded = bitbench::suite::load("x86-energy").unwrap();
    let cpu = Cpu::scalar();
    let plan = |available_memory, shortest_energy_window, kernels: &[&str]| {
        let machine = Machine {
            cpu: &cpu,
            physical_cores: 2,
            cores: Vec::new(),
            available_memory,
            shortest_energy_window,
        };
        let choices = Choices {
            models: vec!["125M".into()],
            kernels: kernels.iter().map(ToString::to_string).collect(),
            control: ControlChoice::Never,
            slice_s: Some(0.05),
            ..Choices::default()
        };
        let mut loaded = loaded.clone();
        loaded.suite.round_limit_s = 1e6;
        expand(&loaded, &choices, &machine).unwrap()
    };
    let two = ["i2s-scalar", "f16-scalar"];
    let both = plan(None, None, &two);
    assert!(
        both.jobs
            .iter()
            .all(|planned| planned.slice_s == Some(0.05))
    );
    let on_one_thread = both.jobs.iter().filter(|planned| planned.job.threads == 1);
    let bytes: u64 = on_one_thread.map(|planned| planned.needed_bytes).sum();
    // Nine tenths of the memory may be taken.
    let enough = plan(Some(bytes * 2), None, &two);
    assert!(enough.jobs.iter().all(|planned| planned.slice_s.is_some()));
    let for_one = plan(Some(bytes), None, &two);
    assert!(
        for_one
            .jobs
            .iter()
            .all(|planned| planned.skip.is_none() && planned.slice_s.is_none())
    );
    let alone = plan(None, None, &two[..1]);
    assert!(alone.jobs.iter().all(|planned| planned.slice_s.is_none()));
    let counted = plan(None, Some(Duration::from_millis(100)), &two);
    assert!(counted.jobs.iter().all(|planned| planned.slice_s.is_none()));
    assert!(
        counted
            .notes
            .iter()
            .any(|note| note.contains("in one piece")),
        "{:?}",
        counted.notes
    );
}
