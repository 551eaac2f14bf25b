//! Every powercap tree that is known to have misled a tool.

use crate::tree::{AMD, ARM, CLIENT_RANGE, DRAM_RANGE, INTEL, SERVER_RANGE, Tree};
use bitbench::energy::survey::survey;
use bitbench::energy::sysfs::{CpuFacts, SysFs};
use bitbench::energy::{EnergySource, Opened, SOURCES, SourceInfo, open};
use bitbench::meter::Meter;
use bitbench_reports::record::{DomainKind, EnergySourceInfo, Provenance};
use std::time::Duration;

/// A tree, and what must be made of it.
struct Case {
    name: &'static str,
    cpu: CpuFacts,
    build: fn(&Tree),
    /// The domains, those that count with a `+`; or a piece of the reason why there are none.
    expected: Result<&'static [&'static str], &'static str>,
    /// Pieces of text that the caveats must have.
    caveats: &'static [&'static str],
}

fn client(t: &Tree) {
    t.folder("class/powercap/intel-rapl");
    t.zone("intel-rapl:0", "package-0", CLIENT_RANGE);
    t.zone("intel-rapl:0:0", "core", CLIENT_RANGE);
    t.zone("intel-rapl:0:1", "uncore", CLIENT_RANGE);
    t.zone("intel-rapl:1", "psys", CLIENT_RANGE);
}

fn with_energy(t: &Tree, text: &[u8]) {
    client(t);
    t.write("intel-rapl:0", "energy_uj", text);
}

const CLIENT: &[&str] = &["+package-0", "package-0/core", "package-0/uncore", "psys"];
const PACKAGE_ONLY: &str = "package only: DRAM is not metered on this CPU";

