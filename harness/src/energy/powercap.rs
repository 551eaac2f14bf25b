//! RAPL counters through the kernel's powercap files: `/sys/class/powercap/intel-rapl:0/energy_uj` and its like.
//!
//! [`zones`] lists what is there; this file decides what is read and what counts. The rules, each with its reason, are
//! beside the code; those that most tools got wrong at some time:
//!
//! - `psys` contains `package-N` contains `core` and `uncore`; `dram` is a child folder but no part of its package.
//! - `intel-rapl-mmio` shows packages that `intel-rapl` already has (same MSRs, other door).
//! - On AMD, `core` is one core: the driver maps PP0 to the per-core MSR 0xC001029A (`intel_rapl_msr.c`).
//! - `enabled` tells whether a power limit is enforced, not whether the counter works; it is not read.

mod zones;

use super::reading::{ReadFault, Snapshot, parse_counter};
use super::sysfs::{CounterFile, FILE_BYTES, SysFs, Vendor};
use super::tick::Tick;
use super::unavailable::Unavailable;
use super::{Domain, EnergySource, Reads, SourceInfo, SourceKind, rapl};
use bitbench_reports::record::{DomainInfo, DomainKind};
use zones::{Zone, ZoneName};

/// The control type of the MSR driver; the TPMI driver of newer Xeons takes the same name.
const RAPL: &str = "intel-rapl";
/// The same packages through memory-mapped registers (client parts, for the thermal daemon).
const RAPL_MMIO: &str = "intel-rapl-mmio";

pub(super) static KIND: SourceKind = SourceKind {
    name: "powercap",
    about: "RAPL counters of the CPU, through the files of the kernel",
    auto: true,
    argument: None,
    open: |sys, _| open(sys, KIND.name, rapl::counts),
};

/// The platform has a name of its own: it covers another part of each machine, and on some it shows nonsense.
pub(super) static PSYS: SourceKind = SourceKind {
    name: "psys",
    about: "the platform as its firmware meters it, through the same files; differs from machine to machine",
    auto: false,
    argument: None,
    open: |sys, _| open(sys, PSYS.name, |kind| kind == DomainKind::Platform),
};

/// Open counters, in the order of the domains.
struct Powercap {
    info: SourceInfo,
    counters: Vec<Box<dyn CounterFile>>,
}

impl EnergySource for Powercap {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn snapshot(&mut self) -> Snapshot {
        Snapshot::take(|| self.counters.iter().map(|c| read(c.as_ref())).collect())
    }
}

/// Reads one counter.
fn read(counter: &dyn CounterFile) -> Result<u64, ReadFault> {
    let mut buffer = [0; FILE_BYTES];
    let length = counter.read_start(&mut buffer)?;
    parse_counter(&buffer[..length])
}

/// A zone that is going to be read.
struct Chosen {
    zone: Zone,
    name: ZoneName,
    counter: Box<dyn CounterFile>,
}

/// Opens all zones; `counts` says which are part of the total.
fn open(
    sys: &SysFs,
    name: &'static str,
    counts: fn(DomainKind) -> bool,
) -> Result<Box<dyn EnergySource>, Unavailable> {
    let listed = zones::list(sys)?;
    let mut ignored = Vec::new();
    let chosen = choose(sys, listed, &mut ignored)?;
    let packages = chosen.iter().filter(|c| c.name.is_package()).count();
    if packages == 0 {
        return Err(nothing(sys));
    }

    let mut info = SourceInfo {
        name,
        provenance: rapl::provenance(sys),
        domains: Vec::new(),
        caveats: Vec::new(),
    };
    let mut counters = Vec::new();
    for Chosen {
        zone,
        name,
        counter,
    } in chosen
    {
        let mut domain = domain(sys, &zone, &name, packages);
        domain.info.counted = counts(domain.info.kind);
        info.domains.push(domain);
        counters.push(counter);
    }
    if !info.domains.iter().any(|d| d.info.counted) {
        let folder = sys.path("class/powercap");
        let missing = format!("no {} zone in {}", info.name, folder.display());
        return Err(Unavailable::NoSensor { missing });
    }
    info.caveats = caveats(sys, &info, &ignored);
    Ok(Box::new(Powercap { info, counters }))
}

/// Takes one zone for each name, and says of every other why not.
fn choose(
    sys: &SysFs,
    listed: Vec<Zone>,
    ignored: &mut Vec<String>,
) -> Result<Vec<Chosen>, Unavailable> {
    let mut chosen: Vec<Chosen> = Vec::new();
    let mut failed: Vec<(Zone, ZoneName, Unavailable)> = Vec::new();
    // The list has all of `intel-rapl` before `intel-rapl-mmio`: a twin finds its original here, or the original's failure.
    for zone in listed {
        if zone.control_type != RAPL && zone.control_type != RAPL_MMIO {
            ignored.push(format!("{} (not a RAPL zone)", zone.id));
            continue;
        }
        let name = match &zone.name {
            Ok(name) => ZoneName::parse(name, zone.parent_name.as_deref()),
            Err(_) => ZoneName::unknown(&zone.id),
        };
        if let Some(taken) = chosen.iter().find(|c| c.name.text == name.text) {
            ignored.push(format!(
                "{} (same {} as {})",
                zone.id, name.text, taken.zone.id
            ));
            continue;
        }
        match open_counter(sys, &zone) {
            Ok(counter) => chosen.push(Chosen {
                zone,
                name,
                counter,
            }),
            Err(reason) => failed.push((zone, name, reason)),
        }
    }

    for (zone, name, reason) in failed {
        if chosen.iter().any(|c| c.name.text == name.text) {
            ignored.push(format!("{} ({reason})", zone.id));
            continue;
        }
        // A sum over the packages that happen to be readable would be a smaller one; memory that only lacks permission
        // would change the meaning of the total from one user to the next.
        let denied = matches!(reason, Unavailable::NoPermission { .. });
        let twin = zone.control_type == RAPL_MMIO && chosen.iter().any(|c| c.name.is_package());
        let needed = match name.kind(sys.cpu().vendor) {
            DomainKind::Package => true,
            DomainKind::Dram => denied,
            // Nothing is known of it, not even its name: it may be a package.
            DomainKind::Other => zone.name.is_err() && zone.parent.is_none() && !twin,
            _ => false,
        };
        if needed {
            return Err(reason);
        }
        ignored.push(format!("{} {} ({reason})", zone.id, name.text));
    }
    if sys.cpu().vendor == Vendor::Amd {
        drop_mirrors(&mut chosen, ignored);
    }
    Ok(chosen)
}

