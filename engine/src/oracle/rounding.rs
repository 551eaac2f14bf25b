//! The roundings that belong to the definition of a model and of its engine.

use half::{bf16, f16};

/// What linear layers do to their input first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Inputs {
    /// Nothing.
    AsTheyAre,
    /// Rounding to bfloat16.
    Bf16,
    /// BitLinear: int8, absmax for each token.
    Int8,
}

/// How values are rounded where the definition says so.
pub trait Rounding {
    /// The input of a linear layer, one token, as it is multiplied.
    fn input(&mut self, values: &[f64]) -> Vec<f64>;
    /// A key or a value of one token, all heads, as the cache keeps it.
    fn cached(&mut self, values: &[f64]) -> Vec<f64>;
}

/// Each value becomes its nearest neighbour, the even one of two.
#[derive(Debug, Clone, Copy)]
pub struct Nearest {
    /// What linear layers do to their input.
    pub inputs: Inputs,
    /// Whether keys and values are kept in half precision.
    pub half_cache: bool,
}

impl Nearest {
    /// The roundings of the engine, whose cache is in half precision.
    pub fn as_engine(inputs: Inputs) -> Nearest {
        Nearest {
            inputs,
            half_cache: true,
        }
    }
}

impl Rounding for Nearest {
    fn input(&mut self, values: &[f64]) -> Vec<f64> {
        match self.inputs {
            Inputs::AsTheyAre => values.to_vec(),
            Inputs::Bf16 => values.iter().map(|v| bf16::from_f64(*v).to_f64()).collect(),
            Inputs::Int8 => {
                // The smallest absmax of the reference implementation.
                let largest = values.iter().fold(1e-5f64, |a, v| a.max(v.abs()));
                let step = largest / 127.0;
                let round = |v: &f64| (v / step).round_ties_even() * step;
                values.iter().map(round).collect()
            }
        }
    }

    fn cached(&mut self, values: &[f64]) -> Vec<f64> {
        match self.half_cache {
            true => values.iter().map(|v| half(*v)).collect(),
            false => values.to_vec(),
        }
    }
}

/// In half precision, in the range of which the engine brings what it keeps so.
pub(super) fn half(value: f64) -> f64 {
    let largest = f16::MAX.to_f64();
    f16::from_f64(value.clamp(-largest, largest)).to_f64()
}
