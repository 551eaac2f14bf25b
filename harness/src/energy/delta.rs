//! The difference of two readings of one counter, in ticks. The one place that judges them: wraps, resets, standstill, and what
//! cannot be.

use super::Domain;
use std::time::Duration;

/// Updates by which a counter may run late: two readings closer than one update apart may differ by a whole update.
const LATE_UPDATES: u32 = 10;

/// A counter that stands still for more updates than this is not a counter: a second, for RAPL.
const STANDSTILL_UPDATES: u32 = 1000;

/// The same while others of its source move.
const STANDSTILL_UPDATES_ALONE: u32 = 100;

/// How far a counter moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advance {
    /// Energy in ticks of the domain.
    pub ticks: u64,
    /// Whether the counter started again in between.
    pub wrapped: bool,
}

/// Why two readings have no difference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeltaFault {
    /// The counter went back and its range is unknown.
    #[error(
        "counter went back by {:.3} J and its range (max_energy_range_uj) is unknown: joules cannot be recovered",
        joules(*.by_uj)
    )]
    WrapWithoutRange {
        /// How far back, in microjoules.
        by_uj: u64,
    },
    /// The counter went back, and a wrap would have taken more power than there is.
    #[error(
        "counter went backwards by {:.3} J without a possible wrap (suspend or driver reload?): window discarded",
        joules(*.by_uj)
    )]
    BackwardsWithoutPossibleWrap {
        /// How far back, in microjoules.
        by_uj: u64,
    },
    /// The counter moved faster than any part of its kind.
    #[error(
        "counter rose as at {watts} W, more than the {max_watts} W that are possible: window discarded"
    )]
    Implausible {
        /// The power the difference stands for, in watts.
        watts: u64,
        /// The largest plausible power, in watts.
        max_watts: u32,
    },
    /// So much time went by that the counter may have gone round more than once.
    #[error(
        "last reading was {:.3} s ago and the counter may wrap every {:.3} s at {max_watts} W: joules cannot be recovered",
        dt.as_secs_f64(),
        limit.as_secs_f64()
    )]
    MaybeMultiWrap {
        /// Time between the readings.
        dt: Duration,
        /// Longest time within which one wrap at most is possible.
        limit: Duration,
        /// The largest plausible power, in watts.
        max_watts: u32,
    },
    /// The counter did not move although it must have.
    #[error(
        "counter did not move for {:.3} s{}: not reported as 0 J",
        time.as_secs_f64(),
        if *others_moved { " while others did" } else { "" }
    )]
    Stuck {
        /// For how long.
        time: Duration,
        /// Whether other counters of the source moved meanwhile, which is what gave it away.
        others_moved: bool,
    },
}

#[expect(clippy::cast_precision_loss, reason = "for display only")]
fn joules(uj: u64) -> f64 {
    uj as f64 * 1e-6
}

/// The energy between two readings that are `dt` apart at most.
///
/// A counter that goes back has wrapped once, if that is possible at [`Domain::max_watts`]. [`Domain::range`] is the largest
/// value shown, so one more tick leads to 0. (powercap shows microjoules of a counter with units of up to 61 uJ, so its true
/// step at the wrap is one unit, which no window can resolve.)
///
/// # Errors
/// See [`DeltaFault`]. A counter of unknown range that moves forward is taken as it is: the smallest range there is (65 kJ)
/// lasts a minute at 1000 W, and readings are 10 s apart at most.
pub fn delta(prev: u64, cur: u64, dt: Duration, domain: &Domain) -> Result<Advance, DeltaFault> {
    let (max_watts, tick) = (domain.max_watts, domain.tick());
    // Watts times microseconds are microjoules.
    let most = |time: Duration| tick.ticks(u128::from(max_watts).saturating_mul(time.as_micros()));
    if let Some(range) = domain.range
        && most(dt) > u128::from(range)
    {
        let range_uj = tick.microjoules(u128::from(range));
        let limit_us = range_uj / u128::from(max_watts.max(1));
        let limit = Duration::from_micros(u64::try_from(limit_us).unwrap_or(u64::MAX));
        return Err(DeltaFault::MaybeMultiWrap {
            dt,
            limit,
            max_watts,
        });
    }
    let plausible = most(dt.saturating_add(domain.update_period * LATE_UPDATES));
    if let Some(ticks) = cur.checked_sub(prev) {
        if u128::from(ticks) > plausible {
            let uj = tick.microjoules(u128::from(ticks));
            let watts = u64::try_from(uj / dt.as_micros().max(1)).unwrap_or(u64::MAX);
            return Err(DeltaFault::Implausible { watts, max_watts });
        }
        return match stuck(dt, false, domain) {
            Some(fault) if ticks == 0 => Err(fault),
            _ => Ok(Advance {
                ticks,
                wrapped: false,
            }),
        };
    }
    let by_uj = u64::try_from(tick.microjoules(u128::from(prev - cur))).unwrap_or(u64::MAX);
    let Some(range) = domain.range else {
        return Err(DeltaFault::WrapWithoutRange { by_uj });
    };
    // `cur < prev <= range`, so the sum stays within the range.
    match range.checked_sub(prev).map(|left| left + 1 + cur) {
        Some(ticks) if u128::from(ticks) <= plausible => Ok(Advance {
            ticks,
            wrapped: true,
        }),
        _ => Err(DeltaFault::BackwardsWithoutPossibleWrap { by_uj }),
    }
}

