//! Windows over scripted readings: exact figures, and each thing that can go wrong on the way.

use bitbench::energy::delta::DeltaFault;
use bitbench::energy::reading::{ReadFault, Snapshot};
use bitbench::energy::tick::Tick;
use bitbench::energy::window::OpenWindow;
use bitbench::energy::{Domain, EnergySource, Reads, SourceInfo};
use bitbench::meter::Meter;
use bitbench_reports::record::{DomainInfo, DomainKind, Energy, Provenance, WindowEnergy};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// 65 533 J: a server.
const RANGE_UJ: u64 = 65_532_610_987;

fn domain(name: &str, kind: DomainKind, range_uj: Option<u64>) -> Domain {
    Domain {
        info: DomainInfo {
            name: name.to_owned(),
            kind,
            counted: matches!(kind, DomainKind::Package | DomainKind::Dram),
            range_uj,
            joules_per_tick: None,
            origin: "scripted".to_owned(),
        },
        reads: Reads::Counter(Tick::MICROJOULE),
        range: range_uj,
        update_period: Duration::from_millis(1),
        max_watts: 1000,
        min_window: Duration::from_millis(100),
    }
}

/// package-0 and its cores.
fn info() -> SourceInfo {
    SourceInfo {
        name: "scripted",
        provenance: Provenance::Simulated,
        domains: vec![
            domain("package-0", DomainKind::Package, Some(RANGE_UJ)),
            domain("package-0/core", DomainKind::Cores, Some(RANGE_UJ)),
        ],
        caveats: Vec::new(),
    }
}

/// A reading of both domains at a time in milliseconds.
fn at(ms: u64, package: Result<u64, ReadFault>, core: u64) -> Snapshot {
    Snapshot {
        before: Duration::from_millis(ms),
        after: Duration::from_millis(ms),
        asleep: Duration::ZERO,
        values: vec![package, Ok(core)],
    }
}

fn run(readings: impl IntoIterator<Item = Snapshot>) -> Energy {
    let info = info();
    let mut readings: VecDeque<_> = readings.into_iter().collect();
    let mut window = OpenWindow::open(readings.pop_front().unwrap());
    let last = readings.pop_back().unwrap();
    for reading in readings {
        window.poll(reading, &info.domains);
    }
    window.close(last, &info)
}

fn measured(energy: Energy) -> WindowEnergy {
    match energy {
        Energy::Measured(window) => window,
        Energy::Unavailable { reason } => panic!("{reason}"),
    }
}

/// The fault of the package; its cores must have their figure all the same.
fn package_fault(readings: impl IntoIterator<Item = Snapshot>) -> String {
    let window = measured(run(readings));
    assert!(window.total_joules().is_err());
    assert!(
        window.domains[1].energy_uj.is_some(),
        "{:?}",
        window.domains[1]
    );
    assert_eq!(window.domains[0].energy_uj, None);
    window.domains[0].fault.clone().unwrap()
}

#[test]
fn a_window_is_the_sum_of_its_steps() {
    let window = measured(run([
        at(0, Ok(100), 5),
        at(1000, Ok(45_000_100), 6),
        at(2500, Ok(45_000_101), 1_000_005),
    ]));
    assert_eq!((window.window_ns, window.polls), (2_500_000_000, 1));
    let package = &window.domains[0];
    assert_eq!(
        (package.start_uj, package.end_uj, package.wraps),
        (100, Some(45_000_101), 0)
    );
    assert_eq!(package.energy_uj.unwrap().0, 45_000_001);
    assert_eq!(window.domains[1].energy_uj.unwrap().0, 1_000_000);
    // The cores are part of the package and not added to it.
    assert_eq!(window.total_joules(), Ok(45.000_001));
}

#[test]
fn a_wrap_exactly_at_the_boundary_costs_nothing() {
    let window = measured(run([
        at(0, Ok(RANGE_UJ - 9), 0),
        at(1000, Ok(RANGE_UJ), 5),
        at(2000, Ok(0), 5),
        at(2500, Ok(89), 7),
    ]));
    assert_eq!(
        (
            window.domains[0].energy_uj.unwrap().0,
            window.domains[0].wraps
        ),
        (99, 1)
    );
}

#[test]
fn several_wraps_between_polls_are_all_counted() {
    // 900 W for an hour: 49 wraps of a server's counter, polled as the meter does.
    let mut value = 7;
    let mut readings = vec![at(0, Ok(value), 0)];
    for poll in 1..=360 {
        value = (value + 9_000_000_000) % (RANGE_UJ + 1);
        readings.push(at(poll * 10_000, Ok(value), poll));
    }
    let window = measured(run(readings));
    assert_eq!(window.domains[0].energy_uj.unwrap().0, 3_240_000_000_000);
    assert_eq!((window.domains[0].wraps, window.polls), (49, 359));
}

