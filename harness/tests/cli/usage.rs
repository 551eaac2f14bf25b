//! What a user gets wrong, and what a machine cannot do: exit code 2 with what exists, or a skipped row with the reason.

use crate::gguf::{Tiny, tiny_model};
use crate::support::{BITBENCH, Bench, Running, Suite, fixture, outcomes};
use bitbench::plan::{Choices, ControlChoice, Machine, expand};
use bitbench_engine::cpu::Cpu;
use bitbench_engine::kernels::VARIANTS;
use bitbench_engine::model::formats;
use bitbench_reports::record::{Outcome, Precision};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

#[test]
fn an_unknown_name_lists_what_exists() {
    let bench = Bench::beside();
    bench.suite(&Suite::default());
    bench
        .run("run --suite x86")
        .expect(2)
        .says(&["`x86`", "x86-energy", ".toml"]);
    bench
        .run("run --suite mine.toml --kernel i3s-*")
        .expect(2)
        .says(&["`i3s-*`", "i2s-scalar", "f16-scalar"]);
    bench
        .run("run --suite mine.toml --model 2B5T")
        .expect(2)
        .says(&["`2B5T`", "tiny", "medium"]);
    let model = fixture("tiny-I2_S.gguf");
    for command in ["generate --prompt x", "logits --tokens 1 --out out.f32"] {
        let ran = bench.run(&format!(
            "{command} --kernel i3s --model {}",
            model.display()
        ));
        // A file without tokenizer is refused before its kernel is looked at.
        let ran = ran.expect(2);
        assert!(
            ran.err.contains("i2s-scalar") || ran.err.contains("no tokenizer"),
            "{}",
            ran.err
        );
    }
    let unknown = Suite {
        models: &["tiny", "nine"],
        ..Suite::default()
    };
    bench.suite(&unknown);
    bench
        .run("run --suite mine.toml")
        .expect(2)
        .says(&["`nine`"]);
    assert!(!bench.has("bitbench-results"));
}

#[test]
fn absurd_options_are_refused() {
    let bench = Bench::beside();
    bench.suite(&Suite::default());
    for options in [
        "--threads 0",
        "--threads x",
        "--threads=-1",
        "--threads 1,0",
        "--threads 1.5",
        "--threads 1025",
        "--threads 99999999999999999999",
        "--threads=",
        "--resume",
        "--sysfs-root nowhere",
        "--energy nonsense",
        "--energy meter-file",
        "--energy off:on",
        "--rounds 3",
        "--model=",
        "--kernel=",
        "--out mine.toml",
        "--out mine.toml/below",
    ] {
        let ran = bench
            .run(&format!("run --suite mine.toml {options}"))
            .expect(2);
        assert!(!ran.err.is_empty(), "{options}");
    }
    bench
        .run("run --suite mine.toml --out out --resume")
        .expect(2)
        .says(&["no run to resume"]);
    bench.run("run").expect(2);
    assert!(!bench.has("bitbench-results"));
}

#[test]
fn an_argument_that_is_no_text_is_no_crash() {
    let bench = Bench::beside();
    bench.suite(&Suite::default());
    for option in ["--out", "--suite", "--model", "--sysfs-root"] {
        let mut command = bench.command(BITBENCH);
        command.args(["run", "--suite", "mine.toml", "--quick", option]);
        if option == "--suite" {
            command = bench.command(BITBENCH);
            command.args(["run", "--suite"]);
        }
        command.arg(OsStr::from_bytes(b"not\xffutf8"));
        Running::start(command).end().expect(2);
    }
}

#[test]
fn a_quick_suite_without_quick_cases_says_so() {
    let bench = Bench::beside();
    let text = Suite::default().text();
    bench.file("mine.toml", text.replace("quick = true", "quick = false"));
    bench
        .run("run --suite mine.toml --quick --out out")
        .expect(2)
        .says(&["quick"]);
    assert!(!bench.has("out"));
}

#[test]
fn a_kernel_that_the_cpu_lacks_is_a_skipped_job() {
    let mut loaded = bitbench::suite::load("x86-energy").unwrap();
    // A portable kernel on a slow or emulated machine takes longer than the suite allows, which is not the point here.
    loaded.suite.round_limit_s = 1e6;
    let cpu = Cpu::scalar();
    let machine = Machine {
        cpu: &cpu,
        physical_cores: 2,
        cores: Vec::new(),
        available_memory: Some(16 << 30),
        shortest_energy_window: None,
    };
    let choices = Choices {
        models: vec!["125M".into()],
        kernels: vec!["*".into()],
        control: ControlChoice::Never,
        ..Choices::default()
    };
    let plan = expand(&loaded, &choices, &machine).unwrap();
    let mut skipped = 0;
    for variant in VARIANTS {
        let jobs = plan.jobs.iter().filter(|j| j.job.kernel == variant.name);
        let mut count = 0;
        for job in jobs {
            count += 1;
            match variant.requires {
                [] => assert_eq!(job.skip, None, "{}", variant.name),
                [feature, ..] => {
                    skipped += 1;
                    let reason = job.skip.as_ref().unwrap().to_lowercase();
                    let named = format!("{feature:?}").to_lowercase();
                    assert!(reason.contains(&named), "{}: {reason}", variant.name);
                }
            }
        }
        assert_eq!(count, 2, "{}: one thread and two", variant.name);
    }
    let optional = VARIANTS.iter().filter(|v| !v.requires.is_empty()).count();
    assert_eq!(skipped, 2 * optional, "a skipped job for each of them");
    if cfg!(target_arch = "x86_64") {
        assert!(optional > 0, "every variant runs everywhere");
    }
}

