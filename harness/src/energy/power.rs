//! The energy under readings of power: trapezoids, for sources that have no counter of energy.

use std::time::Duration;

/// Why two readings of power have no energy between them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PowerFault {
    /// So long without a reading that what happened in between is unknown.
    #[error(
        "no power reading for {:.3} s, {:.3} s at most are bridged: joules cannot be recovered",
        dt.as_secs_f64(),
        limit.as_secs_f64()
    )]
    Gap {
        /// Time between the readings.
        dt: Duration,
        /// The longest that is bridged.
        limit: Duration,
    },
    /// More power than any part of its kind takes.
    #[error(
        "power read as {watts} W, more than the {max_watts} W that are possible: window discarded"
    )]
    Implausible {
        /// What was read, in watts.
        watts: u64,
        /// The largest plausible power, in watts.
        max_watts: u32,
    },
}

/// The energy between two readings in microwatts that are `dt` apart, in femtojoules: the mean of both, times the time.
///
/// # Errors
/// See [`PowerFault`].
pub fn trapezoid(
    prev_uw: u64,
    cur_uw: u64,
    dt: Duration,
    longest_gap: Duration,
    max_watts: u32,
) -> Result<u128, PowerFault> {
    let most = u64::from(max_watts) * 1_000_000;
    if let Some(uw) = [prev_uw, cur_uw].into_iter().find(|uw| *uw > most) {
        let watts = uw / 1_000_000;
        return Err(PowerFault::Implausible { watts, max_watts });
    }
    if dt > longest_gap {
        let limit = longest_gap;
        return Err(PowerFault::Gap { dt, limit });
    }
    let both = u128::from(prev_uw) + u128::from(cur_uw);
    Ok(both.saturating_mul(dt.as_nanos()) / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn each_fault_has_its_text() {
        let text = |fault: Result<u128, PowerFault>| fault.unwrap_err().to_string();
        assert_eq!(
            text(trapezoid(1, 1, 6 * SECOND, 5 * SECOND, 1000)),
            "no power reading for 6.000 s, 5.000 s at most are bridged: joules cannot be recovered"
        );
        assert_eq!(
            text(trapezoid(1, 2_000_000_000, SECOND, SECOND, 1000)),
            "power read as 2000 W, more than the 1000 W that are possible: window discarded"
        );
    }

    proptest! {
        /// A straight line is integrated exactly, however it is cut.
        #[test]
        fn a_ramp_has_the_energy_of_its_mean(
            start_uw in 0_u64..100_000_000, per_s in 0_u64..1_000_000, cuts in prop::collection::vec(1_u64..5, 1..30),
        ) {
            let (mut t, mut energy) = (0, 0);
            for step in cuts {
                let power = |t: u64| start_uw + per_s * t;
                let dt = Duration::from_secs(step);
                energy += trapezoid(power(t), power(t + step), dt, 5 * SECOND, 1000).unwrap();
                t += step;
            }
            let exact = (u128::from(start_uw) * 2 + u128::from(per_s * t)) * u128::from(t) * 500_000_000;
            prop_assert_eq!(energy, exact);
        }
    }
}
