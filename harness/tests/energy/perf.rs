//! The perf source: opened for real on the time-stamp counter or the clock of a CPU, and with scripted events for the rest.

use crate::permissions::skip;
use crate::tree::{AMD, CLIENT_RANGE, INTEL, Tree, as_nobody, reachable};
use bitbench::energy::perf::event::{EventCode, EventCounter, Refusal};
use bitbench::energy::perf::open_on;
use bitbench::energy::perf::pmu::Pmu;
use bitbench::energy::reading::ReadFault;
use bitbench::energy::sysfs::{CounterFile, Files, RealFiles, SysFs};
use bitbench::energy::unavailable::Unavailable;
use bitbench::energy::{EnergySource, SourceKind};
use bitbench::meter::Meter;
use bitbench_reports::record::{Energy, Provenance};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SCALE: &str = "2.3283064365386962890625e-10\n";
const PMU: &str = "bus/event_source/devices/power";

/// A `power` PMU of a given number with the given events (name, code), on CPUs of a mask.
fn power(tree: &Tree, number: u32, mask: &str, events: &[(&str, &str)]) {
    tree.file(&format!("{PMU}/type"), &format!("{number}\n"));
    tree.file(&format!("{PMU}/cpumask"), &format!("{mask}\n"));
    tree.file(&format!("{PMU}/format/event"), "config:0-7\n");
    for (event, code) in events {
        tree.file(&format!("{PMU}/events/{event}"), &format!("event={code}\n"));
        tree.file(&format!("{PMU}/events/{event}.unit"), "Joules\n");
        tree.file(&format!("{PMU}/events/{event}.scale"), SCALE);
    }
}

fn topology(tree: &Tree, cpu: u32, file: &str, value: u32) {
    let path = format!("devices/system/cpu/cpu{cpu}/topology/{file}");
    tree.file(&path, &format!("{value}\n"));
}

fn open(sys: &SysFs) -> Result<Box<dyn EnergySource>, Unavailable> {
    (SourceKind::find("perf").unwrap().open)(sys, "")
}

/// An event that can be opened on any machine: the time-stamp counter through the `msr` PMU, or the kernel's clock of a CPU.
fn real_event() -> EventCode {
    let sys = SysFs::machine();
    match Pmu::find(&sys, "msr") {
        Ok(msr) => msr.event(&sys, "tsc").unwrap(),
        Err(fault) => {
            println!("no msr PMU ({fault:?}): the software clock in its place");
            EventCode {
                name: "software/cpu-clock".to_owned(),
                pmu: 1,
                config: 0,
            }
        }
    }
}

/// The same, opened; or why this user may not.
fn real_counter() -> Result<Box<dyn EventCounter>, Unavailable> {
    open_on(&SysFs::machine(), &real_event(), 0)
}

#[test]
fn a_real_event_counts() {
    let mut counter = match real_counter() {
        Ok(counter) => counter,
        Err(reason) => return skip(&reason.to_string()),
    };
    let first = counter.read().unwrap();
    std::thread::sleep(Duration::from_millis(20));
    let second = counter.read().unwrap();
    // The slowest time-stamp counter and the software clock are far above 100 MHz.
    let counts = second.checked_sub(first).unwrap();
    println!("{}: {counts} counts within 20 ms", real_event().name);
    assert!(counts > 2_000_000, "{counts}");
}

#[test]
fn a_power_pmu_of_real_events_is_measured_as_it_counts() {
    // The whole path, with the number of another PMU in the files: 2^32 counts of a clock are a joule.
    let event = real_event();
    let tree = Tree::new();
    power(
        &tree,
        event.pmu,
        "0",
        &[("energy-pkg", &format!("{:#04x}", event.config))],
    );
    let source = match open(&tree.sys(INTEL)) {
        Ok(source) => source,
        Err(reason) => return skip(&reason.to_string()),
    };
    assert_eq!(source.info().provenance, Provenance::Simulated);
    let mut meter = Meter::new(source);
    let mut truth = real_counter().unwrap();
    let mut read = || truth.read().unwrap();
    let from = (read(), meter.begin(), read());
    std::thread::sleep(Duration::from_millis(300));
    let to = (read(), meter.end(from.1), read());
    let Energy::Measured(window) = to.1 else {
        panic!("{:?}", to.1);
    };
    let found = window.total_joules().unwrap();
    #[expect(clippy::cast_precision_loss, reason = "counts of less than a second")]
    let joules = |counts: u64| counts as f64 / 4_294_967_296.0;
    let (least, most) = (joules(to.0 - from.2), joules(to.2 - from.0));
    println!("{found:.6} J, between {least:.6} J and {most:.6} J");
    assert!((least - 1e-6..=most + 1e-6).contains(&found));
    let package = &window.domains[0];
    let ticks = package.end_ticks.unwrap() - package.start_ticks.unwrap();
    assert!((joules(ticks) - found).abs() < 1e-6);
}

