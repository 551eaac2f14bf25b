//! RAPL counters through the kernel's `power` PMU: `perf_event_open` on one CPU of every package.
//!
//! The same registers as powercap, with three differences: the kernel extends them to 64 bits, so nothing wraps; the scope of
//! AMD's counter is right; and who may read is a matter of `perf_event_paranoid` and not of file modes.

pub mod event;
pub mod pmu;

use super::reading::{ReadFault, Snapshot};
use super::sysfs::{SysFs, Vendor};
use super::tick::Tick;
use super::unavailable::Unavailable;
use super::{Domain, EnergySource, Reads, SourceInfo, SourceKind, rapl};
use bitbench_reports::record::{DomainInfo, DomainKind};
use event::{EventCode, EventCounter, Refusal};
use pmu::Pmu;

pub(super) static KIND: SourceKind = SourceKind {
    name: "perf",
    about: "the same counters through the power PMU of perf",
    auto: true,
    argument: None,
    open,
};

/// The events, and what they are in the names of powercap.
const EVENTS: &[(&str, DomainKind, &str)] = &[
    ("energy-pkg", DomainKind::Package, ""),
    ("energy-ram", DomainKind::Dram, "/dram"),
    ("energy-cores", DomainKind::Cores, "/core"),
    ("energy-gpu", DomainKind::Uncore, "/uncore"),
    ("energy-psys", DomainKind::Platform, "/psys"),
];

/// Open events, in the order of the domains.
struct Perf {
    info: SourceInfo,
    counters: Vec<Box<dyn EventCounter>>,
}

impl EnergySource for Perf {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn snapshot(&mut self) -> Snapshot {
        Snapshot::take(|| {
            let counters = self.counters.iter_mut();
            counters
                .map(|counter| counter.read().map_err(ReadFault::from))
                .collect()
        })
    }
}

/// The place where an event is opened: a CPU, and the name of the package or die that it stands for.
struct Place {
    cpu: u32,
    name: String,
}

fn open(sys: &SysFs, _: &str) -> Result<Box<dyn EnergySource>, Unavailable> {
    let pmu = match Pmu::find(sys, "power") {
        Ok(pmu) => pmu,
        Err(fault) if fault.fault == ReadFault::Gone => {
            let folder = sys.path("bus/event_source/devices/power");
            let missing = format!("no {}", folder.display());
            return Err(rapl::nothing(sys, missing, "rapl"));
        }
        Err(fault) => return Err(fault.into()),
    };
    let places = places(sys, &pmu);
    let listed = pmu.events(sys);
    let mut info = SourceInfo {
        name: KIND.name,
        provenance: rapl::provenance(sys),
        domains: Vec::new(),
        caveats: Vec::new(),
    };
    let mut ignored = Vec::new();
    let mut counters = Vec::new();
    for (event, kind, suffix) in EVENTS {
        let is_package = *kind == DomainKind::Package;
        if !is_package && !listed.iter().any(|e| e == event) {
            continue;
        }
        // Kernels before 5.17 list them and count nothing (commit 0036fb00a756).
        if !is_package && sys.cpu().vendor == Vendor::Amd {
            ignored.push(format!("{event} (AMD counts packages only)"));
            continue;
        }
        let opened = open_event(sys, &pmu, event, &places);
        let (tick, opened) = match opened {
            Ok(opened) => opened,
            // Without its packages there is no total, and without its memory for some users only it would be another total.
            Err(reason) if is_package || (*kind == DomainKind::Dram && is_denied(&reason)) => {
                return Err(reason);
            }
            Err(reason) => {
                ignored.push(format!("{event} ({reason})"));
                continue;
            }
        };
        for (place, counter) in places.iter().zip(opened) {
            info.domains.push(domain(
                sys,
                &pmu,
                places.len(),
                place,
                (event, *kind, suffix),
                tick,
            ));
            counters.push(counter);
        }
    }
    info.caveats = rapl::caveats(sys, &info);
    if !ignored.is_empty() {
        info.caveats
            .push(format!("ignored: {}", ignored.join(", ")));
    }
    Ok(Box::new(Perf { info, counters }))
}

