//! Rotary position embedding (arXiv 2104.09864).

use crate::model::{Config, RopePairing};

/// Cosine and sine of each position and pair of dimensions; grows as positions are reached.
#[derive(Debug)]
pub(crate) struct RopeTable {
    /// Radians a position adds, for each pair.
    frequencies: Vec<f64>,
    pairing: RopePairing,
    head_dim: usize,
    /// `[position][pair]`
    cosines: Vec<f32>,
    /// `[position][pair]`
    sines: Vec<f32>,
}

impl RopeTable {
    /// The table of a network; `factors` divides the frequency of each pair, where a file carries such.
    pub(crate) fn new(config: &Config, factors: Option<&[f32]>) -> Self {
        let pairs = config.rope_dims / 2;
        #[expect(clippy::cast_precision_loss, reason = "small integers")]
        let frequency = |pair: usize| {
            let power = -2.0 * pair as f64 / config.rope_dims as f64;
            let factor = factors.map_or(1.0, |f| f64::from(f[pair]));
            f64::from(config.rope_base).powf(power) / f64::from(config.rope_linear_factor) / factor
        };
        RopeTable {
            frequencies: (0..pairs).map(frequency).collect(),
            pairing: config.rope_pairing,
            head_dim: config.head_dim,
            cosines: Vec::new(),
            sines: Vec::new(),
        }
    }

    /// Makes sure that positions below `end` can be turned.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "computed in double, kept in single precision"
    )]
    #[expect(clippy::cast_precision_loss, reason = "positions are far below 2^53")]
    pub(crate) fn reach(&mut self, end: usize) {
        let pairs = self.frequencies.len();
        let first = self.cosines.len().checked_div(pairs).unwrap_or(end);
        for position in first..end {
            for frequency in &self.frequencies {
                let angle = position as f64 * frequency;
                self.cosines.push(angle.cos() as f32);
                self.sines.push(angle.sin() as f32);
            }
        }
    }

    /// Turns every head of one token, shape `[heads][head_dim]`.
    #[inline(always)]
    pub(super) fn turn(&self, heads: &mut [f32], position: usize) {
        let pairs = self.frequencies.len();
        let cosines = &self.cosines[position * pairs..][..pairs];
        let sines = &self.sines[position * pairs..][..pairs];
        for head in heads.chunks_exact_mut(self.head_dim) {
            match self.pairing {
                RopePairing::Halves => {
                    let (low, high) = head[..2 * pairs].split_at_mut(pairs);
                    for (((a, b), cos), sin) in low.iter_mut().zip(high).zip(cosines).zip(sines) {
                        (*a, *b) = (*a * cos - *b * sin, *a * sin + *b * cos);
                    }
                }
                RopePairing::Adjacent => {
                    let (dims, _) = head[..2 * pairs].as_chunks_mut::<2>();
                    for (([a, b], cos), sin) in dims.iter_mut().zip(cosines).zip(sines) {
                        (*a, *b) = (*a * cos - *b * sin, *a * sin + *b * cos);
                    }
                }
            }
        }
    }
}
