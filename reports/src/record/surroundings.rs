//! What else happened while a window lasted: other processes, the hypervisor, faults, heat.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Differences between a look at the system before a window and one after it. What could not be read is absent.
///
/// The system counts CPU time in ticks of 10 ms, so short windows are known coarsely: see [`Surroundings::others_doubt_ns`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Surroundings {
    /// Time between the two looks; a little longer than the window.
    pub span_ns: u64,
    /// Time that the two looks took together, outside the window.
    pub looks_ns: u64,
    /// Spans that were added to the first: those of a window in slices, whose sum is derived and not stored.
    #[serde(skip)]
    pub further_spans: u32,
    /// CPU time of the worker and its children.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_cpu_ns: Option<u64>,
    /// CPU time that the worker spent in the kernel, part of the former.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_system_ns: Option<u64>,
    /// CPU time of the harness itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub harness_cpu_ns: Option<u64>,
    /// CPU time of all other processes, on all CPUs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub others_cpu_ns: Option<u64>,
    /// CPU time that the hypervisor kept from this machine, on all CPUs (steal).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steal_ns: Option<u64>,
    /// Page faults of the worker that waited for a disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub major_faults: Option<u64>,
    /// Page faults of the worker that did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minor_faults: Option<u64>,
    /// Times that a thread of the worker gave its CPU up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voluntary_switches: Option<u64>,
    /// Times that a thread of the worker lost its CPU to another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub involuntary_switches: Option<u64>,
    /// Time in which some task waited for a CPU (pressure stall).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_pressure_ns: Option<u64>,
    /// Time in which some task waited for memory (pressure stall).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_pressure_ns: Option<u64>,
    /// Temperature of the CPU after the window, in thousandths of a degree Celsius.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature_millicelsius: Option<i64>,
    /// Times that a core or package slowed down for heat: the largest difference of a throttle counter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throttles: Option<u64>,
    /// Clock of the fastest group of CPUs in kHz, in the mean over the window, as cpufreq tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpufreq_khz: Option<u64>,
}

impl Surroundings {
    /// CPU time as cores that were busy for the whole span.
    fn cores(&self, time_ns: Option<u64>) -> Option<f64> {
        let span = self.span_ns as f64;
        time_ns.filter(|_| span > 0.0).map(|ns| ns as f64 / span)
    }

    /// Cores that other processes kept busy, in the mean.
    pub fn others_cores(&self) -> Option<f64> {
        self.cores(self.others_cpu_ns)
    }

    /// Cores that the hypervisor kept from this machine, in the mean.
    pub fn stolen_cores(&self) -> Option<f64> {
        self.cores(self.steal_ns)
    }

    /// How far the CPU time of others can be off: a tick for each CPU that was busy, and one for each of the three counts that
    /// are taken from each other.
    pub fn others_doubt_ns(&self) -> u64 {
        let busy = [self.worker_cpu_ns, self.others_cpu_ns, self.harness_cpu_ns];
        let busy_ns = busy.into_iter().flatten().fold(0, u64::saturating_add);
        let cores = busy_ns.div_ceil(self.span_ns.max(1));
        let once = TICK_NS.saturating_mul(cores.saturating_add(3));
        // The errors of several spans have no common sign.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "ticks, times the root of a small number"
        )]
        let of_all = (once as f64 * (1.0 + f64::from(self.further_spans)).sqrt()) as u64;
        of_all
    }
}

/// What the system counts CPU time in (`USER_HZ` is 100 on every Linux).
pub const TICK_NS: u64 = 10_000_000;