/// Whether a counter that has stood still for `time` at least is broken. A part that is in no total may well take next to
/// nothing while others work, and is given more time.
pub fn stuck(time: Duration, others_moved: bool, domain: &Domain) -> Option<DeltaFault> {
    let standstill = |updates| time > domain.update_period * updates;
    if standstill(STANDSTILL_UPDATES) {
        let others_moved = false;
        return Some(DeltaFault::Stuck { time, others_moved });
    }
    let gives_itself_away =
        others_moved && domain.info.counted && standstill(STANDSTILL_UPDATES_ALONE);
    gives_itself_away.then_some(DeltaFault::Stuck { time, others_moved })
}

#[cfg(test)]
mod tests {
    use super::super::{Reads, tick::Tick};
    use super::*;
    use bitbench_reports::record::{DomainInfo, DomainKind};
    use proptest::prelude::*;

    const CLIENT_RANGE_UJ: u64 = 262_143_328_850;

    fn domain(range_uj: Option<u64>) -> Domain {
        Domain {
            info: DomainInfo {
                name: "package-0".to_owned(),
                kind: DomainKind::Package,
                counted: true,
                range_uj,
                joules_per_tick: None,
                origin: String::new(),
            },
            reads: Reads::Counter(Tick::MICROJOULE),
            range: range_uj,
            update_period: Duration::from_millis(1),
            max_watts: 1000,
            min_window: Duration::from_millis(100),
        }
    }

    /// Domain, the two readings, the time between them, and what must come of it.
    type Case<'a> = (&'a Domain, u64, u64, Duration, Result<Advance, &'a str>);

    #[test]
    fn each_fault_has_its_case_and_text() {
        let s = Duration::from_secs;
        let client = domain(Some(CLIENT_RANGE_UJ));
        let server = domain(Some(65_532_610_987));
        let unknown = domain(None);
        let step = |uj| {
            Ok(Advance {
                ticks: uj,
                wrapped: false,
            })
        };
        let wrap = |uj| {
            Ok(Advance {
                ticks: uj,
                wrapped: true,
            })
        };
        let cases: &[Case] = &[
            (&client, 5, 5, s(1), step(0)),
            (
                &client,
                5,
                5,
                s(2),
                Err("counter did not move for 2.000 s: not reported as 0 J"),
            ),
            (&client, 0, 45_000_000, s(1), step(45_000_000)),
            // The last value before the wrap, and the first after it.
            (&client, CLIENT_RANGE_UJ, 0, s(1), wrap(1)),
            (&client, CLIENT_RANGE_UJ - 9, 90, s(1), wrap(100)),
            (&client, 0, 0, Duration::ZERO, step(0)),
            // One update may appear between two readings at the same moment; ten at most.
            (&client, 0, 9_000_000, Duration::ZERO, step(9_000_000)),
            (
                &client,
                0,
                11_000_000,
                Duration::ZERO,
                Err(
                    "counter rose as at 11000000 W, more than the 1000 W that are possible: window discarded",
                ),
            ),
            (
                &client,
                0,
                3_000_000_000,
                s(2),
                Err(
                    "counter rose as at 1500 W, more than the 1000 W that are possible: window discarded",
                ),
            ),
            (
                &client,
                100_000_000_000,
                0,
                s(10),
                Err(
                    "counter went backwards by 100000.000 J without a possible wrap (suspend or driver reload?): window discarded",
                ),
            ),
            // Above its own range the counter cannot have been.
            (
                &client,
                CLIENT_RANGE_UJ + 1,
                0,
                s(1),
                Err(
                    "counter went backwards by 262143.329 J without a possible wrap (suspend or driver reload?): window discarded",
                ),
            ),
            (
                &unknown,
                7_000_000,
                2_000_000,
                s(1),
                Err(
                    "counter went back by 5.000 J and its range (max_energy_range_uj) is unknown: joules cannot be recovered",
                ),
            ),
            (&unknown, 2, 7, s(1), step(5)),
            (&server, 0, 65_000_000, s(65), step(65_000_000)),
            // Forwards too: after a wrap and a half it would look just like this.
            (
                &server,
                0,
                65_000_000,
                s(66),
                Err(
                    "last reading was 66.000 s ago and the counter may wrap every 65.533 s at 1000 W: joules cannot be recovered",
                ),
            ),
            (
                &server,
                9,
                0,
                s(900),
                Err(
                    "last reading was 900.000 s ago and the counter may wrap every 65.533 s at 1000 W: joules cannot be recovered",
                ),
            ),
        ];
        for (domain, prev, cur, dt, expected) in cases {
            let got = delta(*prev, *cur, *dt, domain).map_err(|fault| fault.to_string());
            let expected = expected.map_err(str::to_owned);
            assert_eq!(got, expected, "{prev} -> {cur} in {dt:?}");
        }
    }

