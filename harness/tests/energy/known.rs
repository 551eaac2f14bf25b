//! Known power in real time, in this process: the figure must be what the writer really wrote at the moments of the readings,
//! to the microjoule, and the integral of the power to 1 % - plus what the writer was late, which its ledger tells. So no
//! machine is too busy for these tests, and on a quiet one they are strict.

use crate::ledger::{Counter, Entry, Fault, Live, PERIOD_US, Power, Recording, counter};
use crate::tree::{AMD, INTEL};
use bitbench::energy::reading::Snapshot;
use bitbench::energy::sysfs::{CounterFile, CpuFacts, Files, RealFiles, SysFs};
use bitbench::energy::{Opened, open};
use bitbench::meter::Meter;
use bitbench_reports::record::{DomainEnergy, Energy, WindowEnergy};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A window over live counters: what was measured, what was read, and what was written.
struct Measured {
    window: WindowEnergy,
    snapshots: Vec<Snapshot>,
    ledger: Vec<Vec<Entry>>,
    live: Live,
}

/// Measures for a time; faults begin after a third of it.
fn measure(counters: Vec<Counter>, cpu: CpuFacts, time: Duration) -> Measured {
    measure_at(counters, time, |live| live.tree.sys(cpu), |_| {})
}

fn measure_at(
    counters: Vec<Counter>,
    time: Duration,
    sys: impl FnOnce(&Live) -> SysFs,
    fault: impl FnOnce(&Live),
) -> Measured {
    let mut live = Live::start(counters);
    let source = match open(&sys(&live)) {
        Opened::Source(source) => source,
        Opened::Unavailable(reasons) => panic!("{reasons:?}"),
    };
    let snapshots = Arc::new(Mutex::new(Vec::new()));
    let mut meter = Meter::new(Box::new(Recording {
        source,
        snapshots: Arc::clone(&snapshots),
    }));
    let window = meter.begin();
    std::thread::sleep(time / 3);
    live.break_counters();
    fault(&live);
    std::thread::sleep(time - time / 3);
    let window = match meter.end(window) {
        Energy::Measured(window) => window,
        Energy::Unavailable { reason } => panic!("{reason}"),
    };
    drop(meter);
    let ledger = live.ledger();
    let snapshots = snapshots.lock().unwrap().clone();
    Measured {
        window,
        snapshots,
        ledger,
        live,
    }
}

impl Measured {
    fn domain(&self, name: &str) -> &DomainEnergy {
        let domain = self.window.domains.iter().find(|d| d.name == name);
        domain.unwrap_or_else(|| panic!("no {name} in {:?}", self.window.domains))
    }

    /// Checks a domain against the counter behind it, and gives its joules.
    fn check(&self, name: &str, counter: usize) -> f64 {
        let index = self.window.domains.iter().position(|d| d.name == name);
        let (domain, index) = (self.domain(name), index.unwrap());
        let Some(energy) = domain.energy_uj else {
            panic!("{name}: {:?}", domain.fault);
        };
        let written = |shown: u64| {
            let entries = self.ledger[counter].iter().rev();
            *entries.into_iter().find(|e| e.shown_uj == shown).unwrap()
        };
        let read = |shown: u64| {
            let mut snapshots = self.snapshots.iter().rev();
            snapshots.find(|s| s.values[index] == Ok(shown)).unwrap()
        };
        let (start, end) = (domain.start_uj, domain.end_uj.unwrap());
        let (from, to) = (written(start), written(end));
        // What the writer wrote, wraps undone.
        assert_eq!(energy.0, to.total_uj - from.total_uj, "{name}");
        // What the power was.
        let Counter { power, .. } = self.live.counters[counter];
        let us = |at: Duration| u64::try_from((at - self.live.begin).as_micros()).unwrap();
        let expected_uj =
            power.energy_uj(us(read(end).at())) - power.energy_uj(us(read(start).at()));
        let late_us = |shown, entry: Entry| {
            // How old the value was when it was read, and how long the reading took.
            let age = read(shown).at().saturating_sub(entry.at) + read(shown).took();
            u64::try_from(age.as_micros())
                .unwrap()
                .saturating_sub(PERIOD_US)
        };
        let late_us = late_us(start, from) + late_us(end, to);
        let allowed_uj = expected_uj / 100 + power.highest() * late_us;
        println!(
            "{name}: {} uJ, expected {expected_uj} uJ, late by {late_us} us",
            energy.0
        );
        assert!(energy.0.abs_diff(expected_uj) <= allowed_uj, "{name}");
        energy.joules()
    }