const CASES: &[Case] = &[
    Case {
        name: "client",
        cpu: INTEL,
        build: client,
        expected: Ok(CLIENT),
        caveats: &[PACKAGE_ONLY, "the whole machine", "SIMULATED"],
    },
    Case {
        name: "client with an mmio twin",
        cpu: INTEL,
        build: |t| {
            client(t);
            t.folder("class/powercap/intel-rapl-mmio");
            t.zone("intel-rapl-mmio:0", "package-0", CLIENT_RANGE);
        },
        expected: Ok(CLIENT),
        caveats: &["ignored: intel-rapl-mmio:0 (same package-0 as intel-rapl:0)"],
    },
    Case {
        name: "a twin whose original is broken takes its place",
        cpu: INTEL,
        build: |t| {
            with_energy(t, b"");
            t.zone("intel-rapl-mmio:0", "package-0", CLIENT_RANGE);
        },
        expected: Ok(&["package-0/core", "package-0/uncore", "psys", "+package-0"]),
        caveats: &["intel-rapl:0 (", "the counter file is empty"],
    },
    Case {
        name: "only mmio",
        cpu: INTEL,
        build: |t| t.zone("intel-rapl-mmio:0", "package-0", CLIENT_RANGE),
        expected: Ok(&["+package-0"]),
        caveats: &[],
    },
    Case {
        name: "nested folders only",
        cpu: INTEL,
        build: |t| {
            t.zone("intel-rapl/intel-rapl:0", "package-0", CLIENT_RANGE);
            t.zone("intel-rapl/intel-rapl:0/intel-rapl:0:0", "dram", DRAM_RANGE);
        },
        expected: Ok(&["+package-0", "+package-0/dram"]),
        caveats: &[],
    },
    Case {
        name: "children inside their parent, parents flat",
        cpu: INTEL,
        build: |t| {
            t.zone("intel-rapl:0", "package-0", CLIENT_RANGE);
            t.zone("intel-rapl:0/intel-rapl:0:0", "dram", DRAM_RANGE);
        },
        expected: Ok(&["+package-0", "+package-0/dram"]),
        caveats: &[],
    },
    Case {
        name: "flat and nested show the same zones once",
        cpu: INTEL,
        build: |t| {
            for path in ["intel-rapl:0", "intel-rapl/intel-rapl:0"] {
                t.zone(path, "package-0", CLIENT_RANGE);
            }
            for path in ["intel-rapl:0:0", "intel-rapl/intel-rapl:0/intel-rapl:0:0"] {
                t.zone(path, "dram", DRAM_RANGE);
            }
        },
        expected: Ok(&["+package-0", "+package-0/dram"]),
        caveats: &[],
    },
    Case {
        name: "two sockets with psys between them",
        cpu: INTEL,
        build: |t| {
            t.zone("intel-rapl:0", "package-0", SERVER_RANGE);
            t.zone("intel-rapl:0:0", "dram", DRAM_RANGE);
            t.zone("intel-rapl:1", "psys", "4294967295000000\n");
            t.zone("intel-rapl:2", "package-1", SERVER_RANGE);
            t.zone("intel-rapl:2:0", "dram", DRAM_RANGE);
        },
        expected: Ok(&[
            "+package-0",
            "+package-0/dram",
            "psys",
            "+package-1",
            "+package-1/dram",
        ]),
        caveats: &[],
    },
    Case {
        name: "dies with counters of their own (Cascade Lake-AP)",
        cpu: INTEL,
        build: |t| {
            t.zone("intel-rapl:0", "package-0-die-0", SERVER_RANGE);
            t.zone("intel-rapl:1", "package-0-die-1", SERVER_RANGE);
        },
        expected: Ok(&["+package-0-die-0", "+package-0-die-1"]),
        caveats: &[],
    },
    Case {
        name: "dies that mirror their package (AMD)",
        cpu: AMD,
        build: |t| {
            t.zone("intel-rapl:0", "package-0-die-1", SERVER_RANGE);
            t.zone("intel-rapl:0:0", "core", SERVER_RANGE);
            t.zone("intel-rapl:1", "package-0-die-0", SERVER_RANGE);
            t.zone("intel-rapl:1:0", "core", SERVER_RANGE);
            t.zone("intel-rapl:2", "package-1-die-0", SERVER_RANGE);
        },
        expected: Ok(&[
            "+package-0-die-0",
            "package-0-die-0/core",
            "+package-1-die-0",
        ]),
        caveats: &["intel-rapl:0 package-0-die-1 (mirrors the counter of package 0)"],
    },
    Case {
        name: "one core that passes for all (AMD)",
        cpu: AMD,
        build: |t| {
            t.zone("intel-rapl:0", "package-0", SERVER_RANGE);
            t.zone("intel-rapl:0:0", "core", SERVER_RANGE);
        },
        expected: Ok(&["+package-0", "package-0/core"]),
        caveats: &["one core only", PACKAGE_ONLY],
    },
    Case {
        name: "more than ten zones",
        cpu: INTEL,
        build: |t| {
            for n in 0..12 {
                t.zone(
                    &format!("intel-rapl:{n:x}"),
                    &format!("package-{n}"),
                    SERVER_RANGE,
                );
            }
            t.zone("intel-rapl:a:0", "dram", DRAM_RANGE);
        },
        expected: Ok(&[
            "+package-0",
            "+package-1",
            "+package-2",
            "+package-3",
            "+package-4",
            "+package-5",
            "+package-6",
            "+package-7",
            "+package-8",
            "+package-9",
            "+package-10",
            "+package-10/dram",
            "+package-11",
        ]),
        caveats: &[],
    },
    Case {
        name: "zones that have no energy counter",
        cpu: INTEL,
        build: |t| {
            client(t);
            t.write("arm-scmi:0", "name", "soc\n");
            t.write("arm-scmi:0", "power_uw", "5000000\n");
            t.dangling("dtpm:0");
        },
        expected: Ok(CLIENT),
        caveats: &["arm-scmi:0 (not a RAPL zone)", "dtpm:0 (not a RAPL zone)"],
    },
    Case {
        name: "arm-scmi alone",
        cpu: ARM,
        build: |t| t.write("arm-scmi:0", "power_uw", "5000000\n"),
        expected: Err("no RAPL counters (no "),
        caveats: &[],
    },
    Case {
        name: "range unreadable",
        cpu: INTEL,
        build: |t| {
            client(t);
            t.remove("intel-rapl:0", "max_energy_range_uj");
            t.write("intel-rapl:0:0", "max_energy_range_uj", "abc");
            t.write("intel-rapl:0:1", "max_energy_range_uj", "0\n");
        },
        expected: Ok(CLIENT),
        caveats: &[
            "package-0: range unknown",
            "core: range unknown",
            "uncore: range unknown",
        ],
    },
    Case {
        name: "padded counters",
        cpu: INTEL,
        build: |t| {
            with_energy(t, b"  12\n\0\0");
            t.write("intel-rapl:0", "name", "package-0\0\n");
        },
        expected: Ok(CLIENT),
        caveats: &[],
    },
    Case {
        name: "empty counter",
        cpu: INTEL,
        build: |t| with_energy(t, b""),
        expected: Err("cannot be used: the counter file is empty"),
        caveats: &[],
    },
    Case {
        name: "counter of letters",
        cpu: INTEL,
        build: |t| with_energy(t, b"abc\n"),
        expected: Err("holds \"abc\", not a whole number"),
        caveats: &[],
    },
    Case {
        name: "negative counter",
        cpu: INTEL,
        build: |t| with_energy(t, b"-1\n"),
        expected: Err("holds \"-1\", not a whole number"),
        caveats: &[],
    },
    Case {
        name: "counter of twenty digits",
        cpu: INTEL,
        build: |t| with_energy(t, b"99999999999999999999\n"),
        expected: Err("more than 64 bits"),
        caveats: &[],
    },
    Case {
        name: "endless counter",
        cpu: INTEL,
        build: |t| with_energy(t, &[b'1'; 100_000]),
        expected: Err("more than 64 bits"),
        caveats: &[],
    },
    Case {
        name: "a folder for a counter",
        cpu: INTEL,
        build: |t| {
            t.write("intel-rapl:0", "name", "package-0\n");
            t.folder("class/powercap/intel-rapl:0/energy_uj");
        },
        expected: Err("read error"),
        caveats: &[],
    },
    Case {
        name: "a broken second package is not left out of the sum",
        cpu: INTEL,
        build: |t| {
            client(t);
            t.zone("intel-rapl:2", "package-1", CLIENT_RANGE);
            t.write("intel-rapl:2", "energy_uj", "\n");
        },
        expected: Err("intel-rapl:2/energy_uj cannot be used"),
        caveats: &[],
    },
    Case {
        name: "a broken dram counter is left out, and said",
        cpu: INTEL,
        build: |t| {
            client(t);
            t.zone("intel-rapl:0:2", "dram", CLIENT_RANGE);
            t.write("intel-rapl:0:2", "energy_uj", "\n");
        },
        expected: Ok(CLIENT),
        caveats: &[PACKAGE_ONLY, "intel-rapl:0:2 package-0/dram ("],
    },
    Case {
        name: "masked by Docker",
        cpu: INTEL,
        build: |t| {
            for zone in [
                "intel-rapl",
                "intel-rapl:0",
                "intel-rapl:0:0",
                "intel-rapl-mmio:0",
            ] {
                t.dangling(zone);
            }
        },
        expected: Err("zone intel-rapl:0 is listed but "),
        caveats: &[],
    },
    Case {
        name: "masked but for its name",
        cpu: INTEL,
        build: |t| {
            client(t);
            t.remove("intel-rapl:0", "energy_uj");
        },
        expected: Err("container runtimes mask"),
        caveats: &[],
    },
    Case {
        name: "module not loaded",
        cpu: INTEL,
        build: |t| t.folder("class/powercap"),
        expected: Err("module not loaded: intel_rapl_msr"),
        caveats: &[],
    },
    Case {
        name: "control type only, module not loaded",
        cpu: AMD,
        build: |t| t.folder("class/powercap/intel-rapl"),
        expected: Err("no package zone in "),
        caveats: &[],
    },
    Case {
        name: "control type only, module loaded",
        cpu: AMD,
        build: |t| {
            t.folder("class/powercap/intel-rapl");
            t.folder("module/intel_rapl_msr");
        },
        expected: Err("no package zone in "),
        caveats: &[],
    },
    Case {
        name: "psys alone is no package",
        cpu: INTEL,
        build: |t| t.zone("intel-rapl:0", "psys", CLIENT_RANGE),
        expected: Err("no package zone in "),
        caveats: &[],
    },
    Case {
        name: "no powercap in a virtual machine",
        cpu: CpuFacts {
            hypervisor: true,
            ..INTEL
        },
        build: |_| {},
        expected: Err("this looks like a virtual machine"),
        caveats: &[],
    },
    Case {
        name: "no powercap at all",
        cpu: ARM,
        build: |_| {},
        expected: Err("no RAPL counters (no "),
        caveats: &[],
    },
    Case {
        name: "SGX",
        cpu: CpuFacts { sgx: true, ..INTEL },
        build: client,
        expected: Ok(CLIENT),
        caveats: &["SGX is enabled"],
    },
    Case {
        name: "folders that lead in a circle",
        cpu: INTEL,
        build: |t| {
            client(t);
            std::os::unix::fs::symlink("..", t.zone_path("intel-rapl:0/subsystem")).unwrap();
            std::os::unix::fs::symlink(".", t.zone_path("intel-rapl:0/intel-rapl:0:7")).unwrap();
        },
        expected: Ok(&[
            "+package-0",
            "package-0/core",
            "package-0/uncore",
            "package-0/package-0",
            "psys",
        ]),
        caveats: &[],
    },
];