fn is_denied(reason: &Unavailable) -> bool {
    use Refusal::{Filtered, Paranoid};
    let Unavailable::PerfRefused { refusal, .. } = reason else {
        return false;
    };
    matches!(refusal, Paranoid { .. } | Filtered)
}

/// Opens one event on every package and reads it once: all of them, or none.
fn open_event(
    sys: &SysFs,
    pmu: &Pmu,
    event: &str,
    places: &[Place],
) -> Result<(Tick, Vec<Box<dyn EventCounter>>), Unavailable> {
    let tick = tick(sys, pmu, event)?;
    let code = pmu.event(sys, event)?;
    let mut counters = Vec::new();
    for place in places {
        counters.push(open_on(sys, &code, place.cpu)?);
    }
    Ok((tick, counters))
}

/// Opens an event on a CPU and reads it once.
///
/// # Errors
/// [`Unavailable::PerfRefused`], with what the error means.
pub fn open_on(
    sys: &SysFs,
    code: &EventCode,
    cpu: u32,
) -> Result<Box<dyn EventCounter>, Unavailable> {
    let open = || {
        let mut counter = sys.open_event(code, cpu)?;
        counter.read()?;
        Ok(counter)
    };
    open().map_err(|error| Unavailable::PerfRefused {
        event: code.name.clone(),
        cpu,
        refusal: Refusal::of(&error, sys.perf_event_paranoid()),
    })
}

/// What a count of an event is worth. The kernel gives 2^-32 joules for every part of every CPU.
fn tick(sys: &SysFs, pmu: &Pmu, event: &str) -> Result<Tick, Unavailable> {
    let file = |end| pmu.folder().join("events").join(format!("{event}.{end}"));
    let not = |end, text: Option<String>| Unavailable::Broken {
        path: file(end),
        fault: text.map_or(ReadFault::Gone, |text| ReadFault::NotANumber { text }),
    };
    let unit = pmu.unit(sys, event);
    if unit.as_deref() != Some("Joules") {
        return Err(not("unit", unit));
    }
    let scale = pmu.scale(sys, event);
    scale
        .and_then(Tick::of_power_of_two)
        .ok_or_else(|| not("scale", scale.map(|s| s.to_string())))
}

/// The CPUs of the mask, and the packages that they stand for.
fn places(sys: &SysFs, pmu: &Pmu) -> Vec<Place> {
    let cpus = pmu.cpus(sys);
    let package = |cpu: u32| topology(sys, cpu, "physical_package_id");
    let mut places = Vec::new();
    for (index, &cpu) in cpus.iter().enumerate() {
        let same = |other: &&u32| package(**other) == package(cpu);
        let name = match package(cpu) {
            // A machine whose topology is hidden: in the order of the mask.
            None => format!("package-{index}"),
            Some(package) if cpus.iter().filter(same).count() == 1 => format!("package-{package}"),
            Some(package) => match topology(sys, cpu, "die_id") {
                Some(die) => format!("package-{package}-die-{die}"),
                None => format!("package-{package}-cpu-{cpu}"),
            },
        };
        places.push(Place { cpu, name });
    }
    places
}

/// A number of the topology of a CPU, such as `physical_package_id`.
pub(super) fn topology(sys: &SysFs, cpu: u32, file: &str) -> Option<u32> {
    let path = sys.path(&format!("devices/system/cpu/cpu{cpu}/topology/{file}"));
    sys.line(&path).ok()?.parse().ok()
}

/// Describes an event that is read.
fn domain(
    sys: &SysFs,
    pmu: &Pmu,
    packages: usize,
    place: &Place,
    (event, kind, suffix): (&str, DomainKind, &str),
    tick: Tick,
) -> Domain {
    let name = match kind {
        DomainKind::Platform if packages == 1 => "psys".to_owned(),
        _ => format!("{}{suffix}", place.name),
    };
    let folder = pmu.folder().display();
    let info = DomainInfo {
        name,
        kind,
        counted: rapl::counts(kind),
        range_uj: None,
        joules_per_tick: Some(tick.joules()),
        origin: format!("{folder}/events/{event} on CPU {}", place.cpu),
    };
    Domain {
        // 64 bits: a wrap takes longer than the machine lasts, so a step back is never one.
        range: Some(u64::MAX),
        ..rapl::domain(sys, packages, info, Reads::Counter(tick))
    }
}
