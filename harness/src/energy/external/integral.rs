//! Readings of a meter, one after another, as energy that grows.

use super::{LONGEST_GAP, MAX_WATTS};
use crate::energy::power::trapezoid;
use crate::energy::reading::ReadFault;
use crate::energy::tick::Tick;
use std::time::Duration;

/// What a meter says at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// Power; energy is the trapezoid of two.
    Microwatts(u64),
    /// Energy since some moment.
    Microjoules(u64),
}

/// The energy up to the last reading.
#[derive(Debug, Default)]
pub(super) struct Integral {
    last: Option<(Duration, Reading)>,
    total_fj: u128,
    /// What went wrong since the last look: from one look to the next the energy is unknown.
    fault: Option<ReadFault>,
}

impl Integral {
    /// Adds a reading, with its time on any one clock.
    pub(super) fn push(&mut self, at: Duration, reading: Reading) {
        let step = match (self.last, reading) {
            (None, _) => Ok(0),
            // The same reading twice, or a clock that was set back.
            (Some((before, _)), _) if at <= before => Err(ReadFault::Unordered),
            (Some((before, Reading::Microwatts(prev))), Reading::Microwatts(cur)) => {
                let dt = at - before;
                trapezoid(prev, cur, dt, LONGEST_GAP, MAX_WATTS).map_err(ReadFault::from)
            }
            (Some((_, Reading::Microjoules(prev))), Reading::Microjoules(cur)) => {
                // 1 uJ is 10^9 fJ.
                let ticks = cur
                    .checked_sub(prev)
                    .map(|uj| u128::from(uj) * 1_000_000_000);
                ticks.ok_or(ReadFault::Unordered)
            }
            _ => Err(ReadFault::Unordered),
        };
        match step {
            Ok(fj) => self.total_fj = self.total_fj.saturating_add(fj),
            Err(fault) => self.fail(fault),
        }
        self.last = Some((at, reading));
    }

    /// Notes that something was lost.
    pub(super) fn fail(&mut self, fault: ReadFault) {
        self.fault.get_or_insert(fault);
    }

    /// When the last reading was made.
    pub(super) fn last_at(&self) -> Option<Duration> {
        self.last.map(|(at, _)| at)
    }

    /// The energy in microjoules; or what went wrong since the last look.
    pub(super) fn look(&mut self) -> Result<u64, ReadFault> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        let uj = Tick::FEMTOJOULE.microjoules(self.total_fj);
        u64::try_from(uj).map_err(|_| ReadFault::Empty)
    }
}

#[cfg(test)]
mod tests {
    use super::Reading::{Microjoules, Microwatts};
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    #[test]
    fn watts_are_trapezoids_and_joules_differences() {
        let mut watts = Integral::default();
        for (t, w) in [(0, 10), (1, 10), (2, 80), (4, 80)] {
            watts.push(S(t), Microwatts(w * 1_000_000));
        }
        assert_eq!(watts.look(), Ok(10_000_000 + 45_000_000 + 160_000_000));
        let mut joules = Integral::default();
        for (t, uj) in [(0, 500), (1, 700), (90, 900)] {
            joules.push(S(t), Microjoules(uj));
        }
        assert_eq!(joules.look(), Ok(400));
    }

    #[test]
    fn what_is_lost_is_said_once_and_the_next_window_has_its_figure() {
        let faults: [(&[(u64, Reading)], &str); 4] = [
            (
                &[(0, Microwatts(1)), (6, Microwatts(1))],
                "no power reading for 6.000 s, 5.000 s at most",
            ),
            (
                &[(5, Microwatts(1)), (5, Microwatts(1))],
                "not in the order of their times",
            ),
            (
                &[(0, Microjoules(5)), (1, Microjoules(4))],
                "not in the order of their times",
            ),
            (
                &[(0, Microwatts(1)), (1, Microwatts(20_000_000_000))],
                "20000 W, more than the 10000 W",
            ),
        ];
        for (readings, expected) in faults {
            let mut integral = Integral::default();
            readings.iter().for_each(|(t, r)| integral.push(S(*t), *r));
            let fault = integral.look().unwrap_err().to_string();
            assert!(fault.contains(expected), "{fault}");
            assert_eq!(integral.look(), Ok(0));
        }
    }
}
