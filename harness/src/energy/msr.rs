//! RAPL registers read as they are, through `/dev/cpu/N/msr`. Only when named: powercap and perf are the same registers with
//! less rights. The device is opened for reading and never written.

use super::perf::topology;
use super::reading::{ReadFault, Snapshot};
use super::sysfs::{CounterFile, SysFs, Vendor};
use super::tick::Tick;
use super::unavailable::Unavailable;
use super::{Domain, EnergySource, Reads, SourceInfo, SourceKind, rapl};
use bitbench_reports::record::{DomainInfo, DomainKind};
use std::collections::BTreeMap;
use std::path::Path;

pub(super) static KIND: SourceKind = SourceKind {
    name: "msr",
    about: "the registers behind powercap and perf, read as root from /dev/cpu/N/msr",
    auto: false,
    argument: None,
    open,
};

/// Registers of a vendor: the one that holds the unit, and the counter of the package.
struct Registers {
    unit: u64,
    package: u64,
}

const INTEL: Registers = Registers {
    unit: 0x606,
    package: 0x611,
};
const AMD: Registers = Registers {
    unit: 0xC001_0299,
    package: 0xC001_029B,
};

/// The upper half is reserved on most parts, and not guaranteed to be zero.
const RANGE: u64 = 0xffff_ffff;

struct Msr {
    info: SourceInfo,
    devices: Vec<Box<dyn CounterFile>>,
    register: u64,
}

impl EnergySource for Msr {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn snapshot(&mut self) -> Snapshot {
        let register = self.register;
        let read =
            |device: &dyn CounterFile| register_of(device, register).map(|value| value & RANGE);
        Snapshot::take(|| self.devices.iter().map(|d| read(d.as_ref())).collect())
    }
}

/// Reads 8 bytes at the number of a register.
fn register_of(device: &dyn CounterFile, register: u64) -> Result<u64, ReadFault> {
    let mut bytes = [0; 8];
    match device.read_offset(&mut bytes, register)? {
        8 => Ok(u64::from_le_bytes(bytes)),
        _ => Err(ReadFault::Empty),
    }
}

fn open(sys: &SysFs, _: &str) -> Result<Box<dyn EnergySource>, Unavailable> {
    let registers = match sys.cpu().vendor {
        Vendor::Intel => INTEL,
        Vendor::Amd => AMD,
        Vendor::Other => {
            let missing = "no RAPL registers on this CPU".to_owned();
            return Err(Unavailable::NotPresent { missing });
        }
    };
    let folder = sys.device("cpu");
    let mut devices = Vec::new();
    let mut domains = Vec::new();
    // The first CPU of each package.
    let mut packages: BTreeMap<u32, u32> = BTreeMap::new();
    for cpu in sys.list(&folder).unwrap_or_default() {
        if let Ok(cpu) = cpu.parse() {
            let package = topology(sys, cpu, "physical_package_id").unwrap_or(0);
            let first = packages.entry(package).or_insert(cpu);
            *first = cpu.min(*first);
        }
    }
    if packages.is_empty() {
        let missing = format!("no {}/N/msr", folder.display());
        return Err(rapl::nothing(sys, missing, "msr"));
    }
    for (package, cpu) in &packages {
        let path = folder.join(cpu.to_string()).join("msr");
        let (device, tick) = open_device(sys, &path, &registers).map_err(|fault| match fault {
            ReadFault::Denied => Unavailable::MsrDenied { path: path.clone() },
            ReadFault::Gone => rapl::nothing(sys, format!("no {}", path.display()), "msr"),
            fault => Unavailable::Broken {
                path: path.clone(),
                fault,
            },
        })?;
        devices.push(device);
        let range_uj = tick.microjoules(u128::from(RANGE));
        let info = DomainInfo {
            name: format!("package-{package}"),
            kind: DomainKind::Package,
            counted: true,
            range_uj: u64::try_from(range_uj).ok(),
            joules_per_tick: Some(tick.joules()),
            origin: format!("{} register {:#x}", path.display(), registers.package),
        };
        domains.push(Domain {
            range: Some(RANGE),
            ..rapl::domain(sys, packages.len(), info, Reads::Counter(tick))
        });
    }
    let mut info = SourceInfo {
        name: KIND.name,
        provenance: rapl::provenance(sys),
        domains,
        caveats: Vec::new(),
    };
    info.caveats = rapl::caveats(sys, &info);
    info.caveats.push(
        "registers of packages only: the unit of the memory's register differs from model to model"
            .to_owned(),
    );
    let register = registers.package;
    Ok(Box::new(Msr {
        info,
        devices,
        register,
    }))
}

/// Opens the device of a CPU, and reads the unit of its counters and one of them.
fn open_device(
    sys: &SysFs,
    path: &Path,
    registers: &Registers,
) -> Result<(Box<dyn CounterFile>, Tick), ReadFault> {
    let device = sys.open(path)?;
    let unit = register_of(device.as_ref(), registers.unit)?;
    register_of(device.as_ref(), registers.package)?;
    let exponent = u32::try_from((unit >> 8) & 0x1f).unwrap_or(0);
    let tick = Tick::of_joule_shifted(exponent).ok_or(ReadFault::Empty)?;
    Ok((device, tick))
}