#[test]
fn errors_of_the_kernel_are_told_apart_for_real() {
    let sys = SysFs::machine();
    if let Err(reason) = real_counter() {
        return skip(&reason.to_string());
    }
    let refused = |code: EventCode| match open_on(&sys, &code, 0) {
        Err(Unavailable::PerfRefused { refusal, .. }) => refusal,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("{code:?} was opened"),
    };
    // No event of either PMU has this code.
    let event = real_event();
    let config = 0xffff;
    let expected = match event.pmu {
        1 => Refusal::NoSuchEvent,
        _ => Refusal::Attributes,
    };
    assert_eq!(refused(EventCode { config, ..event }), expected);
    // No PMU has this number.
    let pmu = 0x7fff_fff0;
    assert_eq!(
        refused(EventCode {
            pmu,
            ..real_event()
        }),
        Refusal::NoSuchEvent
    );
}

#[test]
fn another_user_is_told_what_to_do_about_the_paranoid_level() {
    let level = SysFs::machine().perf_event_paranoid();
    if level.is_none_or(|level| level <= 0) {
        return skip(&format!(
            "perf_event_paranoid is {level:?}: everybody may count"
        ));
    }
    let event = real_event();
    let tree = Tree::new();
    power(
        &tree,
        event.pmu,
        "0",
        &[("energy-pkg", &format!("{:#04x}", event.config))],
    );
    reachable(tree.root());
    let output = match as_nobody(&["doctor", "--sysfs-root", tree.root().to_str().unwrap()]) {
        Ok(output) => output,
        Err(reason) => return skip(&reason),
    };
    let level = level.unwrap();
    for text in [
        &format!(
            "perf_event_open power/energy-pkg on CPU 0: EACCES: kernel.perf_event_paranoid is {level}; 0 or lower is needed"
        ),
        "sudo setcap cap_perfmon+ep ",
        "sudo sysctl kernel.perf_event_paranoid=0 ",
    ] {
        assert!(output.contains(text), "no {text:?} in\n{output}");
    }
}

/// Scripted events: which fail, with what, and which were opened.
#[derive(Default)]
struct Events {
    errors: BTreeMap<&'static str, i32>,
    opened: Arc<Mutex<Vec<(String, u32)>>>,
}

/// A counter that rises by 2 J at each reading.
struct Rising(u64);

impl EventCounter for Rising {
    fn read(&mut self) -> io::Result<u64> {
        self.0 += 2 << 32;
        Ok(self.0)
    }
}

impl Files for Events {
    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        RealFiles.list(folder)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn CounterFile>> {
        RealFiles.open(path)
    }

    fn mode(&self, path: &Path) -> Option<u32> {
        RealFiles.mode(path)
    }

    fn open_event(&self, event: &EventCode, cpu: u32) -> io::Result<Box<dyn EventCounter>> {
        match self.errors.get(event.name.as_str()) {
            Some(errno) => Err(io::Error::from_raw_os_error(*errno)),
            None => {
                let mut opened = self.opened.lock().unwrap();
                opened.push((format!("{}={:#x}", event.name, event.config), cpu));
                Ok(Box::new(Rising(1)))
            }
        }
    }
}

const ALL: &[(&str, &str)] = &[
    ("energy-pkg", "0x02"),
    ("energy-ram", "0x03"),
    ("energy-cores", "0x01"),
    ("energy-gpu", "0x04"),
    ("energy-psys", "0x05"),
];

fn described(source: &dyn EnergySource) -> Vec<String> {
    let domains = source.info().domains.iter().map(|d| &d.info);
    domains
        .map(|d| format!("{}{}", if d.counted { "+" } else { "" }, d.name))
        .collect()
}

#[test]
fn one_event_is_opened_on_one_cpu_of_each_package() {
    let tree = Tree::new();
    power(&tree, 9, "0,64", &ALL[..2]);
    for (cpu, package) in [(0, 0), (64, 1)] {
        topology(&tree, cpu, "physical_package_id", package);
    }
    let events = Events::default();
    let opened = Arc::clone(&events.opened);
    let mut source = open(&tree.sys(INTEL).with_files(Arc::new(events))).unwrap();
    assert_eq!(
        described(source.as_ref()),
        [
            "+package-0",
            "+package-1",
            "+package-0/dram",
            "+package-1/dram"
        ]
    );
    let expected = [
        ("power/energy-pkg=0x2", 0),
        ("power/energy-pkg=0x2", 64),
        ("power/energy-ram=0x3", 0),
        ("power/energy-ram=0x3", 64),
    ];
    let expected = expected.map(|(event, cpu)| (event.to_owned(), cpu));
    assert_eq!(*opened.lock().unwrap(), expected);
    // The second reading: the first was made at opening.
    assert_eq!(source.snapshot().values, vec![Ok((4 << 32) + 1); 4]);
    let perf = source.info().domains[0].info.clone();
    assert_eq!(perf.joules_per_tick, Some(2f64.powi(-32)));
    assert!(perf.origin.ends_with("events/energy-pkg on CPU 0"));
}

