//! A run from the command line to the report, and the report again.

use crate::support::{Bench, Suite, fixture, measurable, samples, samples_of};
use bitbench_engine::cpu::Cpu;
use bitbench_engine::heads::HEADS;
use bitbench_engine::kernels::{self, Family};
use bitbench_reports::record::{End, Energy, Outcome, Phase, Precision, Record};
use std::collections::HashMap;

const PAGES: [&str; 3] = ["results.csv", "results.md", "report.html"];

#[test]
fn a_run_with_every_head_names_it_in_records_and_tables() {
    let bench = Bench::beside();
    bench.suite(&Suite {
        rounds: 1,
        kernels: r#""i2s-*", "f16-best""#,
        threads: "2",
        ..Suite::default()
    });
    let heads: Vec<&str> = HEADS.iter().map(|h| h.name).collect();
    let ran = bench
        .run(&format!(
            "run --suite mine.toml --head {} --out out",
            heads.join(",")
        ))
        .expect(0);
    assert!(ran.out.contains("screened"), "{}", ran.out);
    let records = bench.records("out");
    let (jobs, ended) = measurable(&records);
    assert!(jobs.len() >= 2 * HEADS.len(), "{jobs:?}");
    assert!(ended.iter().all(|o| **o == Outcome::Measured), "{ended:?}");
    let csv = bench.csv("out");
    let mut digests = HashMap::new();
    for job in &jobs {
        let of_job = |line: &&Record| match line {
            Record::Loaded(loaded) => loaded.place.job == job.id,
            Record::Sample(sample) => sample.place.job == job.id && sample.phase == Phase::Decode,
            _ => false,
        };
        let mut lines = records.lines.iter().filter(of_job);
        let (Some(Record::Loaded(loaded)), Some(Record::Sample(decode))) =
            (lines.next(), lines.next())
        else {
            panic!("{}: no figures", job.id);
        };
        let kernel = match &*job.head {
            "f16" => "f16-",
            other => other,
        };
        assert!(loaded.head_kernel.starts_with(kernel), "{loaded:?}");
        // Only the screened head reads more for one token than for another.
        assert_eq!(decode.rescored_bytes.is_some(), job.head == "screened");
        let row = &csv[&job.id];
        assert_eq!(row["head"], job.head);
        assert!(row["head_mb_per_token"].parse::<f64>().is_ok(), "{row:?}");
        assert!(loaded.head_bytes_per_token.is_some_and(|bytes| bytes > 0));
        digests.insert((&*job.kernel, &*job.head), decode.digest.clone());
    }
    assert_eq!(digests.len(), jobs.len());
    for ((kernel, head), digest) in &digests {
        if *head == "screened" {
            assert_eq!(
                digest,
                &digests[&(*kernel, "f16")],
                "{kernel}: the same tokens"
            );
        }
    }
    for arguments in ["--head f32", "--head f16,nothing"] {
        bench
            .run(&format!("run --suite mine.toml {arguments} --out other"))
            .expect(2)
            .says(&["there is no head", "screened"]);
    }
}

