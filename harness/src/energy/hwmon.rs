//! Power sensors of boards that are known, through hwmon. An unknown sensor may be a fan, a GPU or a part that another one
//! contains: it is never read.

use super::input::Input;
use super::reading::Snapshot;
use super::sysfs::SysFs;
use super::tick::Tick;
use super::unavailable::Unavailable;
use super::{Domain, EnergySource, Reads, SourceInfo, SourceKind};
use bitbench_reports::record::{DomainInfo, DomainKind, Provenance};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(super) static KIND: SourceKind = SourceKind {
    name: "hwmon",
    about: "power sensors of known boards: Jetson, Ampere Altra, NVIDIA Grace; amd_energy",
    auto: true,
    argument: None,
    open,
};

/// A chip that is known, by the file `name` of its folder, which does not change from boot to boot as `hwmonN` does.
struct Chip {
    name: &'static str,
    /// How its sensors are shown.
    form: Form,
    /// Labels that are known, by their beginning, with what they cover and whether they are part of the total.
    labels: &'static [(&'static str, DomainKind, bool)],
}

/// The files of a sensor; `N` is its number.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `energyN_input` in uJ, since the driver was loaded.
    Energy,
    /// `powerN_input` in uW.
    Power,
    /// `inN_input` in mV and `currN_input` in mA.
    VoltsAmperes,
    /// `powerN_average` in uW; the label is the file `device/powerN_oem_info`.
    AcpiPower,
}

const CHIPS: &[Chip] = &[
    // drivers/hwmon/smpro-hwmon.c
    Chip {
        name: "smpro_hwmon",
        form: Form::Power,
        labels: &[
            ("CORE VRD", DomainKind::Rail, true),
            ("SoC", DomainKind::Rail, true),
            ("DIMM VRD", DomainKind::Dram, true),
            ("RCA VRD", DomainKind::Rail, true),
        ],
    },
    // VDD_IN feeds the others.
    Chip {
        name: "ina3221",
        form: Form::VoltsAmperes,
        labels: &[
            ("VDD_IN", DomainKind::Board, true),
            ("VDD_CPU_GPU_CV", DomainKind::Rail, false),
            ("VDD_SOC", DomainKind::Rail, false),
        ],
    },
    // The socket contains CPU and SysIO; the module contains the socket.
    Chip {
        name: "power_meter",
        form: Form::AcpiPower,
        labels: &[
            ("Grace Power Socket", DomainKind::Package, true),
            ("CPU Power Socket", DomainKind::Cores, false),
            ("SysIO Power Socket", DomainKind::Uncore, false),
            ("Module Power Socket", DomainKind::Board, false),
        ],
    },
    // drivers/hwmon/amd_energy.c, out of the kernel since 5.13. Its cores are part of the sockets.
    Chip {
        name: "amd_energy",
        form: Form::Energy,
        labels: &[("Esocket", DomainKind::Package, true)],
    },
];

/// Most sensors of one chip; amd_energy has one for each core.
const SENSORS: u32 = 512;
/// Ten readings a second; the sensors themselves are updated every 0.1 to 1 s.
const EVERY: Duration = Duration::from_millis(100);
const LONGEST_GAP: Duration = Duration::from_secs(2);
/// A hundred of these are a minute, the least for a power that is sampled.
const UPDATE_PERIOD: Duration = Duration::from_millis(600);
const MAX_WATTS: u32 = 1000;

/// Open sensors, in the order of the domains.
struct Hwmon {
    info: SourceInfo,
    inputs: Vec<Input>,
}

impl EnergySource for Hwmon {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn snapshot(&mut self) -> Snapshot {
        Snapshot::take(|| self.inputs.iter().map(Input::read).collect())
    }
}

