//! Axes: from values to pixels, and where the ticks are.

use super::canvas::pixel;

/// One axis of a plot.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    from: i32,
    to: i32,
    logarithmic: bool,
}

impl Axis {
    /// From `low` at the pixel `from` to `high` at the pixel `to`.
    pub(super) fn linear(low: f64, high: f64, from: i32, to: i32) -> Axis {
        let high = if high > low { high } else { low + 1.0 };
        Axis {
            low,
            high,
            from,
            to,
            logarithmic: false,
        }
    }

    /// The same with equal steps for equal ratios. Both ends must be above zero.
    pub(super) fn logarithmic(low: f64, high: f64, from: i32, to: i32) -> Axis {
        let low = if low > 0.0 { low } else { 1.0 };
        let high = if high > low { high } else { low * 10.0 };
        Axis {
            low,
            high,
            from,
            to,
            logarithmic: true,
        }
    }

    /// The pixel of a value; a value beyond an end is put there.
    pub(super) fn at(&self, value: f64) -> i32 {
        let share = if self.logarithmic {
            (value.max(self.low).ln() - self.low.ln()) / (self.high.ln() - self.low.ln())
        } else {
            (value - self.low) / (self.high - self.low)
        };
        let length = f64::from(self.to - self.from);
        self.from + pixel(share.clamp(0.0, 1.0) * length)
    }

    /// Round values between both ends, about five of them, each with its label.
    pub(super) fn ticks(&self) -> Vec<(f64, String)> {
        let values = if self.logarithmic {
            self.powers()
        } else {
            self.steps()
        };
        values
            .into_iter()
            .map(|value| (value, label(value)))
            .collect()
    }

    fn steps(&self) -> Vec<f64> {
        let rough = (self.high - self.low) / 5.0;
        let power = 10_f64.powf(rough.log10().floor());
        let steps = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
        let step = steps.into_iter().find(|step| *step >= rough * 0.999);
        let step = step.unwrap_or(power * 10.0);
        let first = (self.low / step - 1e-9).ceil();
        (0..20)
            .map(|number| (first + f64::from(number)) * step)
            .take_while(|value| *value <= self.high + step * 1e-9)
            .collect()
    }

    fn powers(&self) -> Vec<f64> {
        let decades = (self.high / self.low).log10();
        let factors: &[f64] = if decades > 3.0 {
            &[1.0]
        } else {
            &[1.0, 2.0, 5.0]
        };
        // Of a wide range, not every power.
        let every = pixel(decades / 8.0).max(1);
        let first = pixel(self.low.log10().floor());
        let powers = (0..=pixel(decades) + 2).filter(|power| power % every == 0);
        let values = powers.flat_map(|power| {
            factors
                .iter()
                .map(move |factor| factor * 10_f64.powi(first + power))
        });
        let within = |value: &f64| *value >= self.low * 0.999 && *value <= self.high * 1.001;
        values.filter(within).collect()
    }
}

/// A tick in as few digits as say it.
fn label(value: f64) -> String {
    if value != 0.0 && (value.abs() >= 1e6 || value.abs() < 1e-3) {
        return format!("{value:.0e}");
    }
    let text = format!("{value:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" {
        "0".to_owned()
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: Axis) -> Vec<String> {
        axis.ticks().into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn ticks_are_round_and_within() {
        assert_eq!(
            labels(Axis::linear(0.0, 48.2, 0, 100)),
            ["0", "10", "20", "30", "40"]
        );
        assert_eq!(
            labels(Axis::linear(-2.0, 2.0, 0, 100)),
            ["-2", "-1", "0", "1", "2"]
        );
        assert_eq!(labels(Axis::linear(0.0, 0.0, 0, 100)).first().unwrap(), "0");
        assert_eq!(
            labels(Axis::logarithmic(0.7, 30.0, 0, 100)),
            ["1", "2", "5", "10", "20"]
        );
        assert_eq!(
            labels(Axis::logarithmic(0.1, 1000.0, 0, 100)),
            ["0.1", "1", "10", "100", "1000"]
        );
        assert!(labels(Axis::logarithmic(1e-9, 1e9, 0, 100)).len() <= 10);
        assert!(!labels(Axis::logarithmic(0.0, 0.0, 0, 100)).is_empty());
    }

    #[test]
    fn values_beyond_an_end_stay_on_the_sheet() {
        let axis = Axis::linear(0.0, 10.0, 100, 200);
        assert_eq!(
            [-5.0, 0.0, 5.0, 99.0].map(|v| axis.at(v)),
            [100, 100, 150, 200]
        );
        let axis = Axis::logarithmic(1.0, 100.0, 200, 100);
        assert_eq!(
            [0.0, 1.0, 10.0, 1e9].map(|v| axis.at(v)),
            [200, 200, 150, 100]
        );
    }
}
