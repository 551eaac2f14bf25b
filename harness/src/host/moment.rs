//! How the machine is at this moment.

use crate::roots::{Roots, numbered, read, read_number};
use crate::surroundings;
use bitbench_reports::record::Moment;

pub(super) fn of(roots: &Roots) -> Moment {
    let policies = numbered(&roots.sys("devices/system/cpu/cpufreq"), "policy");
    let clocks: Vec<u64> = policies
        .iter()
        .filter_map(|(_, policy)| read_number(&policy.join("scaling_cur_freq")))
        .collect();
    Moment {
        steal_per_mille: steal(roots),
        temperature_millicelsius: surroundings::temperature(roots),
        khz: clocks
            .iter()
            .copied()
            .min()
            .zip(clocks.iter().copied().max()),
    }
}

/// Steal since boot in thousandths of all CPU time.
fn steal(roots: &Roots) -> Option<u64> {
    let text = read(&roots.proc("stat"))?;
    let line = text.lines().next()?.strip_prefix("cpu ")?;
    // Guest time, behind steal, is part of user time.
    let fields: Vec<u64> = line
        .split_ascii_whitespace()
        .take(8)
        .map_while(|field| field.parse().ok())
        .collect();
    let total = fields
        .iter()
        .try_fold(0_u64, |sum, field| sum.checked_add(*field))?;
    let steal = fields.get(7)?;
    steal.checked_mul(1000)?.checked_div(total)
}

/// Load average over one minute, in hundredths.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a load average, rounded"
)]
pub(super) fn load_average(roots: &Roots) -> Option<u32> {
    let load: f64 = read(&roots.proc("loadavg"))?
        .split_whitespace()
        .next()?
        .parse()
        .ok()?;
    Some((load * 100.0).round() as u32)
}