fn opened(sys: &SysFs) -> Result<Box<dyn EnergySource>, String> {
    match open(sys) {
        Opened::Source(source) => Ok(source),
        Opened::Unavailable(reasons) => Err(format!("{reasons:?} {}", reasons[0].1)),
    }
}

fn described(info: &SourceInfo) -> Vec<String> {
    let mark = |counted| if counted { "+" } else { "" };
    let domains = info.domains.iter().map(|d| &d.info);
    domains
        .map(|d| format!("{}{}", mark(d.counted), d.name))
        .collect()
}

#[test]
fn every_tree_gives_the_domains_it_has_or_the_reason() {
    for case in CASES {
        let tree = Tree::new();
        (case.build)(&tree);
        let name = case.name;
        match (opened(&tree.sys(case.cpu)), case.expected) {
            (Ok(source), Ok(expected)) => {
                let info = source.info();
                assert_eq!(described(info), expected, "{name}");
                assert_eq!(info.provenance, Provenance::Simulated, "{name}");
                let caveats = info.caveats.join("\n");
                for caveat in case.caveats {
                    assert!(
                        caveats.contains(caveat),
                        "{name}: no {caveat:?} in\n{caveats}"
                    );
                }
                let has_dram = info.domains.iter().any(|d| d.info.kind == DomainKind::Dram);
                assert_ne!(caveats.contains(PACKAGE_ONLY), has_dram, "{name}");
            }
            (Err(reason), Err(expected)) => {
                assert!(
                    reason.contains(expected),
                    "{name}: no {expected:?} in {reason}"
                );
            }
            (Ok(source), Err(_)) => panic!("{name}: opened {:?}", described(source.info())),
            (Err(reason), Ok(_)) => panic!("{name}: {reason}"),
        }
    }
}