    fn total(&self) -> f64 {
        self.window.total_joules().unwrap()
    }

    fn no_total(&self) -> String {
        self.window.total_joules().unwrap_err()
    }
}

fn same(found: f64, expected: f64) {
    assert!(
        (found - expected).abs() < 1e-5,
        "{found} J, not {expected} J"
    );
}

const SECOND: Duration = Duration::from_secs(1);
const PACKAGE: &str = "intel-rapl:0";

#[test]
fn constant_power() {
    let measured = measure(vec![counter(PACKAGE, "package-0", 45)], INTEL, SECOND);
    same(measured.total(), measured.check("package-0", 0));
}

#[test]
fn a_square_wave_of_10_and_80_watts() {
    let mut package = counter(PACKAGE, "package-0", 0);
    // A second is two and a half periods: a sample of power times time would be far off.
    let (low, high, period_us) = (10, 80, 400_000);
    package.power = Power::Square {
        low,
        high,
        period_us,
    };
    let measured = measure(vec![package], INTEL, SECOND);
    measured.check("package-0", 0);
}

#[test]
fn over_a_wrap() {
    let mut package = counter(PACKAGE, "package-0", 45);
    package.start_uj = package.range_uj - 20_000_000;
    let measured = measure(vec![package], INTEL, SECOND);
    measured.check("package-0", 0);
    assert_eq!(measured.domain("package-0").wraps, 1);
}

#[test]
fn a_square_wave_over_several_wraps() {
    let mut package = counter(PACKAGE, "package-0", 0);
    let (low, high, period_us) = (100, 800, 300_000);
    package.power = Power::Square {
        low,
        high,
        period_us,
    };
    (package.start_uj, package.range_uj) = (500_000_000, 700_000_000);
    let measured = measure(vec![package], INTEL, 4 * SECOND);
    let wraps = measured.domain("package-0").wraps;
    if let Some(fault) = &measured.domain("package-0").fault {
        // On a machine so busy that no reading was made for as long as a wrap can take, this is the answer.
        let mut pairs = measured.snapshots.windows(2);
        let gap = pairs.any(|p| p[1].after - p[0].before > Duration::from_millis(700));
        assert!(gap && fault.starts_with("last reading was "), "{fault}");
        return println!("too busy: {fault}");
    }
    measured.check("package-0", 0);
    assert!((2..=3).contains(&wraps), "{wraps}");
}

#[test]
fn a_second_package_is_added() {
    let counters = vec![
        counter(PACKAGE, "package-0", 45),
        counter("intel-rapl:1", "package-1", 30),
    ];
    let measured = measure(counters, INTEL, SECOND);
    same(
        measured.total(),
        measured.check("package-0", 0) + measured.check("package-1", 1),
    );
}

#[test]
fn dram_is_added_to_its_package() {
    let counters = vec![
        counter(PACKAGE, "package-0", 45),
        counter("intel-rapl:0:0", "dram", 3),
    ];
    let measured = measure(counters, INTEL, SECOND);
    same(
        measured.total(),
        measured.check("package-0", 0) + measured.check("package-0/dram", 1),
    );
}

#[test]
fn psys_is_shown_and_not_added() {
    let counters = vec![
        counter(PACKAGE, "package-0", 45),
        counter("intel-rapl:1", "psys", 75),
    ];
    let measured = measure(counters, INTEL, SECOND);
    measured.check("psys", 1);
    same(measured.total(), measured.check("package-0", 0));
}

#[test]
fn an_mmio_twin_is_counted_once() {
    let mut package = counter(PACKAGE, "package-0", 45);
    package.zones.push(("intel-rapl-mmio:0", "package-0"));
    let measured = measure(vec![package], INTEL, SECOND);
    same(measured.total(), measured.check("package-0", 0));
    assert_eq!(measured.window.domains.len(), 1);
}

#[test]
fn the_one_core_of_amd_is_not_added() {
    let counters = vec![
        counter(PACKAGE, "package-0", 45),
        counter("intel-rapl:0:0", "core", 6),
    ];
    let measured = measure(counters, AMD, SECOND);
    measured.check("package-0/core", 1);
    same(measured.total(), measured.check("package-0", 0));
}

