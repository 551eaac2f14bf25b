//! Why a source cannot be opened, and what to do about it.

use super::perf::event::Refusal;
use super::perf::pmu::PmuFault;
use super::reading::ReadFault;
use std::path::PathBuf;

/// Why a source cannot be opened. The message says what was seen and why; [`Unavailable::remedy`] what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unavailable {
    /// The machine has no such counters, as far as can be seen.
    #[error("no RAPL counters ({missing})")]
    NotPresent {
        /// What was looked for.
        missing: String,
    },
    /// There are none, and this is a virtual machine.
    #[error(
        "no RAPL counters ({missing}): this looks like a virtual machine (hypervisor flag set), and hypervisors normally \
         hide them"
    )]
    VirtualMachine {
        /// What was looked for.
        missing: String,
    },
    /// The CPU should have counters, but their driver is not loaded.
    #[error("no RAPL counters ({missing}): module not loaded: {module}")]
    ModuleNotLoaded {
        /// What was looked for.
        missing: String,
        /// The kernel module.
        module: &'static str,
    },
    /// A counter is there, but this user may not read it.
    #[error(
        "{} is not readable by this user{}; Linux keeps energy counters to root since 5.10 (CVE-2020-8694)",
        path.display(),
        mode.map(|m| format!(" (mode {m:04o})")).unwrap_or_default()
    )]
    NoPermission {
        /// The file.
        path: PathBuf,
        /// Its permission bits, where they can be seen.
        mode: Option<u32>,
    },
    /// A zone is listed but its files are hidden by a container runtime.
    #[error(
        "zone {zone} is listed but {} is missing: container runtimes mask /sys/devices/virtual/powercap \
         (GHSA-jq35-85cj-fj4p)",
        path.display()
    )]
    Masked {
        /// Name of the folder of the zone.
        zone: String,
        /// The file that is missing.
        path: PathBuf,
    },
    /// A counter that the total needs is there, but gives no number.
    #[error("{} cannot be used: {fault}", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// What came out of it.
        fault: ReadFault,
    },
    /// No sensor or battery, or no zone of that name.
    #[error("{missing}")]
    NoSensor {
        /// What was looked for.
        missing: String,
    },
    /// A file is there, but this user may not read it.
    #[error("{} is not readable by this user", path.display())]
    FileDenied {
        /// The file.
        path: PathBuf,
    },
    /// The registers of the CPU are not for this user.
    #[error(
        "{} is not readable by this user: registers are for root with CAP_SYS_RAWIO",
        path.display()
    )]
    MsrDenied {
        /// The device.
        path: PathBuf,
    },
    /// A battery is being charged, or full on mains power.
    #[error(
        "battery {name} is \"{status}\": the machine is metered by it only while it discharges"
    )]
    NotDischarging {
        /// Its folder.
        name: String,
        /// What its file `status` says.
        status: String,
    },
    /// An external meter says nothing that can be used.
    #[error("the meter `{meter}` cannot be used: {fault}")]
    Meter {
        /// Its file or command.
        meter: String,
        /// What is wrong.
        fault: ReadFault,
    },
    /// A source that must be told what to read.
    #[error("only when named: --energy {usage}")]
    NeedsArgument {
        /// Its name, and what must follow it.
        usage: String,
    },
    /// The kernel does not open an event.
    #[error("perf_event_open {event} on CPU {cpu}: {refusal}")]
    PerfRefused {
        /// PMU and event.
        event: String,
        /// The CPU on which it was to be opened.
        cpu: u32,
        /// Why not.
        refusal: Refusal,
    },
}

impl From<PmuFault> for Unavailable {
    fn from(PmuFault { path, fault }: PmuFault) -> Unavailable {
        Unavailable::Broken { path, fault }
    }
}

impl Unavailable {
    /// The commands or settings that help, the narrowest first, one a line; absent where nothing would.
    pub fn remedy(&self) -> Option<String> {
        let program = std::env::current_exe()
            .map_or_else(|_| "bitbench".to_owned(), |path| path.display().to_string());
        self.remedy_for(&program)
    }

