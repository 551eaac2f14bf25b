//! Where threads run, how a worker is warmed up, and loads from the disk.

use crate::support::{Bench, Suite, fixture, samples_of};
use bitbench_reports::record::{ColdStart, Loaded, Phase, Record, Sample};
use bitbench_reports::warm_up::WarmUp;
use std::fs;

#[test]
fn threads_are_bound_to_cores_of_their_own_unless_they_are_to_be_left_alone() {
    let bench = Bench::beside();
    let suite = Suite {
        threads: "1, \"physical\"",
        rounds: 1,
        ..Suite::default()
    };
    bench.suite(&Suite {
        kernels: r#""i2s-scalar""#,
        ..suite
    });
    bench.run("run --suite mine.toml --out bound").expect(0);
    bench
        .run("run --suite mine.toml --no-pin --out free")
        .expect(0)
        .says(&["threads are left to the system"]);
    let loaded = |folder: &str| -> Vec<Loaded> {
        let lines = bench.records(folder).lines.into_iter();
        let loaded = lines.filter_map(|line| match line {
            Record::Loaded(loaded) => Some(loaded),
            _ => None,
        });
        loaded.collect()
    };
    for loaded in loaded("free") {
        assert_eq!((loaded.cpus, loaded.harness_cpus), (None, None));
    }
    let cores = bitbench::host::topology::cores();
    for loaded in loaded("bound") {
        let threads = loaded
            .place
            .job
            .rsplit('/')
            .next()
            .unwrap()
            .parse()
            .unwrap();
        let placement = bitbench::host::topology::place(&cores, threads);
        let (workers, harness) = match placement {
            Some(placement) => (Some(placement.workers), placement.harness),
            None => (None, Vec::new()),
        };
        assert_eq!(loaded.cpus, workers);
        assert_eq!(loaded.harness_cpus.unwrap_or_default(), harness);
    }
    // What was bound and what was free computed the same.
    let digests = |folder: &str| -> Vec<Option<String>> {
        let records = bench.records(folder).lines;
        samples_of(&records, Phase::Decode)
            .map(|s| s.digest.clone())
            .collect()
    };
    assert_eq!(digests("bound")[0], digests("free")[0]);
}

#[test]
fn a_warm_up_ends_when_nothing_rises_or_falls_or_at_its_limit() {
    let bench = Bench::beside();
    bench.suite(&Suite {
        rounds: 1,
        ..Suite::default()
    });
    bench.run("run --suite mine.toml --out out").expect(0);
    let records = bench.records("out");
    for job in &records.run.jobs {
        let windows: Vec<&Sample> = samples_of(&records.lines, Phase::WarmUp)
            .filter(|sample| sample.place.job == job.id)
            .collect();
        let whole = WarmUp::of(&windows).unwrap();
        // Twenty windows of a fifth of 50 ms are the limit here.
        assert!(
            whole.windows >= 5 && (whole.flat || whole.seconds >= 0.2),
            "{whole:?}"
        );
        let before = WarmUp::of(&windows[..windows.len() - 1]).unwrap();
        assert!(
            !before.flat,
            "it went on although it was at rest: {before:?}"
        );
    }
}

#[test]
fn a_cold_start_is_one_that_the_disk_had_to_serve() {
    let bench = Bench::beside();
    bench.suite(&Suite::default());
    fs::copy(fixture("tiny-F16.gguf"), bench.path().join("model.gguf")).unwrap();
    let run = "run --suite mine.toml --kernel f16-scalar --out out --model";
    bench
        .run(&format!("{run} model.gguf --cold-start"))
        .expect(0);
    let records = bench.records("out");
    let cold: Vec<&ColdStart> = records
        .lines
        .iter()
        .filter_map(|line| match line {
            Record::ColdStart(cold) => Some(cold),
            _ => None,
        })
        .collect();
    assert_eq!(cold.len(), 1, "one for the job, not one for each round");
    let size = fs::metadata(bench.path().join("model.gguf")).unwrap().len();
    assert_eq!(cold[0].file_bytes, size);
    let row = bench.csv("out").into_values().next().unwrap();
    let was_cold = cold[0].storage_bytes.is_some_and(|read| read >= size);
    println!("cold: {was_cold}, {cold:?}");
    assert_eq!(row["cold_load_seconds"].is_empty(), !was_cold);
    for column in [
        "steady_mb",
        "allocated_mb",
        "kv_kb_per_token",
        "load_seconds",
    ] {
        assert!(row[column].parse::<f64>().unwrap() > 0.0, "{column}");
    }
}