#[test]
fn what_does_not_fit_is_a_skipped_row() {
    let bench = Bench::beside();
    let suite = Suite {
        models: &["enormous", "tiny"],
        threads: "1, 1024",
        ..Suite::default()
    };
    bench.suite(&suite);
    let ran = bench
        .run("run --suite mine.toml --quick --out out")
        .expect(0);
    let records = bench.records("out");
    let mut measured = 0;
    for (place, outcome) in outcomes(&records.lines) {
        match outcome {
            Outcome::Skipped { reason } if place.job.starts_with("enormous") => {
                assert!(reason.contains("of memory"), "{reason}");
            }
            Outcome::Skipped { reason } => {
                assert!(reason.contains("1024 threads on"), "{reason}");
            }
            Outcome::Measured => measured += 1,
            other => panic!("{place:?}: {other:?}"),
        }
    }
    assert_eq!(measured, 2);
    for text in [
        ran.out,
        bench.read("out/results.md"),
        bench.read("out/report.html"),
    ] {
        assert!(
            text.contains("of memory") && text.contains("1024 threads"),
            "{text}"
        );
    }
    for (job, row) in bench.csv("out") {
        let skipped = job.starts_with("enormous") || job.ends_with("/1024");
        assert_eq!(row["status"] == "skipped", skipped, "{job}");
        assert_eq!(row["decode_tokens_per_second"].is_empty(), skipped, "{job}");
    }
}

#[test]
fn the_largest_shapes_a_list_can_hold_are_skipped() {
    let bench = Bench::beside();
    let mut text = bench.read("suites/models.toml");
    for (key, value) in [
        ("hidden", "1048576"),
        ("ffn", "1048576"),
        ("layers", "1048576"),
        ("heads", "1048576"),
        ("kv_heads", "1048576"),
        ("head_dim", "1048576"),
        ("vocab", "1048576"),
        ("context_length", "1048576"),
    ] {
        let lines = text.lines().map(|line| match line.split_once(" = ") {
            Some((k, _)) if k == key => format!("{key} = {value}\n"),
            _ => format!("{line}\n"),
        });
        text = lines.collect();
    }
    bench.file("suites/models.toml", text);
    let suite = Suite {
        prefill: 1 << 19,
        decode: 1 << 19,
        ..Suite::default()
    };
    bench.suite(&suite);
    let ran = bench.run("run --suite mine.toml --out out");
    // A skipped row, or a shape that is refused: no crash and no measurement.
    match ran.status.code() {
        Some(0) => {
            let ran = ran.expect(0);
            assert!(ran.out.contains("skipped"), "{}", ran.out);
        }
        _ => drop(ran.expect(2).says(&["models.toml"])),
    }
}

#[test]
fn a_half_precision_file_runs_ternary_kernels_only_when_ternarized() {
    let bench = Bench::beside();
    bench.suite(&Suite::default());
    for (format, name) in [(1, "f16"), (8, "q8")] {
        let tiny = Tiny {
            architecture: "llama",
            linear: formats::by_id(format).unwrap(),
            ternary: false,
            head: true,
        };
        let path = bench.path().join(format!("{name}.gguf"));
        tiny_model(&tiny).write(&path);
        let options = format!("run --suite mine.toml --quick --model {name}.gguf");
        let ran = bench
            .run(&format!("{options} --out {name}-plain"))
            .expect(0);
        assert!(ran.out.contains("--ternarize"), "{}", ran.out);
        let records = bench.records(&format!("{name}-plain"));
        let precision = |job: &str| {
            let job = records.run.jobs.iter().find(|j| j.id == job);
            job.unwrap().precision
        };
        let ended = outcomes(&records.lines);
        assert_eq!(ended.len(), 2);
        for (place, outcome) in ended {
            match (precision(&place.job), outcome) {
                (Precision::Ternary, Outcome::Skipped { reason }) => {
                    assert!(reason.contains("--ternarize"), "{reason}");
                }
                (Precision::Half, Outcome::Measured) => {}
                other => panic!("{other:?}"),
            }
        }

        let out = format!("{name}-ternarized");
        let ran = bench
            .run(&format!("{options} --ternarize --out {out}"))
            .expect(0);
        let html = bench.read(&format!("{out}/report.html"));
        for text in [&ran.out, &html] {
            assert!(text.contains("quality destroyed"), "{text}");
        }
        let rows = bench.csv(&out);
        assert_eq!(rows.len(), 2);
        for (job, row) in rows {
            assert_eq!(row["status"], "measured", "{job}: {}", row["reason"]);
            let ternary = row["precision"] == "ternary";
            assert_eq!(
                row["ternarized"],
                if ternary { "yes" } else { "no" },
                "{job}"
            );
        }

        let logits = format!("logits --model {name}.gguf --tokens 1 --out out.f32");
        bench
            .run(&format!("{logits} --kernel i2s-scalar"))
            .expect(2)
            .says(&["--ternarize", &format!("{name}.gguf")]);
        bench
            .run(&format!("{logits} --kernel i2s-scalar --ternarize"))
            .expect(0);
    }
}

#[test]
fn a_ternary_file_in_half_precision_runs_every_kernel() {
    let bench = Bench::beside();
    bench.suite(&Suite::default());
    let model = fixture("tiny-F16.gguf");
    bench
        .run(&format!(
            "run --suite mine.toml --quick --model {} --out out",
            model.display()
        ))
        .expect(0);
    for (job, row) in bench.csv("out") {
        assert_eq!(
            (&*row["status"], &*row["ternarized"]),
            ("measured", "no"),
            "{job}"
        );
    }
}
