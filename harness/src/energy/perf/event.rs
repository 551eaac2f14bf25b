//! Opening one event of a PMU on one CPU, for all that runs there.

use perf_event::Builder;
use perf_event::events::Raw;
use std::fmt;
use std::io;

/// An event as the kernel wants it: the number of its PMU, and of the event within it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventCode {
    /// For messages, such as `power/energy-pkg`.
    pub name: String,
    /// What the file `type` of the PMU says.
    pub pmu: u32,
    /// The terms of the event, put where the `format` files say.
    pub config: u64,
}

/// An open event.
pub trait EventCounter: Send {
    /// The count since it was opened.
    ///
    /// # Errors
    /// What the kernel says.
    fn read(&mut self) -> io::Result<u64>;
}

impl EventCounter for perf_event::Counter {
    fn read(&mut self) -> io::Result<u64> {
        perf_event::Counter::read(self)
    }
}

/// Opens an event on a CPU and starts it.
///
/// # Errors
/// What the kernel says; [`Refusal::of`] tells what it means.
pub fn open(event: &EventCode, cpu: u32) -> io::Result<Box<dyn EventCounter>> {
    let cpu = usize::try_from(cpu).map_err(io::Error::other)?;
    let mut builder = Builder::new(Raw::new(event.config));
    builder.attrs_mut().type_ = event.pmu;
    // PMUs of the whole package refuse every exclusion with EINVAL (PERF_PMU_CAP_NO_EXCLUDE).
    builder.include_kernel().include_hv().any_pid().one_cpu(cpu);
    let mut counter = builder.build()?;
    counter.enable()?;
    Ok(Box::new(counter))
}

/// Why the kernel refused to open an event.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// EACCES: the kernel's own rule about who may count what.
    Paranoid {
        /// `kernel.perf_event_paranoid`, where it can be read.
        level: Option<i32>,
    },
    /// EPERM: refused before the kernel's own rule was asked.
    Filtered,
    /// EINVAL: an attribute that this PMU does not take.
    Attributes,
    /// ENOENT: no PMU of this number, or it has no such event.
    NoSuchEvent,
    /// ENODEV: no such CPU, or it is offline.
    NoSuchCpu,
    /// Anything else, in the words of the kernel.
    Other {
        /// What it said.
        message: String,
    },
}

impl Refusal {
    /// What an error of [`open`] means.
    pub fn of(error: &io::Error, paranoid: Option<i32>) -> Refusal {
        use rustix::io::Errno;
        match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::ACCESS) => Refusal::Paranoid { level: paranoid },
            Some(Errno::PERM) => Refusal::Filtered,
            Some(Errno::INVAL) => Refusal::Attributes,
            Some(Errno::NOENT) => Refusal::NoSuchEvent,
            Some(Errno::NODEV) => Refusal::NoSuchCpu,
            _ => Refusal::Other {
                message: error.to_string(),
            },
        }
    }

    /// What helps, one command a line.
    pub(crate) fn remedy(&self, program: &str, cpu: u32) -> Option<String> {
        Some(match self {
            // The level allows it already: something else does not.
            Refusal::Paranoid { level: Some(level) } if *level <= 0 => {
                format!("sudo setcap cap_perfmon+ep {program}   # until the file is built anew")
            }
            Refusal::Paranoid { .. } => format!(
                "one of these (root is not needed for all of bitbench):\n\
                 sudo setcap cap_perfmon+ep {program}   # Linux 5.8 or later; until the file is built anew\n\
                 sudo sysctl kernel.perf_event_paranoid=0   # until the next boot\n\
                 echo kernel.perf_event_paranoid=0 | sudo tee /etc/sysctl.d/70-perf.conf && sudo sysctl --system   # for good"
            ),
            Refusal::Filtered => {
                "start the container with --cap-add PERFMON, or --cap-add SYS_ADMIN where its runtime is older".to_owned()
            }
            Refusal::Attributes => "use the other way to the same counters: --energy powercap".to_owned(),
            Refusal::NoSuchEvent => "sudo modprobe rapl".to_owned(),
            Refusal::NoSuchCpu => {
                format!("echo 1 | sudo tee /sys/devices/system/cpu/cpu{cpu}/online")
            }
            Refusal::Other { .. } => return None,
        })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Paranoid { level: Some(level) } if *level > 0 => write!(
                f,
                "EACCES: kernel.perf_event_paranoid is {level}; 0 or lower is needed, or CAP_PERFMON"
            ),
            Refusal::Paranoid { .. } => {
                f.write_str("EACCES: not for this user; CAP_PERFMON is needed")
            }
            Refusal::Filtered => f.write_str(
                "EPERM: perf_event_open is filtered out (seccomp of a container, or lockdown of the kernel)",
            ),
            Refusal::Attributes => {
                f.write_str("EINVAL: the kernel does not take these attributes for this event")
            }
            Refusal::NoSuchEvent => f.write_str(
                "ENOENT: the kernel has no such PMU or event (any more: was its driver unloaded?)",
            ),
            Refusal::NoSuchCpu => f.write_str("ENODEV: no such CPU, or it is offline"),
            Refusal::Other { message } => f.write_str(message),
        }
    }
}
