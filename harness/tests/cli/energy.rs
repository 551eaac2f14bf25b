//! Energy from a live fake counter of known power, through the whole tool.

use crate::support::{Bench, Ran, Running, Suite, runs_here, samples, samples_of, skip};
use bitbench_reports::record::{Energy, EnergySourceInfo, Phase, Provenance, Sample};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

const WATTS: f64 = 45.0;

/// A running `examples/fake_rapl`.
struct Fake {
    root: tempfile::TempDir,
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Fake {
    /// A package of [`WATTS`] whose counter starts again after so many microjoules.
    fn start(range_uj: u64) -> Fake {
        let test = std::env::current_exe().unwrap();
        let example = test.ancestors().nth(2).unwrap().join("examples/fake_rapl");
        assert!(
            example.exists(),
            "{} is absent: run `cargo build -p bitbench --examples` in the same profile",
            example.display()
        );
        let root = tempfile::tempdir().unwrap();
        let mut child = Command::new(example)
            .arg("--root")
            .arg(root.path())
            .args(["--stdin", "--zone", &format!("package-0={WATTS}")])
            .args(["--range-uj", &range_uj.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        for expected in ["ready", "started "] {
            let mut line = String::new();
            out.read_line(&mut line).unwrap();
            assert!(line.starts_with(expected), "{line}");
        }
        Fake { root, child, out }
    }

    fn root(&self) -> &Path {
        self.root.path()
    }

    /// Ends it; gives the longest time that it was late, in seconds.
    fn stop(&mut self) -> f64 {
        if let Some(mut input) = self.child.stdin.take() {
            input.flush().unwrap();
        }
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        self.child.wait().unwrap();
        let late_us = line.trim_end().rsplit(' ').next().unwrap();
        late_us.parse::<f64>().unwrap() * 1e-6
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn suite() -> Suite {
    Suite {
        models: &["medium"],
        kernels: r#""i2s-*""#,
        rounds: 1,
        energy: "required",
        energy_window_s: 1.5,
        idle_s: 0.3,
        // One repetition fills a window on most machines: then the median repetition is the mean one, however busy they are.
        prefill: 96,
        decode: 64,
        ..Suite::default()
    }
}

fn wraps(sample: &Sample) -> u32 {
    match &sample.energy {
        Energy::Measured(window) => window.domains.iter().map(|d| d.wraps).sum(),
        Energy::Unavailable { reason } => panic!("{reason}"),
    }
}

fn relative(found: f64, expected: f64) -> f64 {
    (found - expected).abs() / expected
}

/// One run against a fake: done, or why the machine was too busy for it to mean something.
fn attempt(bench: &Bench, out: &str) -> Result<(), String> {
    // 60 J at 45 W: every window of 1.5 s and more holds a wrap.
    let mut fake = Fake::start(60_000_000);
    let ran = bench
        .run(&format!(
            "run --suite mine.toml --kernel i2s-scalar --out {out} --sysfs-root {}",
            fake.root().display()
        ))
        .expect(0);
    let late_s = fake.stop();
    let records = bench.records(out);
    let EnergySourceInfo::Open { provenance, .. } = &records.run.energy else {
        panic!("{:?}", records.run.energy);
    };
    assert_eq!(*provenance, Provenance::Simulated);
    for sample in samples(&records.lines) {
        let Energy::Measured(window) = &sample.energy else {
            panic!("{:?}", sample.energy);
        };
        assert_eq!(window.provenance, Provenance::Simulated);
    }
    for phase in [Phase::Prefill, Phase::Decode] {
        let sample = samples_of(&records.lines, phase).next().unwrap();
        assert!(wraps(sample) >= 1, "{phase:?} saw no wrap");
    }
    let idle = samples_of(&records.lines, Phase::Idle).count();
    assert_eq!(idle, 2, "idle before and after");

    let html = bench.read(&format!("{out}/report.html"));
    for text in [&ran.out, &html, &bench.read(&format!("{out}/results.md"))] {
        assert!(text.contains("SIMULATED"), "{text}");
    }
    let rows = bench.csv(out);
    assert_eq!(rows.len(), 1);
    let row = rows.values().next().unwrap();
    assert_eq!(row["provenance"], "simulated");
    let number = |column: &str| row[column].parse::<f64>().unwrap();
    assert!(
        relative(number("decode_watts"), WATTS) < 0.01,
        "{} W",
        row["decode_watts"]
    );
    let mut excuse = Ok(());
    for (phase, sample) in [("decode", Phase::Decode), ("prefill", Phase::Prefill)] {
        let found = number(&format!("{phase}_joules_per_token"));
        let speed = number(&format!("{phase}_tokens_per_second"));
        let expected = WATTS / speed;
        let error = relative(found, expected);
        println!(
            "{phase}: {found:.6} J/token; {WATTS} W / {speed:.1} tok/s = {expected:.6} J/token; off by {:.3} %",
            100.0 * error
        );
        if error < 0.01 {
            continue;
        }
        // The speed is that of the median repetition, and what the worker times is not the whole window: both differ by
        // what disturbed the worker, which is no fault of the meter.
        let sample = samples_of(&records.lines, sample).next().unwrap();
        let Energy::Measured(window) = &sample.energy else {
            unreachable!("looked at above");
        };
        let repetitions = u32::try_from(sample.durations_ns.len()).unwrap();
        #[expect(clippy::cast_precision_loss, reason = "nanoseconds of a few seconds")]
        let window_s = window.window_ns as f64 * 1e-9;
        let tokens = f64::from(sample.tokens) * f64::from(repetitions);
        let of_window = WATTS * window_s / tokens;
        assert!(
            relative(found, of_window) < 0.01 + 4.0 * late_s / window_s,
            "{phase}: {found} J/token, expected {of_window}: {WATTS} W for {window_s} s over {tokens} tokens"
        );
        excuse = Err(format!(
            "{phase}: {found} J/token, expected {expected} = {WATTS} W / {speed} tok/s"
        ));
    }
    excuse
}

#[test]
fn joules_per_token_are_watts_over_tokens_per_second_across_a_wrap() {
    let bench = Bench::alone();
    bench.suite(&suite());
    let mut excuse = String::new();
    for number in 0..4 {
        match attempt(&bench, &format!("out{number}")) {
            Ok(()) => return,
            Err(busy) => excuse = busy,
        }
    }
    skip(&format!("the machine is too busy: {excuse}"));
}

fn counter(root: &Path) -> PathBuf {
    root.join("class/powercap/intel-rapl:0/energy_uj")
}

#[test]
fn counters_that_vanish_in_mid_run_leave_no_figure_and_the_run_goes_on() {
    let bench = Bench::alone();
    let suite = Suite {
        models: &["tiny"],
        kernels: r#""i2s-scalar", "f16-scalar""#,
        rounds: 3,
        energy_window_s: 0.3,
        energy: "preferred",
        prefill: 16,
        decode: 8,
        ..suite()
    };
    bench.suite(&suite);
    let mut fake = Fake::start(60_000_000);
    let mut running = bench.start(&format!(
        "run --suite mine.toml --no-control --out out --sysfs-root {}",
        fake.root().display()
    ));
    running.wait_for("two measured windows", || {
        (samples_of(&bench.records_so_far("out"), Phase::Decode).count() >= 2).then_some(())
    });
    fake.stop();
    // A zone that is gone gives errors; an open file would be readable for ever.
    fs::write(counter(fake.root()), "").unwrap();
    fs::remove_dir_all(fake.root().join("class")).unwrap();
    let ran = running.end().expect(0);
    let records = bench.records("out");
    let figures = |phase| {
        samples_of(&records.lines, phase)
            .map(|sample| match &sample.energy {
                Energy::Measured(window) => window.total_joules(),
                Energy::Unavailable { reason } => Err(reason.clone()),
            })
            .collect::<Vec<_>>()
    };
    let decode = figures(Phase::Decode);
    assert_eq!(decode.len(), 6, "all rounds were run");
    assert!(decode[0].as_ref().unwrap() > &1.0, "{decode:?}");
    for figure in figures(Phase::Decode)
        .iter()
        .chain(&figures(Phase::Prefill))
    {
        match figure {
            Ok(joules) => assert!(*joules > 1.0, "{joules} J"),
            Err(reason) => assert!(reason.contains("package-0"), "{reason}"),
        }
    }
    let last = decode.last().unwrap().as_ref().unwrap_err();
    for (job, row) in bench.csv("out") {
        assert_eq!(row["status"], "measured", "{job}");
        assert!(!row["decode_tokens_per_second"].is_empty(), "{job}");
        assert_eq!(row["decode_joules_per_token"], "", "{job}");
        assert_eq!(row["decode_watts"], "", "{job}");
    }
    let html = bench.read("out/report.html");
    assert!(html.contains("package-0"), "{html}");
    println!("last window: {last}");
    assert!(
        ran.out.contains(last.as_str()) || html.contains(last.as_str()),
        "no page tells why there is no energy: {last}\n{}",
        ran.out
    );
}

#[test]
fn a_suite_that_requires_energy_measures_nothing_without_it() {
    let bench = Bench::beside();
    bench.suite(&suite());
    fs::create_dir(bench.path().join("sys")).unwrap();
    for out in ["", "--out out"] {
        bench
            .run(&format!("run --suite mine.toml --sysfs-root sys {out}"))
            .expect(3)
            .says(&["mine", "needs energy counters"]);
    }
    assert!(!bench.has("bitbench-results") && !bench.has("out"));
}

#[test]
fn a_source_that_was_named_has_no_stand_in() {
    let bench = Bench::beside();
    let preferred = Suite {
        energy: "preferred",
        ..suite()
    };
    bench.suite(&preferred);
    let fake = Fake::start(60_000_000);
    let with = |energy: &str| {
        let root = fake.root().display();
        bench.run(&format!(
            "run --suite mine.toml --list --sysfs-root {root} {energy}"
        ))
    };
    let shows = |ran: Ran, word: &str| assert!(ran.out.contains(word), "{}", ran.out);
    shows(with("").expect(0), "energy: powercap");
    shows(with("--energy powercap").expect(0), "energy: powercap");
    with("--energy battery")
        .expect(3)
        .says(&["--energy battery: battery: no battery of the machine"]);
    shows(
        with("--energy off").expect(0),
        "energy: unavailable - not asked for (--energy off)",
    );
    let root = fake.root().display();
    let doctor = |energy| bench.run(&format!("doctor --sysfs-root {root} --energy {energy}"));
    shows(doctor("powercap").expect(0), "  powercap     chosen");
    shows(doctor("hwmon").expect(3), "no known power sensor");
}

#[test]
fn a_suite_without_energy_reads_no_counter() {
    let bench = Bench::beside();
    let suite = Suite {
        energy: "off",
        ..suite()
    };
    bench.suite(&Suite {
        models: &["tiny"],
        ..suite
    });
    let fake = Fake::start(60_000_000);
    let running: Running = bench.start(&format!(
        "run --suite mine.toml --quick --out out --sysfs-root {}",
        fake.root().display()
    ));
    running.end().expect(0);
    for (job, row) in bench.csv("out") {
        let runs = runs_here(&row["kernel"]);
        let status = if runs { "measured" } else { "skipped" };
        assert_eq!(row["status"], status, "{job}: {}", row["reason"]);
        assert_eq!(row["decode_joules_per_token"], "", "{job}");
    }
}

#[test]
fn modelled_energy_comes_only_when_asked_for_and_says_what_it_is() {
    let bench = Bench::beside();
    let ran = bench.run("energy-model").expect(0);
    for (name, printed) in [("LLaMA 3.2 1B", "0.258"), ("BitNet b1.58 2B4T", "0.028")] {
        let line = ran.out.lines().find(|line| line.contains(name)).unwrap();
        let twice = line.matches(printed).count();
        assert!(line.contains("MODEL") && twice == 2, "{line}");
    }
    bench.suite(&Suite::default());
    bench.run("run --suite mine.toml --out out").expect(0);
    for page in ["report.html", "results.csv", "results.md", "records.jsonl"] {
        assert!(
            !bench.read(&format!("out/{page}")).contains("MODEL"),
            "{page}"
        );
    }
    let ran = bench.run("energy-model dram-floor --run out").expect(0);
    let figures = ran
        .out
        .lines()
        .filter(|line| line.contains("MODEL ~"))
        .count();
    assert_eq!(figures, 2, "{}", ran.out);
    let csv = bench
        .run("energy-model arithmetic --model tiny --csv")
        .expect(0)
        .out;
    assert!(
        csv.starts_with("energy_model,") && csv.lines().count() == 3,
        "{csv}"
    );
    bench
        .run("energy-model watts --model tiny")
        .expect(2)
        .says(&["arithmetic, dram-floor"]);
    bench.run("energy-model arithmetic").expect(2);
}