    proptest! {
        /// Whatever the range, the start and the steps: as long as the power is plausible, nothing is lost.
        #[test]
        fn plausible_steps_are_recovered_exactly(
            range_uj in 1_000_u64..=CLIENT_RANGE_UJ,
            exponent in prop::option::of(14_u32..=32),
            start in 0.0_f64..1.0,
            steps in prop::collection::vec((0.0_f64..=1.0, 0.0_f64..=1.0), 1..50),
        ) {
            let part = |of: u64, share: f64| {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss,
                    reason = "a share of a number below 2^38")]
                let part = (of as f64 * share) as u64;
                part.min(of)
            };
            let mut domain = domain(Some(range_uj));
            // Ticks of 1 uJ, or of a RAPL register or a perf event.
            let tick = exponent.map_or(Tick::MICROJOULE, |e| Tick::of_joule_shifted(e).unwrap());
            let range = u64::try_from(tick.ticks(u128::from(range_uj))).unwrap();
            (domain.reads, domain.range) = (Reads::Counter(tick), Some(range));
            // Of 2 s a step at most, so that no step without a tick is a standstill.
            domain.update_period = Duration::from_secs(1);
            let modulus = u128::from(range) + 1;
            let mut cur = part(range, start);
            let (mut sum, mut true_sum, mut wraps, mut true_wraps) = (0, 0, 0, 0);
            for (time, energy) in steps {
                let dt_us = part(range_uj / 1000, time);
                let most = tick.ticks(u128::from(1000 * dt_us)).min(u128::from(range));
                let ticks = part(u64::try_from(most).unwrap(), energy);
                let next = u128::from(cur) + u128::from(ticks);
                true_wraps += next / modulus;
                true_sum += ticks;
                let next = u64::try_from(next % modulus).unwrap();
                let advance = delta(cur, next, Duration::from_micros(dt_us), &domain).unwrap();
                sum += advance.ticks;
                wraps += u128::from(advance.wrapped);
                cur = next;
            }
            prop_assert_eq!((sum, wraps), (true_sum, true_wraps));
        }

        /// No input panics, and no result is more than could have been used.
        #[test]
        fn any_two_readings_give_a_plausible_figure_or_a_fault(
            prev: u64, cur: u64, range_uj: Option<u64>, dt_ns: u64,
        ) {
            let dt = Duration::from_nanos(dt_ns);
            if let Ok(advance) = delta(prev, cur, dt, &domain(range_uj)) {
                prop_assert!(u128::from(advance.ticks) <= 1000 * (dt.as_micros() + 10_000));
            }
        }

        /// A reset to (almost) nothing is never taken for a wrap, unless a wrap is possible in that time.
        #[test]
        fn a_reset_is_never_a_figure(prev in 1_u64..=CLIENT_RANGE_UJ, after in 0.0_f64..1.0, dt_ms in 0_u64..60_000) {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss,
                reason = "a share of a number below 2^38")]
            let cur = ((prev as f64 * after) as u64).min(prev - 1);
            let domain = domain(Some(CLIENT_RANGE_UJ));
            let wrap = CLIENT_RANGE_UJ - prev + 1 + cur;
            let got = delta(prev, cur, Duration::from_millis(dt_ms), &domain);
            match got {
                Ok(advance) => prop_assert_eq!((advance.ticks, advance.wrapped), (wrap, true)),
                Err(fault) => {
                    prop_assert_eq!(fault, DeltaFault::BackwardsWithoutPossibleWrap { by_uj: prev - cur });
                    prop_assert!(wrap > 1000 * 1000 * dt_ms);
                }
            }
        }

        /// Standing still is a fault from some time on, and sooner for a counter that counts while others move.
        #[test]
        fn standstill_is_a_matter_of_updates(time_ms in 0_u64..100_000, update_ms in 1_u64..100, others: bool, counted: bool) {
            let mut domain = domain(None);
            domain.update_period = Duration::from_millis(update_ms);
            domain.info.counted = counted;
            let updates = if others && counted { 100 } else { 1000 };
            let got = stuck(Duration::from_millis(time_ms), others, &domain);
            prop_assert_eq!(got.is_some(), time_ms > updates * update_ms);
        }
    }
}
