//! The meter against a live counter of known power (`examples/fake_rapl.rs`), in real time.
//!
//! Two kinds of checks. With `--wait` the counter moves between two commands only, and the figure must equal the ledger of
//! the fake: that holds on any machine, however busy. Free running, the figure must be within 1 % of W x T; there a writer
//! that was kept from running shows in its ledger, and such an attempt is made again.

use bitbench::energy::sysfs::SysFs;
use bitbench::meter::Meter;
use bitbench_reports::record::{Energy, EnergySourceInfo, Provenance, WindowEnergy};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

/// An example of this package; cargo builds examples along with the tests.
pub(crate) fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    let path = profile.join("examples").join(name);
    assert!(
        path.exists(),
        "{} is absent: run `cargo build -p bitbench --examples` in the same profile",
        path.display()
    );
    path
}

/// A running fake.
struct Fake {
    root: tempfile::TempDir,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

/// What the fake says it put out: joules and watts of each zone, and the longest time it was late.
struct Ledger {
    joules: BTreeMap<String, f64>,
    late: Duration,
}

impl Fake {
    fn start(args: &str) -> Fake {
        let root = tempfile::tempdir().unwrap();
        let mut child = Command::new(example("fake_rapl"))
            .arg("--root")
            .arg(root.path())
            .arg("--stdin")
            .args(args.split_whitespace())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut fake = Fake {
            root,
            child,
            stdin,
            stdout,
        };
        assert_eq!(fake.line(), "ready");
        fake
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Waits until the counters move; gives the start of E(t) as `CLOCK_MONOTONIC`.
    fn started(&mut self) -> Duration {
        let line = self.line();
        Duration::from_nanos(line.strip_prefix("started ").unwrap().parse().unwrap())
    }

    fn go(&mut self) -> Duration {
        self.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
        self.started()
    }

    /// Ends the fake; its counters are then up to date with its ledger.
    fn stop(&mut self) -> Ledger {
        self.stdin = None;
        let mut ledger = Ledger {
            joules: BTreeMap::new(),
            late: Duration::ZERO,
        };
        loop {
            let line = self.line();
            let words: Vec<&str> = line.split(' ').collect();
            let [
                zone,
                "joules",
                joules,
                "seconds",
                _,
                "watts",
                _,
                "late_us",
                late_us,
            ] = words[..]
            else {
                break;
            };
            ledger
                .joules
                .insert(zone.to_owned(), joules.parse().unwrap());
            ledger.late = Duration::from_micros(late_us.parse().unwrap());
        }
        assert!(self.child.wait().unwrap().success());
        ledger
    }

    fn meter(&self) -> Meter {
        Meter::open(&SysFs::at(self.root.path()))
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn measured(energy: Energy) -> WindowEnergy {
    match energy {
        Energy::Measured(window) => window,
        Energy::Unavailable { reason } => panic!("{reason}"),
    }
}

fn joules(window: &WindowEnergy, name: &str) -> f64 {
    let domain = window.domains.iter().find(|d| d.name == name).unwrap();
    match domain.energy_uj {
        Some(energy) => energy.joules(),
        None => panic!("{name}: {:?}", domain.fault),
    }
}

fn error(found: f64, expected: f64) -> f64 {
    (found - expected).abs() / expected
}

/// Measures what a fake puts out within one run of its own, against its ledger.
fn against_ledger(args: &str, time: Duration) -> (WindowEnergy, Ledger, EnergySourceInfo) {
    let mut fake = Fake::start(&format!("{args} --wait"));
    let mut meter = fake.meter();
    let window = meter.begin();
    fake.go();
    std::thread::sleep(time);
    let ledger = fake.stop();
    let window = measured(meter.end(window));
    (window, ledger, meter.info())
}

#[test]
fn twins_platform_dies_and_parts_are_not_counted_twice() {
    let args = "--zone package-0=45 --zone dram=3 --zone core=20 --zone uncore=4 --zone psys=75 --zone package-1=30 \
                --zone dram=2 --mmio --vendor intel --wrap-after-seconds 0.6";
    let (window, ledger, info) = against_ledger(args, Duration::from_millis(1200));
    for (zone, expected) in &ledger.joules {
        let found = joules(&window, zone);
        println!("{zone}: {found:.4} J, ledger {expected:.4} J");
        // One unit at either end, and one at the wrap.
        assert!(
            (found - expected).abs() < 0.000_2,
            "{zone}: {found} J, not {expected} J"
        );
    }
    let counted = ["package-0", "package-0/dram", "package-1", "package-1/dram"];
    let expected: f64 = counted.iter().map(|zone| ledger.joules[*zone]).sum();
    let total = window.total_joules().unwrap();
    assert!(error(total, expected) < 1e-4, "{total} J, not {expected} J");
    assert!(window.domains.iter().all(|d| d.wraps == 1));
    assert_eq!(window.provenance, Provenance::Simulated);
    let EnergySourceInfo::Open {
        provenance,
        caveats,
        ..
    } = info
    else {
        panic!("{info:?}");
    };
    assert_eq!(provenance, Provenance::Simulated);
    assert!(caveats[0].contains("SIMULATED"));
}

#[test]
fn one_core_and_mirrored_dies_of_amd_are_not_counted() {
    let args = "--zone package-0-die-0=40 --zone core=6 --zone package-0-die-1=40 --zone core=6 --vendor amd \
                --unit-nj 15258 --range-uj 65532610987";
    let (window, ledger, _) = against_ledger(args, Duration::from_millis(1000));
    let total = window.total_joules().unwrap();
    assert!(
        error(total, ledger.joules["package-0-die-0"]) < 1e-4,
        "{total} J"
    );
    assert_eq!(window.domains.len(), 2);
}

/// One attempt of a free-running check: done, or why the machine was too busy for it to mean something.
fn free_running(
    args: &str,
    time: Duration,
    expected_joules: fn(f64, f64) -> f64,
) -> Result<(), String> {
    let mut fake = Fake::start(args);
    let start = fake.started();
    std::thread::sleep(Duration::from_millis(20));
    let mut meter = fake.meter();
    let from = now() - start;
    let window = meter.begin();
    std::thread::sleep(time);
    let energy = meter.end(window);
    let to = now() - start;
    let late = fake.stop().late;
    let window = measured(energy);
    let package = &window.domains[0];
    // The test itself was kept from running: between its clock and the readings, or between two polls.
    let outside = (to - from).saturating_sub(Duration::from_nanos(window.window_ns));
    if let Some(fault) = &package.fault {
        assert!(fault.starts_with("last reading was"), "{fault}");
        return Err(fault.clone());
    }
    let expected = expected_joules(from.as_secs_f64(), to.as_secs_f64());
    let found = joules(&window, "package-0");
    let error = error(found, expected);
    let (wraps, polls) = (package.wraps, window.polls);
    println!(
        "{found:.3} J, expected {expected:.3} J: {:.4} %, {wraps} wraps, {polls} polls, late {late:?}",
        100.0 * error
    );
    if error < 0.01 {
        return Ok(());
    }
    // The highest power is twice the mean, and both ends of the window can be late.
    if (late + outside) * 4 > time / 100 {
        return Err(format!(
            "{found} J, not {expected} J, with the fake late by {late:?}"
        ));
    }
    panic!("{found} J, not {expected} J");
}

fn now() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::new(
        time.tv_sec.try_into().unwrap(),
        time.tv_nsec.try_into().unwrap(),
    )
}

/// Tries a few times; a machine that is busy all along has its say in the tests against the ledger.
fn within_one_percent(args: &str, time: Duration, expected_joules: fn(f64, f64) -> f64) {
    let mut excuse = String::new();
    for _ in 0..3 {
        match free_running(args, time, expected_joules) {
            Ok(()) => return,
            Err(busy) => excuse = busy,
        }
    }
    crate::permissions::skip(&format!("the machine is too busy: {excuse}"));
}

#[test]
fn constant_power_is_measured_within_one_percent() {
    within_one_percent("--zone package-0=45", Duration::from_secs(1), |from, to| {
        45.0 * (to - from)
    });
}

#[test]
fn power_is_measured_across_a_wrap_within_one_percent() {
    within_one_percent(
        "--zone package-0=45 --start near-wrap",
        Duration::from_millis(1500),
        |from, to| 45.0 * (to - from),
    );
}

#[test]
fn a_counter_that_wraps_again_and_again_is_measured_within_one_percent() {
    // 150 J at 100 W: a wrap every 1.5 s; the meter reads every 37 ms.
    within_one_percent(
        "--zone package-0=100 --range-uj 150000000",
        Duration::from_secs(4),
        |from, to| 100.0 * (to - from),
    );
}

#[test]
fn a_square_wave_is_measured_within_one_percent() {
    // The mean is 45 W, but one second is 2.5 periods: a sample of power times time would miss it.
    fn integral(t: f64) -> f64 {
        let period = 0.4;
        let whole = (t / period).floor();
        let rest = t - whole * period;
        whole * 18.0 + 10.0 * rest.min(0.2) + 80.0 * (rest - 0.2).max(0.0)
    }
    let args = "--zone package-0=1 --square 10,80,400 --wrap-after-seconds 0.7";
    within_one_percent(args, Duration::from_secs(1), |from, to| {
        integral(to) - integral(from)
    });
}

#[test]
fn a_square_wave_equals_its_ledger() {
    let args = "--zone package-0=1 --square 10,80,300 --range-uj 1000000000 --start 990000000";
    let (window, ledger, _) = against_ledger(args, Duration::from_millis(1100));
    let (found, expected) = (joules(&window, "package-0"), ledger.joules["package-0"]);
    assert!(
        (found - expected).abs() < 0.000_2,
        "{found} J, not {expected} J"
    );
    assert_eq!(window.domains[0].wraps, 1);
}

#[test]
fn a_frozen_or_vanished_counter_has_no_figure() {
    let mut fake = Fake::start("--zone package-0=45 --wait");
    let mut meter = fake.meter();
    let window = meter.begin();
    std::thread::sleep(Duration::from_millis(150));
    let reason = measured(meter.end(window)).total_joules().unwrap_err();
    assert!(
        reason.contains("package-0: counter did not move for "),
        "{reason}"
    );

    let window = meter.begin();
    fake.go();
    std::thread::sleep(Duration::from_millis(150));
    // In sysfs a read of a zone that is gone fails; a plain file stays readable once open, so it is emptied.
    let counter = fake
        .root
        .path()
        .join("class/powercap/intel-rapl:0/energy_uj");
    fake.stop();
    truncate(&counter);
    let energy = measured(meter.end(window));
    assert_eq!(
        energy.total_joules().unwrap_err(),
        "package-0: the counter file is empty"
    );
    assert_eq!(energy.domains[0].end_uj, None);
}

fn truncate(path: &Path) {
    std::fs::File::create(path).unwrap();
}