#[test]
fn dies_of_intel_are_added() {
    let counters = vec![
        counter(PACKAGE, "package-0-die-0", 45),
        counter("intel-rapl:1", "package-0-die-1", 30),
    ];
    let measured = measure(counters, INTEL, SECOND);
    let dies = measured.check("package-0-die-0", 0) + measured.check("package-0-die-1", 1);
    same(measured.total(), dies);
}

#[test]
fn dies_of_amd_are_mirrors_of_their_package() {
    let mut package = counter(PACKAGE, "package-0-die-0", 45);
    package.zones.push(("intel-rapl:1", "package-0-die-1"));
    let measured = measure(vec![package], AMD, SECOND);
    same(measured.total(), measured.check("package-0-die-0", 0));
}

#[test]
fn a_zone_with_a_hexadecimal_number_is_one_like_any_other() {
    let counters = vec![
        counter(PACKAGE, "package-0", 45),
        counter("intel-rapl:a", "package-10", 30),
    ];
    let measured = measure(counters, INTEL, SECOND);
    same(
        measured.total(),
        measured.check("package-0", 0) + measured.check("package-10", 1),
    );
}

/// Two packages, of which the second has a fault; the first must have its figure all the same.
fn with_fault(fault: Fault, time: Duration) -> String {
    let mut second = counter("intel-rapl:1", "package-1", 30);
    second.fault = Some(fault);
    let measured = measure(vec![counter(PACKAGE, "package-0", 45), second], INTEL, time);
    measured.check("package-0", 0);
    assert_eq!(measured.domain("package-1").energy_uj, None);
    measured.no_total()
}

#[test]
fn a_counter_that_sticks_in_mid_window_gives_no_total() {
    let reason = with_fault(Fault::Sticks, 4 * SECOND);
    assert!(
        reason.starts_with("package-1: counter did not move for "),
        "{reason}"
    );
    assert!(reason.ends_with(": not reported as 0 J"), "{reason}");
}

#[test]
fn a_counter_that_starts_again_in_mid_window_gives_no_total() {
    let reason = with_fault(Fault::Resets, SECOND);
    assert!(
        reason.starts_with("package-1: counter went backwards by "),
        "{reason}"
    );
    assert!(
        reason.ends_with(" without a possible wrap (suspend or driver reload?): window discarded"),
        "{reason}"
    );
}

/// Files of which one is gone from some moment on, as a zone whose last CPU went offline.
struct Vanishing {
    gone: Arc<AtomicBool>,
}

struct MayVanish {
    inner: Box<dyn CounterFile>,
    gone: Arc<AtomicBool>,
}

impl CounterFile for MayVanish {
    fn read_start(&self, buffer: &mut [u8]) -> io::Result<usize> {
        const ENODEV: i32 = 19;
        match self.gone.load(Ordering::SeqCst) {
            true => Err(io::Error::from_raw_os_error(ENODEV)),
            false => self.inner.read_start(buffer),
        }
    }
}

impl Files for Vanishing {
    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        RealFiles.list(folder)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn CounterFile>> {
        let inner = RealFiles.open(path)?;
        let gone = Arc::clone(&self.gone);
        Ok(match path.ends_with("intel-rapl:1/energy_uj") {
            true => Box::new(MayVanish { inner, gone }),
            false => inner,
        })
    }

    fn mode(&self, path: &Path) -> Option<u32> {
        RealFiles.mode(path)
    }
}

#[test]
fn a_zone_that_vanishes_in_mid_window_gives_no_total() {
    let gone = Arc::new(AtomicBool::new(false));
    let counters = vec![
        counter(PACKAGE, "package-0", 45),
        counter("intel-rapl:1", "package-1", 30),
    ];
    let files = Arc::new(Vanishing {
        gone: Arc::clone(&gone),
    });
    let measured = measure_at(
        counters,
        SECOND,
        |live| live.tree.sys(INTEL).with_files(files),
        |_| gone.store(true, Ordering::SeqCst),
    );
    measured.check("package-0", 0);
    assert_eq!(
        measured.no_total(),
        "package-1: the counter is gone (CPU taken offline, or driver unloaded?)"
    );
}
