//! What ran beside the measured windows is in the record, and the report says so.

use crate::support::{Bench, Suite, samples, samples_of};
use bitbench_reports::disturbance::touched;
use bitbench_reports::record::{Phase, Record};
use std::collections::BTreeSet;
use std::process::{Child, Command, Stdio};

/// Processes that spin, one for each CPU and one more, until they are dropped.
struct Hog(Vec<Child>);

impl Hog {
    fn start() -> Hog {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let spin = |_| {
            let mut command = Command::new("sh");
            command
                .args(["-c", "while :; do :; done"])
                .stdin(Stdio::null());
            command.spawn().unwrap()
        };
        Hog((0..=cpus).map(spin).collect())
    }
}

impl Drop for Hog {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Must-show 7 of measuring. The machine may be busy before: what is asserted is that the rounds after the hog are named, not
/// that those before are clean (stored records show that, in the tests of the reports).
#[test]
fn a_cpu_hog_that_starts_in_mid_run_is_named_at_the_rows_it_touched() {
    let bench = Bench::alone();
    bench.suite(&Suite {
        kernels: r#""i2s-scalar""#,
        rounds: 3,
        window_s: 0.6,
        ..Suite::default()
    });
    let mut running = bench.start("run --suite mine.toml --out results");
    running.wait_for("the first round", || {
        let ended =
            |line: &Record| matches!(line, Record::Outcome(outcome) if outcome.place.round == 0);
        bench
            .records_so_far("results")
            .iter()
            .any(ended)
            .then_some(())
    });
    let hog = Hog::start();
    let ran = running.end().expect(0);
    drop(hog);
    let records = bench.records("results");
    // The second round can have begun before the hog did; the third is all within it.
    let last: Vec<_> = samples(&records.lines)
        .filter(|s| s.place.round == 2)
        .collect();
    for phase in [Phase::Prefill, Phase::Decode] {
        let sample = last.iter().find(|s| s.phase == phase).unwrap();
        let around = sample.surroundings.as_ref().unwrap();
        assert!(touched(around), "{phase:?}: {around:?}");
    }
    let page = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
    let note = page
        .split("other processes took up to ")
        .nth(1)
        .unwrap_or_else(|| panic!("{page}"));
    let rounds = note
        .split_once("(round")
        .and_then(|(_, rest)| rest.split_once(')'))
        .unwrap()
        .0;
    let rounds: BTreeSet<&str> = rounds.trim_start_matches('s').trim().split(", ").collect();
    assert!(rounds.contains("3"), "{note}");
    let csv = bench.csv("results");
    let others: f64 = csv.values().next().unwrap()["decode_others_cores_max"]
        .parse()
        .unwrap();
    assert!(others > 0.1, "{others}");
    let markdown = bench.read("results/results.md");
    assert!(
        markdown.contains("(disturbed)") && markdown.contains(" windows of prefill and decode; "),
        "{markdown}"
    );
}

#[test]
fn every_window_has_what_the_system_tells_of_its_surroundings() {
    let bench = Bench::beside();
    bench.suite(&Suite::default());
    bench.run("run --suite mine.toml --out results").expect(0);
    let records = bench.records("results");
    let mut windows = 0;
    for sample in samples(&records.lines) {
        let around = sample.surroundings.as_ref().unwrap();
        let window_ns: u64 = sample.durations_ns.iter().sum();
        assert!(around.span_ns >= window_ns, "{around:?}");
        // /proc is there wherever this test runs.
        let told = [
            around.worker_cpu_ns,
            around.harness_cpu_ns,
            around.others_cpu_ns,
            around.steal_ns,
            around.minor_faults,
            around.voluntary_switches,
        ];
        assert!(told.iter().all(Option::is_some), "{around:?}");
        windows += 1;
    }
    assert!(windows >= samples_of(&records.lines, Phase::Decode).count() * 2);
}