    /// As [`Unavailable::remedy`], for a program at a given path.
    pub fn remedy_for(&self, program: &str) -> Option<String> {
        match self {
            Unavailable::NotPresent { .. }
            | Unavailable::NoSensor { .. }
            | Unavailable::Meter { .. }
            | Unavailable::NeedsArgument { .. } => None,
            Unavailable::FileDenied { path } => Some(format!(
                "sudo chmod a+r {}   # until the next boot",
                path.display()
            )),
            Unavailable::MsrDenied { .. } => Some(format!(
                "--energy powercap or --energy perf: the same counters with less rights\n\
                 sudo setcap cap_sys_rawio,cap_dac_read_search+ep {program}   # until the file is built anew"
            )),
            Unavailable::NotDischarging { .. } => {
                Some("pull the plug, for as long as the run takes".to_owned())
            }
            Unavailable::VirtualMachine { .. } => {
                Some("run on the bare machine: a guest cannot meter its host".to_owned())
            }
            Unavailable::ModuleNotLoaded { module, .. } => Some(format!("sudo modprobe {module}")),
            Unavailable::NoPermission { path, .. } => {
                // <root>/class/powercap/intel-rapl:0/energy_uj -> <root>/class/powercap, where all zones lie side by side.
                let mut folders = path.ancestors();
                let zones = folders.find(|p| p.ends_with("powercap")).unwrap_or(path);
                let zones = zones.display();
                Some(format!(
                    "one of these (root is not needed for all of bitbench):\n\
                     sudo setcap cap_dac_read_search+ep {program}   # until the file is built anew\n\
                     sudo chgrp \"$(id -g)\" {zones}/intel-rapl*/energy_uj && sudo chmod g+r {zones}/intel-rapl*/energy_uj   \
                     # until the next boot\n\
                     echo 'SUBSYSTEM==\"powercap\", KERNEL==\"intel-rapl*\", RUN+=\"/bin/chgrp '\"$(id -g)\"' /sys/%p/energy_uj\", \
                     RUN+=\"/bin/chmod g+r /sys/%p/energy_uj\"' | sudo tee /etc/udev/rules.d/70-energy.rules && sudo udevadm \
                     control --reload && sudo udevadm trigger -s powercap   # for good"
                ))
            }
            Unavailable::Masked { .. } => Some(
                "start the container with -v /sys/devices/virtual/powercap:/sys/devices/virtual/powercap:ro".to_owned(),
            ),
            Unavailable::PerfRefused { cpu, refusal, .. } => refusal.remedy(program, *cpu),
            Unavailable::Broken { path, .. } => Some(format!(
                "sudo cat {}; sudo dmesg | grep -i rapl   # what the kernel has to say",
                path.display()
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every message and remedy, word for word: what a user reads when there is no figure.
    #[test]
    fn messages_and_remedies_are_as_written() {
        let path = PathBuf::from("/sys/class/powercap/intel-rapl:0/energy_uj");
        let missing = "no /sys/class/powercap/intel-rapl".to_owned();
        let reasons = [
            Unavailable::NotPresent {
                missing: missing.clone(),
            },
            Unavailable::VirtualMachine {
                missing: missing.clone(),
            },
            Unavailable::ModuleNotLoaded {
                missing,
                module: "intel_rapl_msr",
            },
            Unavailable::NoPermission {
                path: path.clone(),
                mode: Some(0o400),
            },
            Unavailable::NoPermission {
                path: path.clone(),
                mode: None,
            },
            Unavailable::Masked {
                zone: "intel-rapl:0".to_owned(),
                path: path.clone(),
            },
            Unavailable::Broken {
                path: path.clone(),
                fault: ReadFault::Empty,
            },
            Unavailable::NoSensor {
                missing: "no known power sensor in /sys/class/hwmon".to_owned(),
            },
            Unavailable::FileDenied { path },
            Unavailable::MsrDenied {
                path: PathBuf::from("/dev/cpu/0/msr"),
            },
            Unavailable::NotDischarging {
                name: "BAT0".to_owned(),
                status: "Charging".to_owned(),
            },
            Unavailable::Meter {
                meter: "meter.csv".to_owned(),
                fault: ReadFault::Silent {
                    time: std::time::Duration::from_secs(9),
                },
            },
            Unavailable::NeedsArgument {
                usage: "meter-file:FILE".to_owned(),
            },
        ];
        let errors = [13, 1, 22, 2, 19, 24].map(std::io::Error::from_raw_os_error);
        let mut refusals: Vec<_> = errors.iter().map(|e| Refusal::of(e, Some(2))).collect();
        refusals.push(Refusal::of(&errors[0], Some(-1)));
        let refused = refusals
            .into_iter()
            .map(|refusal| Unavailable::PerfRefused {
                event: "power/energy-pkg".to_owned(),
                cpu: 0,
                refusal,
            });
        let mut text = String::new();
        for reason in reasons.into_iter().chain(refused) {
            let remedy = reason.remedy_for("/opt/bitbench");
            text += &format!("{reason}\n=> {}\n\n", remedy.unwrap_or("-".to_owned()));
        }
        if std::env::var_os("BITBENCH_UPDATE_GOLDEN").is_some() {
            let path = concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/src/energy/unavailable.golden.txt"
            );
            std::fs::write(path, &text).unwrap();
            return;
        }
        assert_eq!(text, include_str!("unavailable.golden.txt"));
    }
}