#[test]
fn two_possible_wraps_between_readings_are_detected() {
    // 66 s at 1000 W is more than the range, so a single wrap and none look alike; forwards as well as backwards.
    for end_uj in [1, 50_000_000_000] {
        let mut info = info();
        info.domains[1].range = None;
        let start = at(0, Ok(25_000_000_000), 0);
        let window = OpenWindow::open(start).close(at(66_000, Ok(end_uj), 9), &info);
        let window = measured(window);
        let expected = "last reading was 66.000 s ago and the counter may wrap every 65.533 s at 1000 W: \
                        joules cannot be recovered";
        assert_eq!(window.domains[0].fault.as_deref(), Some(expected));
        assert_eq!(window.domains[1].energy_uj.unwrap().0, 9);
    }
}

#[test]
fn faults_of_one_domain_leave_the_other_its_figure() {
    let gone = ReadFault::Gone;
    let eio = ReadFault::Io {
        message: "EIO".to_owned(),
    };
    let cases = [
        (
            vec![at(0, Ok(5), 0), at(1000, Err(gone.clone()), 9)],
            "the counter is gone",
        ),
        (
            vec![at(0, Ok(5), 0), at(1000, Err(eio), 9)],
            "read error: EIO",
        ),
        // Gone and back again: what happened in between is unknown.
        (
            vec![at(0, Ok(5), 0), at(500, Err(gone), 9), at(1000, Ok(50), 10)],
            "the counter is gone",
        ),
        (
            vec![at(0, Ok(30_000_000_000), 0), at(1000, Ok(0), 9)],
            "went backwards by 30000.000 J",
        ),
        (
            vec![at(0, Ok(5), 0), at(1000, Ok(2_000_000_000), 9)],
            "rose as at 1999 W",
        ),
        (
            vec![at(0, Ok(5), 0), at(2000, Ok(5), 9)],
            "did not move for 2.000 s: not reported as 0 J",
        ),
        (
            vec![at(0, Ok(5), 0), at(200, Ok(5), 9)],
            "did not move for 0.200 s",
        ),
        // Sooner where another counter shows that the machine was on; "others" are those of the same source.
        (
            vec![at(0, Ok(5), 0), at(150, Ok(50), 9), at(300, Ok(50), 10)],
            "did not move for 0.150 s while others did: not reported as 0 J",
        ),
        // Frozen in steps that are short, each by itself.
        (
            vec![
                at(0, Ok(5), 0),
                at(60, Ok(50), 9),
                at(120, Ok(50), 10),
                at(180, Ok(50), 11),
                at(240, Ok(95), 12),
            ],
            "did not move for 0.120 s while others did",
        ),
        // Frozen for the last two seconds only.
        (
            vec![at(0, Ok(5), 0), at(2000, Ok(50), 9), at(4000, Ok(50), 10)],
            "did not move for 2.000 s",
        ),
        // The first thing that went wrong is named, not the last.
        (
            vec![
                at(0, Ok(30_000_000_000), 0),
                at(500, Ok(0), 9),
                at(1000, Err(ReadFault::Gone), 10),
            ],
            "went backwards",
        ),
    ];
    for (readings, expected) in cases {
        let fault = package_fault(readings);
        assert!(fault.contains(expected), "{fault}");
    }
}

#[test]
fn an_unreadable_end_is_absent_and_not_zero() {
    let window = measured(run([at(0, Ok(5), 0), at(1000, Err(ReadFault::Gone), 9)]));
    assert_eq!(
        (window.domains[0].start_uj, window.domains[0].end_uj),
        (5, None)
    );
    assert_eq!(
        window.total_joules().unwrap_err(),
        format!("package-0: {}", ReadFault::Gone)
    );
}

#[test]
fn a_counted_domain_that_is_gone_from_the_start_voids_the_window() {
    let energy = run([at(0, Err(ReadFault::Gone), 0), at(1000, Ok(9), 9)]);
    let reason = format!("package-0: {}", ReadFault::Gone);
    assert_eq!(energy, Energy::Unavailable { reason });
    // One that does not count is left out.
    let mut first = at(0, Ok(0), 0);
    first.values[1] = Err(ReadFault::Gone);
    let window = measured(run([first, at(1000, Ok(9), 9)]));
    assert_eq!(window.domains.len(), 1);
}