#[test]
fn sequences_are_measured_together_and_counted_together() {
    let bench = Bench::beside();
    let suite = Suite {
        kernels: r#""i2s-best", "i2s-scalar", "f16-best", "f16-scalar""#,
        rounds: 1,
        ..Suite::default()
    };
    let text = suite.text().replacen("rounds", "batch = [1, 3]\nrounds", 1);
    bench.file("mine.toml", text);
    let list = bench.run("run --suite mine.toml --list").expect(0);
    assert!(list.out.contains("pp16 tg8 x b3"), "{}", list.out);
    let heads = "--head f16,q8_0,screened";
    let ran = bench
        .run(&format!("run --suite mine.toml {heads} --out out"))
        .expect(0);
    assert!(ran.out.contains("3 sequences together"), "{}", ran.out);
    let records = bench.records("out");
    let (jobs, ended) = measurable(&records);
    assert!(jobs.len() >= 2 * 2 * 3, "{jobs:?}");
    assert!(ended.iter().all(|o| **o == Outcome::Measured), "{ended:?}");
    let csv = bench.csv("out");
    let mut digests: HashMap<_, Vec<_>> = HashMap::new();
    for job in jobs {
        assert_eq!(job.id.ends_with("/b3"), job.batch == 3, "{}", job.id);
        let of_job = samples(&records.lines).filter(|sample| sample.place.job == job.id);
        for sample in of_job {
            let (tokens, steps) = match sample.phase {
                Phase::Prefill => (16, 0),
                Phase::Decode => (8, 8 * sample.durations_ns.len()),
                Phase::WarmUp => (2, 2 * sample.durations_ns.len()),
                _ => (0, 0),
            };
            assert_eq!(sample.tokens, tokens * job.batch, "{}", job.id);
            assert_eq!(sample.token_durations_ns.len(), steps, "{}", job.id);
            if let (Phase::Decode, Precision::Ternary) = (sample.phase, job.precision) {
                let key = (job.batch, job.head == "q8_0");
                digests.entry(key).or_default().push(sample.digest.clone());
            }
        }
        let row = &csv[&job.id];
        assert_eq!(row["batch"], job.batch.to_string());
        let number = |column: &str| row[column].parse::<f64>();
        let all = number("decode_tokens_per_second").unwrap();
        match number("decode_tokens_per_second_each") {
            Ok(each) => assert!((all / each - 3.0).abs() < 1e-9, "{}", job.id),
            Err(_) => assert_eq!(job.batch, 1, "{}", job.id),
        }
    }
    // Ternary kernels, and heads of the same logits, give the same tokens.
    assert_eq!(digests.len(), 4);
    assert!(digests.values().all(|all| all.iter().all(|d| *d == all[0])));
    for arguments in ["--batch 0", "--batch 65", "--batch 1,x"] {
        bench
            .run(&format!("run --suite mine.toml {arguments} --out other"))
            .expect(2);
    }
    let list = bench
        .run("run --suite mine.toml --batch 2 --list")
        .expect(0);
    assert!(list.out.contains("/b2") && !list.out.contains("/b3"));
}

#[test]
fn a_run_on_each_fixture_leaves_records_and_pages() {
    let bench = Bench::beside();
    let suite = Suite {
        kernels: r#""*""#,
        threads: "1, \"physical\"",
        ..Suite::default()
    };
    bench.suite(&suite);
    for name in ["tiny-I2_S", "tiny-TQ2_0"] {
        let model = fixture(&format!("{name}.gguf"));
        let out = format!("out-{name}");
        let ran = bench
            .run(&format!(
                "run --suite mine.toml --model {} --out {out}",
                model.display()
            ))
            .expect(0);
        assert!(ran.out.contains("tok/s"), "{}", ran.out);
        let records = bench.records(&out);
        assert!(matches!(
            records.lines.last(),
            Some(Record::End(End {
                interrupted: false,
                ..
            }))
        ));
        let (jobs, ended) = measurable(&records);
        assert!(jobs.len() >= 4, "{jobs:?}");
        assert_eq!(ended.len(), 2 * jobs.len(), "two rounds");
        assert!(ended.iter().all(|o| **o == Outcome::Measured));
        for phase in [
            Phase::Prefill,
            Phase::Decode,
            Phase::ReadBandwidth,
            Phase::ComputePeak,
        ] {
            assert_eq!(samples_of(&records.lines, phase).count(), 2 * jobs.len());
        }
        for sample in samples_of(&records.lines, Phase::ComputePeak) {
            let peak = sample.peak.as_deref().unwrap();
            let job = &sample.place.job;
            let half = job.contains("/f16-") || job.contains("/bf16-");
            assert_eq!(half, !peak.starts_with("int8-"), "{job}: {peak}");
            assert!(sample.operations.unwrap() > 0);
        }
        let lines = bench.read(&format!("{out}/records.jsonl"));
        assert_eq!(lines.lines().count(), 1 + records.lines.len());
        let csv = bench.csv(&out);
        for job in jobs {
            let row = &csv[&job.id];
            assert_eq!(row["status"], "measured");
            for column in [
                "decode_tokens_per_second",
                "prefill_tokens_per_second",
                "prefill_compute_share_percent",
            ] {
                assert!(row[column].parse::<f64>().unwrap() > 0.0, "{column}");
            }
            assert_eq!(row["decode_tokens_per_second_n"], "2");
            let limit = row["decode_limit"].as_str();
            assert!(["memory", "compute"].contains(&limit), "{limit}");
        }
        assert!(!bench.has(&format!("{out}/.check")));
        let left = std::fs::read_dir(bench.path().join(&out)).unwrap();
        assert_eq!(left.count(), 1 + PAGES.len());
    }
}

