//! What leaves the batteries: the whole machine with its screen, in coarse steps, and only while no mains power comes in.

use super::input::Input;
use super::reading::{ReadFault, Snapshot};
use super::sysfs::SysFs;
use super::tick::Tick;
use super::unavailable::Unavailable;
use super::{Domain, EnergySource, Reads, SourceInfo, SourceKind};
use bitbench_reports::record::{DomainInfo, DomainKind, Provenance};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(super) static KIND: SourceKind = SourceKind {
    name: "battery",
    about: "what leaves the batteries: the whole machine, in coarse steps, off mains power only",
    auto: false,
    argument: None,
    open,
};

/// Gauges show a new value every few seconds; a hundred of these are five minutes, in which a laptop takes a few per cent more
/// or less than one step of 10 mWh.
const UPDATE_PERIOD: Duration = Duration::from_secs(3);
const EVERY: Duration = Duration::from_secs(1);
const LONGEST_GAP: Duration = Duration::from_secs(30);
const MAX_WATTS: u32 = 500;
const DISCHARGING: &str = "Discharging";

/// A charge falls and counters rise: this less the charge, in uWh, far above every battery.
const FULL_UWH: u64 = 1 << 50;

struct Battery {
    info: SourceInfo,
    gauges: Vec<Gauge>,
    sys: SysFs,
}

/// One battery.
struct Gauge {
    status: PathBuf,
    input: Input,
    falls: bool,
}

impl EnergySource for Battery {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn snapshot(&mut self) -> Snapshot {
        let sys = &self.sys;
        Snapshot::take(|| self.gauges.iter().map(|g| g.read(sys)).collect())
    }
}

impl Gauge {
    fn read(&self, sys: &SysFs) -> Result<u64, ReadFault> {
        let status = sys.line(&self.status)?;
        if status != DISCHARGING {
            return Err(ReadFault::NotDischarging { status });
        }
        let value = self.input.read()?;
        Ok(if self.falls {
            FULL_UWH.saturating_sub(value)
        } else {
            value
        })
    }
}

fn open(sys: &SysFs, _: &str) -> Result<Box<dyn EnergySource>, Unavailable> {
    let class = sys.path("class/power_supply");
    let mut domains = Vec::new();
    let mut gauges = Vec::new();
    for name in sys.list(&class).unwrap_or_default() {
        let folder = class.join(&name);
        let line = |file| sys.line(&folder.join(file)).unwrap_or_default();
        // A mouse has a battery too: its scope is Device.
        if line("type") != "Battery" || line("scope") == "Device" {
            continue;
        }
        let status = line("status");
        if status != DISCHARGING {
            return Err(Unavailable::NotDischarging { name, status });
        }
        let (input, falls, file) = input(sys, &folder)?;
        gauges.push(Gauge {
            status: folder.join("status"),
            input,
            falls,
        });
        domains.push(domain(&name, falls, &folder.join(file)));
    }
    if gauges.is_empty() {
        let missing = format!("no battery of the machine in {}", class.display());
        return Err(Unavailable::NoSensor { missing });
    }
    let mut caveats = vec![
        "battery: the whole machine with its screen, and the losses of its converters; coarse"
            .to_owned(),
    ];
    let mut provenance = Provenance::MeasuredBattery;
    if sys.is_overridden() {
        provenance = Provenance::Simulated;
        caveats.insert(
            0,
            "SIMULATED gauges (--sysfs-root): the figures cannot be published".to_owned(),
        );
    }
    let info = SourceInfo {
        name: KIND.name,
        provenance,
        domains,
        caveats,
    };
    Ok(Box::new(Battery {
        info,
        gauges,
        sys: sys.clone(),
    }))
}

/// The best that a battery shows: its energy, else its power, else volts and amperes.
fn input(sys: &SysFs, folder: &Path) -> Result<(Input, bool, &'static str), Unavailable> {
    let file = |name: &'static str| Input::file(sys, &folder.join(name));
    match file("energy_now") {
        Ok(input) => return Ok((input, true, "energy_now")),
        Err(Unavailable::Broken {
            fault: ReadFault::Gone,
            ..
        }) => {}
        Err(reason) => return Err(reason),
    }
    if let Ok(input) = file("power_now") {
        return Ok((input, false, "power_now"));
    }
    let (volts, amperes) = (folder.join("voltage_now"), folder.join("current_now"));
    // Microvolts times microamperes are picowatts.
    let input = Input::product(sys, [&volts, &amperes], (1, 1_000_000))?;
    Ok((input, false, "current_now"))
}

fn domain(name: &str, falls: bool, path: &Path) -> Domain {
    let (every, longest_gap) = (EVERY, LONGEST_GAP);
    Domain {
        info: DomainInfo {
            name: name.to_owned(),
            kind: DomainKind::Battery,
            counted: true,
            range_uj: None,
            joules_per_tick: falls.then(|| Tick::MICROWATT_HOUR.joules()),
            origin: path.display().to_string(),
        },
        reads: match falls {
            true => Reads::Counter(Tick::MICROWATT_HOUR),
            false => Reads::Power { every, longest_gap },
        },
        range: None,
        update_period: UPDATE_PERIOD,
        max_watts: MAX_WATTS,
        min_window: UPDATE_PERIOD * 100,
    }
}