fn open(sys: &SysFs, _: &str) -> Result<Box<dyn EnergySource>, Unavailable> {
    let class = sys.path("class/hwmon");
    let mut info = SourceInfo {
        name: KIND.name,
        provenance: Provenance::MeasuredSampled,
        domains: Vec::new(),
        caveats: Vec::new(),
    };
    let mut inputs = Vec::new();
    let mut unknown = Vec::new();
    for folder in sys.list(&class).unwrap_or_default() {
        let path = class.join(&folder);
        let Ok(name) = sys.line(&path.join("name")) else {
            continue;
        };
        match CHIPS.iter().find(|chip| chip.name == name) {
            Some(chip) => sensors(sys, chip, &path, &mut info, &mut inputs)?,
            None => unknown.push(name),
        }
    }
    if !info.domains.iter().any(|d| d.info.counted) {
        let missing = format!("no known power sensor in {}", class.display());
        return Err(Unavailable::NoSensor { missing });
    }
    let is_counter = |d: &Domain| matches!(d.reads, Reads::Counter(_));
    if sys.is_overridden() {
        info.provenance = Provenance::Simulated;
        info.caveats
            .push("SIMULATED sensors (--sysfs-root): the figures cannot be published".to_owned());
    } else if info.domains.iter().all(is_counter) {
        info.provenance = Provenance::MeasuredCounter;
    }
    if !info.domains.iter().all(is_counter) {
        info.caveats.push(
            "power sampled ten times a second and integrated: bursts between two readings are missed".to_owned(),
        );
    }
    if !unknown.is_empty() {
        unknown.dedup();
        info.caveats
            .push(format!("ignored: {} (not known)", unknown.join(", ")));
    }
    Ok(Box::new(Hwmon { info, inputs }))
}

/// Opens the known sensors of one chip. One that counts and cannot be read fails all: the sum would be a smaller one.
fn sensors(
    sys: &SysFs,
    chip: &Chip,
    folder: &Path,
    info: &mut SourceInfo,
    inputs: &mut Vec<Input>,
) -> Result<(), Unavailable> {
    for number in 1..=SENSORS {
        let file = |text: String| folder.join(text);
        let label = match chip.form {
            Form::Energy => file(format!("energy{number}_label")),
            Form::Power => file(format!("power{number}_label")),
            Form::VoltsAmperes => file(format!("in{number}_label")),
            Form::AcpiPower => file(format!("device/power{number}_oem_info")),
        };
        let Ok(label) = sys.line(&label) else {
            continue;
        };
        let known = chip.labels.iter().find(|(l, ..)| label.starts_with(l));
        let Some((_, kind, counted)) = known else {
            continue;
        };
        let (path, input) = match chip.form {
            Form::Energy => one(sys, file(format!("energy{number}_input"))),
            Form::Power => one(sys, file(format!("power{number}_input"))),
            Form::AcpiPower => one(sys, file(format!("power{number}_average"))),
            Form::VoltsAmperes => {
                let volts = file(format!("in{number}_input"));
                let amperes = file(format!("curr{number}_input"));
                // Millivolts times milliamperes are microwatts.
                let input = Input::product(sys, [&volts, &amperes], (1, 1));
                (volts, input)
            }
        };
        match input {
            Ok(input) => {
                inputs.push(input);
                info.domains
                    .push(domain(chip.form, &label, *kind, *counted, &path));
            }
            Err(reason) if *counted => return Err(reason),
            Err(reason) => info.caveats.push(format!("ignored: {label} ({reason})")),
        }
    }
    Ok(())
}

fn one(sys: &SysFs, path: PathBuf) -> (PathBuf, Result<Input, Unavailable>) {
    let input = Input::file(sys, &path);
    (path, input)
}

fn domain(form: Form, label: &str, kind: DomainKind, counted: bool, path: &Path) -> Domain {
    let is_counter = form == Form::Energy;
    let (every, longest_gap) = (EVERY, LONGEST_GAP);
    Domain {
        info: DomainInfo {
            name: label.to_owned(),
            kind,
            counted,
            range_uj: None,
            joules_per_tick: None,
            origin: path.display().to_string(),
        },
        reads: match is_counter {
            true => Reads::Counter(Tick::MICROJOULE),
            false => Reads::Power { every, longest_gap },
        },
        range: None,
        update_period: match is_counter {
            // The driver adds up registers of 1 ms.
            true => Duration::from_millis(1),
            false => UPDATE_PERIOD,
        },
        max_watts: MAX_WATTS,
        min_window: match is_counter {
            true => Duration::from_millis(100),
            false => UPDATE_PERIOD * 100,
        },
    }
}
