//! What all ways to the RAPL counters share: powercap, perf and the registers themselves.

use super::sysfs::{SysFs, Vendor};
use super::unavailable::Unavailable;
use super::{Domain, SourceInfo};
use bitbench_reports::record::{DomainInfo, DomainKind, Provenance};
use std::time::Duration;

/// "The energy counters are updated approximately every 1ms" (Intel SDM volume 3B, 15.10.3; AMD alike).
const UPDATE_PERIOD: Duration = Duration::from_millis(1);

/// No package takes this much; the largest sold take 500 W.
const MAX_WATTS: u32 = 1000;

/// A hundred updates: the error of two readings is then 1 % at most.
const MIN_WINDOW: Duration = Duration::from_millis(100);

/// With SGX enabled Intel adds noise to RAPL readings (INTEL-SA-00389), which evens out over seconds only.
const MIN_WINDOW_SGX: Duration = Duration::from_secs(10);

/// Where the figures come from.
pub(super) fn provenance(sys: &SysFs) -> Provenance {
    match (sys.is_overridden(), sys.cpu().hypervisor) {
        (true, _) => Provenance::Simulated,
        (false, true) => Provenance::MeasuredVirtualised,
        (false, false) => Provenance::MeasuredCounter,
    }
}

/// Whether a domain is part of the total: packages, and memory, which is no part of them.
pub(super) fn counts(kind: DomainKind) -> bool {
    matches!(kind, DomainKind::Package | DomainKind::Dram)
}

/// A domain of a machine with so many packages.
pub(super) fn domain(
    sys: &SysFs,
    packages: usize,
    info: DomainInfo,
    reads: super::Reads,
) -> Domain {
    let max_watts = match info.kind {
        // All packages, and the rest of the board.
        DomainKind::Platform => {
            MAX_WATTS.saturating_mul(u32::try_from(packages + 1).unwrap_or(u32::MAX))
        }
        _ => MAX_WATTS,
    };
    Domain {
        info,
        reads,
        range: None,
        update_period: UPDATE_PERIOD,
        max_watts,
        min_window: if is_noisy(sys) {
            MIN_WINDOW_SGX
        } else {
            MIN_WINDOW
        },
    }
}

fn is_noisy(sys: &SysFs) -> bool {
    sys.cpu().sgx && sys.cpu().vendor == Vendor::Intel
}

/// What a reader of the figures must know.
pub(super) fn caveats(sys: &SysFs, info: &SourceInfo) -> Vec<String> {
    let mut caveats = Vec::new();
    match info.provenance {
        Provenance::Simulated => caveats
            .push("SIMULATED counters (--sysfs-root): the figures cannot be published".to_owned()),
        Provenance::MeasuredVirtualised => caveats.push(
            "virtual machine: the hypervisor apportions the counters of its host among its guests"
                .to_owned(),
        ),
        _ => {}
    }
    let has = |kind| info.domains.iter().any(|d| d.info.kind == kind);
    let counts_packages = |d: &Domain| d.info.counted && d.info.kind == DomainKind::Package;
    if !has(DomainKind::Dram) && info.domains.iter().any(counts_packages) {
        caveats.push(
            "package only: DRAM is not metered on this CPU; not comparable with package+DRAM figures".to_owned(),
        );
    }
    caveats.push(
        "RAPL covers the whole machine: other processes, and neighbours of a container, are in the figures".to_owned(),
    );
    if is_noisy(sys) {
        let seconds = MIN_WINDOW_SGX.as_secs();
        caveats.push(format!(
            "SGX is enabled: Intel adds noise to RAPL; windows below {seconds} s give no figure"
        ));
    }
    caveats
}

/// Why there are no counters: a virtual machine, a module that is not loaded, or none.
pub(super) fn nothing(sys: &SysFs, missing: String, module: &'static str) -> Unavailable {
    let cpu = sys.cpu();
    let is_loaded = sys.list(&sys.path("module").join(module)).is_ok();
    if cpu.hypervisor {
        Unavailable::VirtualMachine { missing }
    } else if cpu.vendor != Vendor::Other && !is_loaded {
        Unavailable::ModuleNotLoaded { missing, module }
    } else {
        Unavailable::NotPresent { missing }
    }
}