#[test]
fn every_source_is_named_once_and_absent_from_an_empty_root() {
    let tree = Tree::new();
    for (index, kind) in SOURCES.iter().enumerate() {
        assert!(SOURCES[..index].iter().all(|other| other.name != kind.name));
        assert!((kind.open)(&tree.sys(ARM), "").is_err(), "{}", kind.name);
    }
    let surveyed = survey(&tree.sys(ARM));
    assert_eq!(surveyed.len(), SOURCES.len());
    assert!(
        surveyed
            .iter()
            .all(|s| s.status() == "unavailable" && s.reason().is_some())
    );
}

#[test]
fn a_survey_says_which_source_a_run_would_read() {
    let tree = Tree::new();
    client(&tree);
    let surveyed = survey(&tree.sys(INTEL));
    assert_eq!(surveyed.iter().filter(|s| s.chosen).count(), 1);
    let powercap = surveyed.iter().find(|s| s.name == "powercap").unwrap();
    assert_eq!((powercap.status(), powercap.reason()), ("chosen", None));
}

#[test]
fn readings_stand_in_the_order_of_the_domains() {
    let tree = Tree::new();
    client(&tree);
    for (value, zone) in [
        "intel-rapl:0",
        "intel-rapl:0:0",
        "intel-rapl:0:1",
        "intel-rapl:1",
    ]
    .iter()
    .enumerate()
    {
        tree.write(zone, "energy_uj", format!("{value}\n"));
    }
    let mut source = opened(&tree.sys(INTEL)).unwrap();
    let counters = source.snapshot().values;
    assert_eq!(counters, [Ok(0), Ok(1), Ok(2), Ok(3)]);
}

#[test]
fn one_core_of_amd_is_called_so() {
    let tree = Tree::new();
    client(&tree);
    let kind_of = |cpu| opened(&tree.sys(cpu)).unwrap().info().domains[1].info.kind;
    assert_eq!(kind_of(AMD), DomainKind::OneCore);
    assert_eq!(kind_of(INTEL), DomainKind::Cores);
}

#[test]
fn a_meter_without_a_source_says_why_in_every_window() {
    let tree = Tree::new();
    let mut meter = Meter::open(&tree.sys(CpuFacts {
        hypervisor: true,
        ..INTEL
    }));
    let EnergySourceInfo::Unavailable { reason, remedy } = meter.info() else {
        panic!("{:?}", meter.info());
    };
    assert!(
        reason.starts_with("powercap: no RAPL counters (no "),
        "{reason}"
    );
    assert_eq!(
        remedy.as_deref(),
        Some("run on the bare machine: a guest cannot meter its host")
    );
    let window = meter.begin();
    let energy = meter.end(window);
    assert_eq!(
        energy,
        bitbench_reports::record::Energy::Unavailable { reason }
    );
    assert_eq!(meter.shortest_window(), None);
}

#[test]
fn sgx_asks_for_longer_windows() {
    let tree = Tree::new();
    client(&tree);
    let shortest = |cpu| Meter::open(&tree.sys(cpu)).shortest_window();
    assert_eq!(shortest(INTEL), Some(Duration::from_millis(100)));
    assert_eq!(
        shortest(CpuFacts { sgx: true, ..INTEL }),
        Some(Duration::from_secs(10))
    );
}