/// Opens the counter of a zone and reads it once.
fn open_counter(sys: &SysFs, zone: &Zone) -> Result<Box<dyn CounterFile>, Unavailable> {
    let path = zone.path.join("energy_uj");
    if let Err(fault) = &zone.name {
        return Err(explain(sys, zone, zone.path.join("name"), fault.clone()));
    }
    let open = || {
        let counter = sys.open(&path)?;
        read(counter.as_ref())?;
        Ok(counter)
    };
    open().map_err(|fault| explain(sys, zone, path.clone(), fault))
}

/// What a fault at opening time means.
fn explain(sys: &SysFs, zone: &Zone, path: std::path::PathBuf, fault: ReadFault) -> Unavailable {
    match fault {
        ReadFault::Denied => Unavailable::NoPermission {
            mode: sys.mode(&path),
            path,
        },
        // The kernel gives every RAPL zone its counter; who lists a zone without one has hidden it.
        ReadFault::Gone => Unavailable::Masked {
            zone: zone.id.clone(),
            path: zone.path.join("energy_uj"),
        },
        fault => Unavailable::Broken { path, fault },
    }
}

/// Keeps one die of each package: on AMD the dies of a package show the counter of the whole socket, and a sum would count it
/// once for each (the kernel's `rapl` PMU was corrected to package scope for that). On Intel each die has its own (Cascade
/// Lake-AP), and they are summed.
fn drop_mirrors(chosen: &mut Vec<Chosen>, ignored: &mut Vec<String>) {
    let dies = |c: &Chosen| c.name.package.and_then(|p| Some((p, c.name.die?)));
    let lowest = |package| {
        let of_package = chosen
            .iter()
            .filter_map(dies)
            .filter(|(p, _)| *p == package);
        of_package.map(|(_, die)| die).min()
    };
    let is_mirror = |c: &Chosen| {
        dies(c).filter(|(package, die)| lowest(*package).is_some_and(|low| *die > low))
    };
    let mirrors: Vec<_> = chosen.iter().map(is_mirror).collect();
    let mut mirror = mirrors.into_iter();
    chosen.retain(|c| match mirror.next().flatten() {
        Some((package, _)) => {
            ignored.push(format!(
                "{} {} (mirrors the counter of package {package})",
                c.zone.id, c.name.text
            ));
            false
        }
        None => true,
    });
}

/// Describes a zone that is read.
fn domain(sys: &SysFs, zone: &Zone, name: &ZoneName, packages: usize) -> Domain {
    let kind = name.kind(sys.cpu().vendor);
    let range = sys.open(&zone.path.join("max_energy_range_uj"));
    let range_uj = range.ok().and_then(|file| read(file.as_ref()).ok());
    // A range of 0 is no range.
    let range_uj = range_uj.filter(|range_uj| *range_uj > 0);
    let info = DomainInfo {
        name: name.text.clone(),
        kind,
        counted: false,
        range_uj,
        joules_per_tick: None,
        origin: zone.path.join("energy_uj").display().to_string(),
    };
    Domain {
        range: range_uj,
        ..rapl::domain(sys, packages, info, Reads::Counter(Tick::MICROJOULE))
    }
}

/// What a reader of the figures must know.
fn caveats(sys: &SysFs, info: &SourceInfo, ignored: &[String]) -> Vec<String> {
    let mut caveats = rapl::caveats(sys, info);
    for domain in info.domains.iter().filter(|d| d.info.range_uj.is_none()) {
        caveats.push(format!(
            "{}: range unknown (max_energy_range_uj): a window in which the counter wraps gives no figure",
            domain.info.name
        ));
    }
    if info
        .domains
        .iter()
        .any(|d| d.info.kind == DomainKind::OneCore)
    {
        caveats.push("core is one core only on AMD; not part of the total".to_owned());
    }
    if !ignored.is_empty() {
        caveats.push(format!("ignored: {}", ignored.join(", ")));
    }
    caveats
}

/// Why there is no package zone at all.
fn nothing(sys: &SysFs) -> Unavailable {
    let folder = sys.path("class/powercap");
    let missing = match sys.list(&folder) {
        Err(_) => format!("no {}", folder.display()),
        Ok(names) if !names.iter().any(|n| n.starts_with(RAPL)) => {
            format!("no {}/{RAPL}", folder.display())
        }
        Ok(_) => format!("no package zone in {}", folder.display()),
    };
    rapl::nothing(sys, missing, "intel_rapl_msr")
}