#[test]
fn a_source_that_gives_too_few_values_gives_no_total() {
    let none = |s: Snapshot| Snapshot {
        values: Vec::new(),
        ..s
    };
    let (first, middle, last) = (at(0, Ok(0), 0), at(500, Ok(5), 5), at(1000, Ok(9), 9));
    let energy = run([none(first.clone()), middle.clone(), last.clone()]);
    assert!(matches!(energy, Energy::Unavailable { .. }));
    let energy = run([first.clone(), none(middle.clone()), last.clone()]);
    assert!(measured(energy).total_joules().is_err());
    let energy = run([first, middle, none(last)]);
    assert!(measured(energy).total_joules().is_err());
}

#[test]
fn a_window_with_a_suspend_in_it_is_void() {
    let mut last = at(5000, Ok(50), 50);
    last.asleep = Duration::from_secs(12);
    let expected = "the machine was suspended for 12.0 s within the window: window discarded";
    let energy = run([at(0, Ok(5), 0), last.clone()]);
    assert_eq!(
        energy,
        Energy::Unavailable {
            reason: expected.to_owned()
        }
    );
    // Also when a poll saw it and the end did not.
    let mut after = at(6000, Ok(60), 60);
    after.asleep = last.asleep;
    let energy = run([at(0, Ok(5), 0), last, after]);
    assert_eq!(
        energy,
        Energy::Unavailable {
            reason: expected.to_owned()
        }
    );
}

#[test]
fn readings_of_power_are_integrated() {
    let mut info = info();
    let every = Duration::from_millis(100);
    for domain in &mut info.domains {
        let longest_gap = Duration::from_secs(2);
        (domain.reads, domain.range) = (Reads::Power { every, longest_gap }, None);
    }
    let watts = |w: u64| w * 1_000_000;
    let run = |readings: &[(u64, u64)]| {
        let mut readings = readings.iter().map(|&(ms, w)| at(ms, Ok(watts(w)), 0));
        let mut window = OpenWindow::open(readings.next().unwrap());
        let last = readings.next_back().unwrap();
        readings.for_each(|reading| window.poll(reading, &info.domains));
        measured(window.close(last, &info))
    };
    // 10 W for a second, up to 80 W within one, and a second at 80 W.
    let window = run(&[(0, 10), (1000, 10), (2000, 80), (3000, 80)]);
    assert_eq!(window.total_joules(), Ok(10.0 + 45.0 + 80.0));
    assert_eq!((window.domains[0].start_uj, window.polls), (0, 2));
    // A reading of 0 W all along is a broken one.
    let fault = window.domains[1].fault.as_deref();
    assert!(
        fault.unwrap().starts_with("counter did not move"),
        "{fault:?}"
    );
    // The rest of the window does not make up for a gap.
    let window = run(&[(0, 10), (2001, 10), (3000, 10)]);
    let gap = "package-0: no power reading for 2.001 s, 2.000 s at most are bridged: joules cannot be recovered";
    assert_eq!(window.total_joules().unwrap_err(), gap);
    let window = run(&[(0, 10), (1000, 1001), (2000, 10)]);
    assert!(window.total_joules().unwrap_err().contains("1001 W"));
}

#[test]
fn raw_ticks_are_kept_beside_their_microjoules() {
    let mut info = info();
    let tick = Tick::of_joule_shifted(14).unwrap();
    (info.domains[0].reads, info.domains[0].range) =
        (Reads::Counter(tick), Some(u64::from(u32::MAX)));
    // 1 J before the end of the register, and 2 J after its start.
    let first = at(0, Ok(u64::from(u32::MAX) - (1 << 14) + 1), 0);
    let window = measured(OpenWindow::open(first).close(at(1000, Ok(2 << 14), 9), &info));
    let package = &window.domains[0];
    assert_eq!(
        (package.energy_uj.unwrap().0, package.wraps),
        (3_000_000, 1)
    );
    assert_eq!(
        (package.start_uj, package.end_uj),
        (262_143_000_000, Some(2_000_000))
    );
    assert_eq!(
        (package.start_ticks, package.end_ticks),
        (Some(4_294_950_912), Some(32_768))
    );
    assert_eq!(
        (window.domains[1].start_ticks, window.domains[1].end_ticks),
        (None, None)
    );
}

