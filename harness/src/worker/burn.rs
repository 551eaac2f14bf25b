//! Time that a worker is told to waste, so that a test can see whether a slow-down is found.

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// How much slower than it is a worker is to be.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Burn {
    share: f64,
}

/// Work whose time is watched, if any of it is to be wasted.
#[derive(Debug)]
pub(super) struct Watched(Option<(f64, Duration)>);

impl Burn {
    /// Slower by so many percent.
    pub(super) fn percent(percent: f64) -> Burn {
        Burn {
            share: (percent / 100.0).clamp(0.0, 10.0),
        }
    }

    /// The work begins.
    pub(super) fn begin(self) -> Watched {
        Watched((self.share > 0.0).then(|| (self.share, processor_time())))
    }
}

/// How many percent of its time this kernel is to waste, by `BITBENCH_SLOW_KERNEL`: its name, a colon and that number.
#[cfg(feature = "slow-kernel")]
pub(super) fn of_kernel(kernel: &str) -> Option<f64> {
    let asked = std::env::var("BITBENCH_SLOW_KERNEL").ok()?;
    let (name, percent) = asked.split_once(':')?;
    (name == kernel).then(|| percent.parse().ok()).flatten()
}

impl Watched {
    /// The work ends: spins for that share of it. What counts is the processor time of this thread, not the time on the wall,
    /// which on a busy machine is mostly that of others, and to waste a share of theirs would cost far more than was asked for.
    pub(super) fn end(self) {
        if let Some((share, start)) = self.0 {
            let spent = processor_time().saturating_sub(start);
            let end = start + spent.mul_f64(1.0 + share);
            while processor_time() < end {
                std::hint::spin_loop();
            }
        }
    }
}

/// Time that this thread has had a processor.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_much_time_is_wasted_as_was_asked_for() {
        let start = processor_time();
        let idle = Burn::default().begin();
        let watched = Burn::percent(50.0).begin();
        while processor_time() < start + Duration::from_millis(10) {
            std::hint::spin_loop();
        }
        idle.end();
        watched.end();
        let spent = processor_time() - start;
        assert!(spent >= Duration::from_millis(14), "{spent:?}");
    }
}
