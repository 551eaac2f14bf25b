//! Roundings that can turn out otherwise in single precision.

use bitbench_engine::oracle::{Inputs, Nearest, Rounding};
use half::f16;

/// How far a value of the engine is taken to be from that of the oracle, as a share of the value and of the root mean square
/// of its vector together, before a linear layer: eight roundings of single precision, 2^-24 each. A value that is further off
/// than this, and so rounds in a way that the oracle does not consider, is an error of the engine and fails the test.
const INPUT_SLACK: f64 = 1.0 / (1 << 21) as f64;
/// The same of keys and values, which are little more than integers times a scale: two roundings.
const CACHE_SLACK: f64 = 1.0 / (1 << 23) as f64;

/// The choices of one token. A value so near the middle of two neighbours that the slack reaches over it may become either:
/// the first of them become what `choices` says, the others the nearest.
#[derive(Debug)]
pub(crate) struct Ties<'c> {
    rounding: Nearest,
    /// For the first of them, whether it becomes the neighbour that is not the nearest.
    choices: &'c [bool],
    /// How many there were so far.
    pub(crate) met: usize,
}

impl<'c> Ties<'c> {
    pub(crate) fn new(rounding: Nearest, choices: &'c [bool]) -> Self {
        Ties {
            rounding,
            choices,
            met: 0,
        }
    }

    /// Rounds to integers, which stand for multiples of `step(value)`. Equal sizes are rounded alike, as they are in the engine.
    fn round(&mut self, values: &[f64], slack: f64, step: impl Fn(f64) -> f64) -> Vec<f64> {
        let square = values.iter().map(|v| v * v).sum::<f64>();
        let root = (square / values.len() as f64).sqrt();
        let mut seen: Vec<(f64, f64)> = Vec::new();
        let mut round = |value: f64| {
            let step = step(value);
            let size = value.abs() / step;
            let nearest = size.round_ties_even();
            let middle = size.floor() + 0.5;
            if (size - middle).abs() * step > slack * (value.abs() + root) {
                return nearest;
            }
            let before = seen.iter().find(|(s, _)| (s - size).abs() <= 1e-12 * size);
            if let Some((_, rounded)) = before {
                return *rounded;
            }
            let other = self.choices.get(self.met).copied().unwrap_or(false);
            self.met += 1;
            let rounded = if other {
                2.0 * middle - nearest
            } else {
                nearest
            };
            seen.push((size, rounded));
            rounded
        };
        let rounded = values.iter().map(|v| (round(*v) * step(*v)).copysign(*v));
        rounded.collect()
    }
}

impl Rounding for Ties<'_> {
    fn cached(&mut self, values: &[f64]) -> Vec<f64> {
        if !self.rounding.half_cache {
            return values.to_vec();
        }
        let rounded = self.round(values, CACHE_SLACK, |v| {
            step_of(v, 11, f16::MIN_POSITIVE.to_f64())
        });
        rounded
            .iter()
            .for_each(|v| debug_assert_eq!(f16::from_f64(*v).to_f64(), *v));
        rounded
    }

    fn input(&mut self, values: &[f64]) -> Vec<f64> {
        match self.rounding.inputs {
            Inputs::AsTheyAre => values.to_vec(),
            Inputs::Bf16 => self.round(values, INPUT_SLACK, |v| {
                step_of(v, 8, f64::from(f32::MIN_POSITIVE))
            }),
            Inputs::Int8 => {
                let largest = values.iter().fold(1e-5f64, |a, v| a.max(v.abs()));
                self.round(values, INPUT_SLACK, |_| largest / 127.0)
            }
        }
    }
}

/// The distance of neighbours at `value`, of a format of so many significant bits.
fn step_of(value: f64, bits: i32, smallest_normal: f64) -> f64 {
    // The exponent alone is a power of two.
    let power = f64::from_bits(value.abs().max(smallest_normal).to_bits() & (0x7ff << 52));
    power * 2f64.powi(1 - bits)
}

/// Every combination of choices: `run` makes a token's choices and gives how many there were.
pub(crate) fn every_choice(mut run: impl FnMut(&[bool]) -> usize) {
    /// More than this and the seed of a model is badly chosen.
    const MOST: usize = 4096;
    let mut open = vec![Vec::new()];
    let mut runs = 0;
    while let Some(choices) = open.pop() {
        runs += 1;
        assert!(runs <= MOST, "more than {MOST} ways to round one token");
        let met = run(&choices);
        // The choices beyond those that were made were all "the nearest"; each of them can be the first that is not.
        for first in choices.len()..met {
            let mut other = choices.clone();
            other.resize(first, false);
            other.push(true);
            open.push(other);
        }
    }
}
