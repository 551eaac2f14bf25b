//! Layers alone: planned, checked, measured, resumed.

use crate::support::{Bench, Suite, outcomes, samples_of};
use bitbench::plan::{Choices, ControlChoice, Machine, expand};
use bitbench_engine::cpu::Cpu;
use bitbench_engine::kernels::VARIANTS;
use bitbench_reports::record::{Outcome, Phase, Record};

/// A suite of one layer, one token and seven at a time.
fn suite() -> Suite {
    Suite {
        models: &["96x320"],
        window_s: 0.02,
        ..Suite::default()
    }
}

fn text() -> String {
    let text = suite().text();
    text.replacen("threads =", "batch = [1, 7]\nthreads =", 1)
}

#[test]
fn every_kernel_that_runs_here_is_checked_and_measured_on_a_layer() {
    let bench = Bench::beside();
    bench.file("mine.toml", text());
    let ran = bench
        .run("run --suite mine.toml --quick --kernel * --out out")
        .expect(0);
    let cpu = Cpu::detect();
    let runs = |name: &str| {
        let kernel = VARIANTS.iter().find(|k| k.name == name).unwrap();
        cpu.require(kernel.requires).is_ok()
    };
    let rows = bench.csv("out");
    assert_eq!(rows.len(), 2 * VARIANTS.len());
    for (job, row) in &rows {
        let expected = if runs(&row["kernel"]) {
            "measured"
        } else {
            "skipped"
        };
        assert_eq!(row["status"], expected, "{job}: {}", row["reason"]);
        for id in [
            "multiply_us",
            "multiply_gb_per_second",
            "multiply_gop_per_second",
        ] {
            let positive = row[id].parse::<f64>().is_ok_and(|v| v > 0.0);
            assert_eq!(positive, expected == "measured", "{job} {id}: {}", row[id]);
        }
        for id in [
            "head",
            "prefill_tokens",
            "decode_tokens_per_second",
            "peak_mb",
            "weights_mb",
        ] {
            assert_eq!(row[id], "", "{job} {id}");
        }
    }
    assert!(ran.out.contains("96x320: one layer"), "{}", ran.out);
    let records = bench.records("out");
    for sample in samples_of(&records.lines, Phase::Multiply) {
        let job = records
            .run
            .jobs
            .iter()
            .find(|j| j.id == sample.place.job)
            .unwrap();
        assert_eq!(sample.tokens, job.batch);
        assert!(sample.matrices.is_some_and(|m| m > 0) && sample.digest.is_some());
    }
    // Of one precision, the products of one batch are the same whatever ternary kernel computed them.
    for batch in [1, 7] {
        let mut digests: Vec<String> = samples_of(&records.lines, Phase::Multiply)
            .filter(|s| {
                let job = records
                    .run
                    .jobs
                    .iter()
                    .find(|j| j.id == s.place.job)
                    .unwrap();
                job.batch == batch && !job.kernel.contains("f16")
            })
            .filter_map(|s| s.digest.clone())
            .collect();
        digests.sort();
        digests.dedup();
        assert_eq!(digests.len(), 1, "{digests:?}");
    }
}

#[test]
fn a_layer_is_listed_and_resumed_like_any_job() {
    let bench = Bench::beside();
    bench.file("mine.toml", text());
    let list = bench.run("run --suite mine.toml --list").expect(0);
    for expected in [
        "96x320/i2s-scalar/1 ",
        "96x320/i2s-scalar/1/b7",
        "n7",
        "predicted",
    ] {
        assert!(list.out.contains(expected), "{expected}: {}", list.out);
    }
    bench.run("run --suite mine.toml --out out").expect(0);
    let path = bench.path().join("out/records.jsonl");
    let whole = std::fs::read_to_string(&path).unwrap();
    // Cut in the middle of a round, as a kill would.
    let cut = whole.rfind("\"multiply\"").unwrap();
    std::fs::write(&path, &whole[..cut]).unwrap();
    bench
        .run("run --suite mine.toml --out out --resume")
        .expect(0);
    let records = bench.records("out");
    let measured = outcomes(&records.lines)
        .into_iter()
        .filter(|(_, o)| **o == Outcome::Measured);
    assert_eq!(measured.count(), 2 * 2 * 2, "kernels, batches, rounds");
    assert!(matches!(records.lines.last(), Some(Record::End(_))));
}

#[test]
fn a_network_takes_fewer_sequences_than_a_layer_takes_tokens() {
    let bench = Bench::beside();
    bench.file("mine.toml", text());
    bench
        .run("run --suite mine.toml --batch 128 --list")
        .expect(0);
    bench
        .run("run --suite mine.toml --batch 128 --model tiny --list")
        .expect(2)
        .says(&["128 sequences", "64"]);
    bench
        .run("run --suite mine.toml --batch 1025 --list")
        .expect(2);
}

#[test]
fn a_layer_gets_a_control_and_a_reason_where_it_does_not_fit() {
    let mut loaded = bitbench::suite::load("kernels").unwrap();
    loaded.suite.round_limit_s = 1e6;
    let cpu = Cpu::detect();
    let machine = |memory| Machine {
        cpu: &cpu,
        physical_cores: 2,
        cores: Vec::new(),
        available_memory: Some(memory),
        shortest_energy_window: None,
    };
    let choices = Choices {
        models: vec!["640x2560".into()],
        ..Choices::default()
    };
    let plan = expand(&loaded, &choices, &machine(16 << 30)).unwrap();
    let controls = plan.jobs.iter().filter(|j| j.job.control_of.is_some());
    assert_eq!(controls.count(), 1);
    assert!(plan.predicted_s > 0.0 && plan.jobs.iter().all(|j| j.skip.is_none()));
    let choices = Choices {
        control: ControlChoice::Never,
        ..choices
    };
    let plan = expand(&loaded, &choices, &machine(64 << 20)).unwrap();
    for job in &plan.jobs {
        let reason = job.skip.as_deref().unwrap_or_default();
        assert!(reason.contains("of memory"), "{}: {reason}", job.job.id);
    }
}