#[test]
fn short_windows_are_refused() {
    let fault_of = |ms, min_window_s| {
        let mut info = info();
        info.domains[0].min_window = Duration::from_millis(min_window_s);
        let window = OpenWindow::open(at(0, Ok(0), 0)).close(at(ms, Ok(500), 500), &info);
        measured(window).domains[0].fault.clone()
    };
    let short = "window too short: 0.040 s is 40 counter updates, error up to 2.5 %; at least 0.1 s are needed";
    assert_eq!(fault_of(40, 100).as_deref(), Some(short));
    assert!(
        fault_of(0, 100)
            .unwrap()
            .starts_with("window too short: 0.000 s is 0 counter updates")
    );
    assert_eq!(fault_of(100, 100), None);
    let noisy = "window too short: 9.999 s; SGX is enabled, Intel then adds noise to RAPL, and at least 10 s are needed";
    assert_eq!(fault_of(9999, 10_000).as_deref(), Some(noisy));
    assert_eq!(fault_of(10_000, 10_000), None);
}

#[test]
fn delta_faults_are_part_of_the_record() {
    let fault = DeltaFault::WrapWithoutRange { by_uj: 1_000_000 };
    let mut info = info();
    info.domains[0].range = None;
    let window = OpenWindow::open(at(0, Ok(1_000_001), 0)).close(at(1000, Ok(1), 9), &info);
    assert_eq!(measured(window).domains[0].fault, Some(fault.to_string()));
}

/// A counter of a given range that rises by 1 J at each reading; it can vanish.
struct Rising {
    info: SourceInfo,
    readings: Arc<AtomicU32>,
    gone: Arc<Mutex<bool>>,
}

impl EnergySource for Rising {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn snapshot(&mut self) -> Snapshot {
        Snapshot::take(|| {
            let value = u64::from(self.readings.fetch_add(1, Ordering::SeqCst)) * 1_000_000;
            let package = if *self.gone.lock().unwrap() {
                Err(ReadFault::Gone)
            } else {
                Ok(value)
            };
            vec![package, Ok(value)]
        })
    }
}

fn rising(range_uj: u64) -> (Meter, Arc<AtomicU32>, Arc<Mutex<bool>>) {
    let mut info = info();
    for domain in &mut info.domains {
        domain.range = Some(range_uj);
    }
    let readings = Arc::new(AtomicU32::new(0));
    let gone = Arc::new(Mutex::new(false));
    let meter = Meter::new(Box::new(Rising {
        info,
        readings: Arc::clone(&readings),
        gone: Arc::clone(&gone),
    }));
    (meter, readings, gone)
}

#[test]
fn the_poller_reads_within_windows_only_and_ends_with_its_meter() {
    // 200 J: to be read every 50 ms.
    let (mut meter, readings, _) = rising(200_000_000);
    std::thread::sleep(Duration::from_millis(150));
    assert_eq!(readings.load(Ordering::SeqCst), 0);
    let window = meter.begin();
    std::thread::sleep(Duration::from_millis(400));
    let window = measured(meter.end(window));
    assert!((2..=8).contains(&window.polls), "{} polls", window.polls);
    let after = readings.load(Ordering::SeqCst);
    assert!(after >= window.polls + 2);
    std::thread::sleep(Duration::from_millis(150));
    assert_eq!(readings.load(Ordering::SeqCst), after);
    let owners = Arc::strong_count(&readings);
    drop(meter);
    assert!(
        Arc::strong_count(&readings) < owners,
        "the source outlived its meter"
    );
}

#[test]
fn a_meter_lives_through_a_vanished_counter_and_misused_windows() {
    let (mut meter, _, gone) = rising(RANGE_UJ);
    let first = meter.begin();
    let second = meter.begin();
    let Energy::Unavailable { reason } = meter.end(first) else {
        panic!("a window that was given up has a figure");
    };
    assert_eq!(reason, "another window was begun before this one ended");
    std::thread::sleep(Duration::from_millis(120));
    assert!(measured(meter.end(second)).total_joules().is_ok());

    let window = meter.begin();
    *gone.lock().unwrap() = true;
    std::thread::sleep(Duration::from_millis(120));
    let energy = measured(meter.end(window));
    assert!(energy.total_joules().is_err() && energy.domains[1].fault.is_none());
    let window = meter.begin();
    assert!(matches!(meter.end(window), Energy::Unavailable { .. }));
    *gone.lock().unwrap() = false;
    let window = meter.begin();
    std::thread::sleep(Duration::from_millis(120));
    assert!(measured(meter.end(window)).total_joules().is_ok());
}

#[test]
fn begin_and_end_take_next_to_no_time() {
    let (mut meter, _, _) = rising(RANGE_UJ);
    let started = std::time::Instant::now();
    for _ in 0..1000 {
        let window = meter.begin();
        let _ = meter.end(window);
    }
    let each = started.elapsed() / 1000;
    println!("begin and end: {each:?}");
    assert!(each < Duration::from_millis(5), "{each:?}");
}