#[test]
fn dies_are_packages_of_their_own_names() {
    let tree = Tree::new();
    power(&tree, 9, "0,8", &ALL[..1]);
    for (cpu, die) in [(0, 0), (8, 1)] {
        topology(&tree, cpu, "physical_package_id", 0);
        topology(&tree, cpu, "die_id", die);
    }
    let source = open(&tree.sys(INTEL).with_files(Arc::new(Events::default()))).unwrap();
    assert_eq!(
        described(source.as_ref()),
        ["+package-0-die-0", "+package-0-die-1"]
    );
}

#[test]
fn names_are_those_of_powercap_and_parts_do_not_count() {
    let tree = Tree::new();
    power(&tree, 9, "0", ALL);
    topology(&tree, 0, "physical_package_id", 0);
    let open = |cpu| open(&tree.sys(cpu).with_files(Arc::new(Events::default()))).unwrap();
    assert_eq!(
        described(open(INTEL).as_ref()),
        [
            "+package-0",
            "+package-0/dram",
            "package-0/core",
            "package-0/uncore",
            "psys"
        ]
    );
    // Old kernels list events that AMD does not have.
    let amd = open(AMD);
    assert_eq!(described(amd.as_ref()), ["+package-0"]);
    let caveats = amd.info().caveats.join("\n");
    assert!(
        caveats.contains("energy-ram (AMD counts packages only)"),
        "{caveats}"
    );
    assert!(caveats.contains("DRAM is not metered"), "{caveats}");
}

#[test]
fn every_refusal_of_a_package_is_a_reason_and_of_a_part_a_note() {
    let tree = Tree::new();
    power(&tree, 9, "0", ALL);
    let texts = [
        (13, "EACCES"),
        (1, "EPERM"),
        (22, "EINVAL"),
        (2, "ENOENT"),
        (19, "ENODEV"),
    ];
    for (errno, text) in texts {
        let with = |event| {
            let errors = BTreeMap::from([(event, errno)]);
            let opened = Arc::default();
            open(
                &tree
                    .sys(INTEL)
                    .with_files(Arc::new(Events { errors, opened })),
            )
        };
        let reason = with("power/energy-pkg").err().unwrap();
        assert!(reason.to_string().contains(text), "{reason}");
        assert!(reason.remedy_for("bitbench").is_some(), "{reason}");
        let caveats = with("power/energy-cores")
            .ok()
            .unwrap()
            .info()
            .caveats
            .join("\n");
        assert!(
            caveats.contains("ignored: energy-cores (perf_event_open "),
            "{caveats}"
        );
        // Memory without permission would change what the total means from one user to the next.
        assert_eq!(with("power/energy-ram").is_err(), errno == 13 || errno == 1);
    }
}

#[test]
fn a_pmu_that_is_not_understood_is_not_read() {
    let broken = |build: &dyn Fn(&Tree)| {
        let tree = Tree::new();
        power(&tree, 9, "0", &ALL[..1]);
        build(&tree);
        match open(&tree.sys(INTEL).with_files(Arc::new(Events::default()))) {
            Err(Unavailable::Broken { path, fault }) => (
                path.file_name().unwrap().to_str().unwrap().to_owned(),
                fault,
            ),
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("opened"),
        }
    };
    let not = |text: &str| ReadFault::NotANumber {
        text: text.to_owned(),
    };
    let event = |file: &str, text: &str| {
        let path = format!("{PMU}/events/{file}");
        let text = text.to_owned();
        move |t: &Tree| t.file(&path, &text)
    };
    type Case<'a> = (&'a dyn Fn(&Tree), &'static str, ReadFault);
    let cases: [Case; 6] = [
        (&|t| t.file(&format!("{PMU}/type"), "x\n"), "type", not("x")),
        (
            &event("energy-pkg.unit", "Watts\n"),
            "energy-pkg.unit",
            not("Watts"),
        ),
        (
            &event("energy-pkg.scale", "1e-6\n"),
            "energy-pkg.scale",
            not("0.000001"),
        ),
        (
            &event("energy-pkg.scale", "\n"),
            "energy-pkg.scale",
            ReadFault::Gone,
        ),
        (
            &event("energy-pkg", "event=abc\n"),
            "energy-pkg",
            not("event=abc"),
        ),
        (
            &event("energy-pkg", "event=0x100\n"),
            "event",
            not("config:0-7"),
        ),
    ];
    for (build, file, fault) in cases {
        assert_eq!(broken(build), (file.to_owned(), fault));
    }
}

#[test]
fn powercap_comes_first_and_perf_where_it_may_not_be_read() {
    let tree = Tree::new();
    power(&tree, 9, "0", ALL);
    let sys = || tree.sys(INTEL).with_files(Arc::new(Events::default()));
    let chosen = |sys: &SysFs| {
        let surveyed = bitbench::energy::survey::survey(sys);
        surveyed.iter().find(|s| s.chosen).map(|s| s.name)
    };
    assert_eq!(chosen(&sys()), Some("perf"));
    tree.zone("intel-rapl:0", "package-0", CLIENT_RANGE);
    assert_eq!(chosen(&sys()), Some("powercap"));
}