#[test]
fn a_report_made_again_is_the_same_to_the_byte() {
    let bench = Bench::beside();
    bench.suite(&Suite::default());
    let first = bench.run("run --suite mine.toml --out out").expect(0);
    let pages = PAGES.map(|page| bench.read(&format!("out/{page}")));
    for page in PAGES {
        std::fs::remove_file(bench.path().join("out").join(page)).unwrap();
    }
    let records = bench.read("out/records.jsonl");
    let second = bench.run("report out").expect(0);
    assert_eq!(pages, PAGES.map(|page| bench.read(&format!("out/{page}"))));
    assert_eq!(first.out, second.out);
    assert_eq!(records, bench.read("out/records.jsonl"));
    bench
        .run("report elsewhere")
        .expect(2)
        .says(&["elsewhere", "No such file"]);
}

#[test]
fn without_counters_energy_is_empty_and_the_reason_is_told() {
    let bench = Bench::beside();
    let suite = Suite {
        energy: "preferred",
        ..Suite::default()
    };
    bench.suite(&suite);
    std::fs::create_dir(bench.path().join("sys")).unwrap();
    let ran = bench
        .run("run --suite mine.toml --quick --out out --sysfs-root sys")
        .expect(0)
        .says(&["energy: unavailable - "]);
    let records = bench.records("out");
    for sample in samples(&records.lines) {
        assert_ne!(
            sample.phase,
            Phase::Idle,
            "nothing to read, nothing to wait for"
        );
        assert!(matches!(&sample.energy, Energy::Unavailable { reason } if !reason.is_empty()));
    }
    for (job, row) in bench.csv("out") {
        assert_eq!(row["status"], "measured");
        let energy = row.iter().filter(|(column, _)| {
            column.contains("joules")
                || column.contains("watts")
                || column.contains("energy")
                || *column == "provenance"
        });
        let mut columns = 0;
        for (column, value) in energy {
            assert_eq!(value, "", "{job}: {column}");
            columns += 1;
        }
        assert!(columns >= 4 * 5, "{columns} energy columns");
    }
    for text in [
        ran.out,
        bench.read("out/results.md"),
        bench.read("out/report.html"),
    ] {
        assert!(text.contains("energy: unavailable"), "{text}");
        assert!(!text.contains("J/token 0"), "{text}");
    }
}

#[test]
fn a_list_writes_nothing() {
    let bench = Bench::beside();
    let suite = Suite {
        models: &["tiny", "enormous"],
        ..Suite::default()
    };
    bench.suite(&suite);
    let ran = bench
        .run("run --suite mine.toml --list --out out")
        .expect(0);
    for word in [
        "tiny/i2s-scalar/1",
        "rounds of about",
        "skipped: needs about",
        "predicted:",
    ] {
        assert!(ran.out.contains(word), "no `{word}` in: {}", ran.out);
    }
    bench.run("run --suite mine.toml --list").expect(0);
    assert!(!bench.has("out") && !bench.has("bitbench-results"));
}

#[test]
fn without_out_the_folder_is_named_after_suite_and_start() {
    let bench = Bench::beside();
    bench.suite(&Suite::default());
    bench
        .run("run --suite mine.toml --quick --kernel i2s-scalar")
        .expect(0);
    let folders = std::fs::read_dir(bench.path().join("bitbench-results")).unwrap();
    let names: Vec<String> = folders
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names.len(), 1, "{names:?}");
    assert!(names[0].starts_with("mine-20"), "{names:?}");
}

#[test]
fn the_embedded_suite_runs_in_any_folder() {
    let bench = Bench::beside();
    std::fs::remove_dir_all(bench.path().join("suites")).unwrap();
    let ran = bench.run("run --suite x86-energy --quick --list").expect(0);
    let best = kernels::best(Family::I2s, &Cpu::detect()).name;
    assert!(ran.out.contains(&format!("125M/{best}/1")), "{}", ran.out);
}

#[test]
fn two_files_of_one_name_are_two_models() {
    let bench = Bench::beside();
    bench.suite(&Suite::default());
    for (folder, name) in [("a", "tiny-I2_S"), ("b", "tiny-TQ2_0")] {
        std::fs::create_dir(bench.path().join(folder)).unwrap();
        let to = bench.path().join(folder).join("model.gguf");
        std::fs::copy(fixture(&format!("{name}.gguf")), to).unwrap();
    }
    let model = "run --suite mine.toml --quick --kernel i2s-scalar --out out";
    bench
        .run(&format!(
            "{model} --model a/model.gguf --model b/model.gguf --model a/model.gguf"
        ))
        .expect(0);
    let jobs = bench.records("out").run.jobs;
    assert_eq!(jobs.len(), 2, "{jobs:#?}");
    assert_eq!(bench.csv("out").len(), 2);
}
