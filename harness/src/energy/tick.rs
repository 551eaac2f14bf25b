//! What one step of a raw counter is worth. Exact: a rational number of microjoules, no floating point on the way.

/// One step of a counter: `per` steps are `uj` microjoules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tick {
    uj: u64,
    per: u64,
}

impl Tick {
    /// 1 uJ: powercap and hwmon.
    pub const MICROJOULE: Tick = Tick { uj: 1, per: 1 };
    /// 1 fJ: microwatts times nanoseconds.
    pub const FEMTOJOULE: Tick = Tick {
        uj: 1,
        per: 1_000_000_000,
    };
    /// 1 mJ: boards of NVIDIA.
    pub const MILLIJOULE: Tick = Tick { uj: 1000, per: 1 };
    /// 1 uWh: gauges of batteries.
    pub const MICROWATT_HOUR: Tick = Tick { uj: 3600, per: 1 };

    /// 2^-`exponent` joules, up to 2^-63: RAPL registers, and perf with 2^-32.
    pub fn of_joule_shifted(exponent: u32) -> Option<Tick> {
        let per = 1u64.checked_shl(exponent)?;
        Some(Tick { uj: 1_000_000, per })
    }

    /// Joules a step that are a power of two, 2^-63 to 1, as the `.scale` files of perf have them.
    pub fn of_power_of_two(joules: f64) -> Option<Tick> {
        let bits = joules.to_bits();
        let (mantissa, exponent) = (bits & ((1 << 52) - 1), bits >> 52);
        // A sign would be part of the exponent here, and out of range.
        let exponent = u32::try_from(1023u64.checked_sub(exponent)?).ok()?;
        (mantissa == 0)
            .then(|| Tick::of_joule_shifted(exponent))
            .flatten()
    }

    /// `ticks` in microjoules, to the nearest.
    pub fn microjoules(self, ticks: u128) -> u128 {
        let (uj, per) = (u128::from(self.uj), u128::from(self.per));
        (ticks.saturating_mul(uj).saturating_add(per / 2)) / per
    }

    /// The steps that `uj` microjoules are, rounded up.
    pub fn ticks(self, uj: u128) -> u128 {
        uj.saturating_mul(u128::from(self.per))
            .div_ceil(u128::from(self.uj))
    }

    /// Joules a step, for the record.
    #[expect(
        clippy::cast_precision_loss,
        reason = "both are below 2^53 or a power of two"
    )]
    pub fn joules(self) -> f64 {
        self.uj as f64 / self.per as f64 * 1e-6
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn scales_of_perf_are_powers_of_two_or_refused() {
        let perf = Tick::of_power_of_two("2.3283064365386962890625e-10".parse().unwrap()).unwrap();
        assert_eq!(Some(perf), Tick::of_joule_shifted(32));
        assert_eq!(perf.microjoules(1 << 32), 1_000_000);
        assert_eq!(perf.joules(), 1e6 / 4_294_967_296.0 * 1e-6);
        assert_eq!(Tick::of_power_of_two(1.0), Tick::of_joule_shifted(0));
        for odd in [
            0.0,
            -0.5,
            1e-6,
            3.0,
            2.0,
            f64::NAN,
            f64::INFINITY,
            f64::MIN_POSITIVE,
        ] {
            assert_eq!(Tick::of_power_of_two(odd), None, "{odd}");
        }
        assert_eq!(Tick::of_joule_shifted(64), None);
    }

    proptest! {
        /// There and back loses less than a tick, and nothing overflows.
        #[test]
        fn a_number_of_ticks_survives_its_microjoules(ticks: u64, exponent in 0_u32..=19) {
            // A tick of 2^-19 J is just above a microjoule: each number of ticks has its own number of microjoules.
            let tick = Tick::of_joule_shifted(exponent).unwrap();
            let uj = tick.microjoules(u128::from(ticks));
            prop_assert!(tick.ticks(uj).abs_diff(u128::from(ticks)) <= 1);
        }

        #[test]
        fn no_number_overflows(ticks: u128, exponent in 0_u32..64) {
            let tick = Tick::of_joule_shifted(exponent).unwrap();
            let _ = (tick.microjoules(ticks), tick.ticks(ticks));
        }
    }
}
