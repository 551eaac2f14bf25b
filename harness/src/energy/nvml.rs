//! Energy counters of NVIDIA boards, by the management library of their driver, which is loaded only when this source is named.
//!
//! A model that runs on the CPU leaves a GPU idle: this is for engines that use one, and for what an idle board adds to a machine.

use super::reading::{ReadFault, Snapshot};
use super::sysfs::SysFs;
use super::tick::Tick;
use super::unavailable::Unavailable;
use super::{Domain, EnergySource, Reads, SourceInfo, SourceKind};
use bitbench_reports::record::{DomainInfo, DomainKind, Provenance};
use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;
use std::ffi::OsStr;
use std::time::Duration;

pub(super) static KIND: SourceKind = SourceKind {
    name: "nvml",
    about: "energy counters of NVIDIA boards (Volta and newer), not of the CPU",
    auto: false,
    argument: None,
    open,
};

/// As the driver installs it, and as its development package does.
const LIBRARIES: [&str; 2] = ["libnvidia-ml.so.1", "libnvidia-ml.so"];

/// "Total energy consumption in millijoules since the driver was last reloaded" (NVML API reference). How often it moves is not
/// documented; boards sample their power at intervals of 20 to 100 ms.
const UPDATE_PERIOD: Duration = Duration::from_millis(100);
const MAX_WATTS: u32 = 2000;

struct Boards {
    info: SourceInfo,
    library: Nvml,
    boards: Vec<u32>,
}

impl EnergySource for Boards {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn snapshot(&mut self) -> Snapshot {
        let read = |board: &u32| millijoules(&self.library, *board).map_err(fault);
        Snapshot::take(|| self.boards.iter().map(read).collect())
    }
}

fn millijoules(library: &Nvml, board: u32) -> Result<u64, NvmlError> {
    library.device_by_index(board)?.total_energy_consumption()
}

fn fault(error: NvmlError) -> ReadFault {
    match error {
        NvmlError::GpuLost | NvmlError::NotFound => ReadFault::Gone,
        NvmlError::NoPermission => ReadFault::Denied,
        other => ReadFault::Io {
            message: other.to_string(),
        },
    }
}

fn open(sys: &SysFs, _: &str) -> Result<Box<dyn EnergySource>, Unavailable> {
    let nothing = |missing: String| Unavailable::NoSensor { missing };
    if sys.is_overridden() {
        let missing = "NVIDIA boards are not part of a tree of files (--sysfs-root)";
        return Err(nothing(missing.to_owned()));
    }
    let mut reason = String::new();
    for name in LIBRARIES {
        match Nvml::builder().lib_path(OsStr::new(name)).init() {
            Ok(library) => return boards(library),
            // What the driver itself says is worth more than that a second name is not there.
            Err(error) if reason.is_empty() => reason = format!("{name}: {error}"),
            Err(_) => {}
        }
    }
    Err(nothing(format!("no NVIDIA driver ({reason})")))
}

fn boards(library: Nvml) -> Result<Box<dyn EnergySource>, Unavailable> {
    let nothing = |missing: String| Unavailable::NoSensor { missing };
    let count = library
        .device_count()
        .map_err(|error| nothing(format!("NVIDIA boards cannot be counted: {error}")))?;
    if count == 0 {
        return Err(nothing("the NVIDIA driver sees no board".to_owned()));
    }
    for board in 0..count {
        // A total without one of them would be a smaller sum.
        millijoules(&library, board)
            .map_err(|error| nothing(format!("gpu-{board} has no energy counter: {error}")))?;
    }
    let domain = |board: u32| Domain {
        info: DomainInfo {
            name: format!("gpu-{board}"),
            kind: DomainKind::Board,
            counted: true,
            range_uj: None,
            joules_per_tick: Some(Tick::MILLIJOULE.joules()),
            origin: format!("NVML, total energy of board {board}"),
        },
        reads: Reads::Counter(Tick::MILLIJOULE),
        range: None,
        update_period: UPDATE_PERIOD,
        max_watts: MAX_WATTS,
        min_window: UPDATE_PERIOD * 100,
    };
    let info = SourceInfo {
        name: KIND.name,
        provenance: Provenance::MeasuredCounter,
        domains: (0..count).map(domain).collect(),
        caveats: vec![
            "nvml: NVIDIA boards only, neither the CPU nor its memory is in these figures"
                .to_owned(),
        ],
    };
    Ok(Box::new(Boards {
        info,
        library,
        boards: (0..count).collect(),
    }))
}
