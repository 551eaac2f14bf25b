//! Whether figures of two jobs differ: one rule for everything that decides.
//!
//! A figure is flagged when the exact sign-flip test of its pairs is significant at [`ALPHA`] after Holm's correction for all
//! figures that are judged together, and the ratio is further from 1 than the minimum effect: what is certain and too small to
//! matter is no finding.

use crate::paired::{Pair, Paired, logarithms};
use crate::stats::{Tail, holm, sign_flip};

/// Probability of flagging anything at all where nothing differs.
pub const ALPHA: f64 = 0.05;

/// Smallest difference that is flagged, as a share.
pub const MINIMUM_EFFECT: f64 = 0.02;

/// The paired figures of one kind, such as tokens/s at decode.
#[derive(Debug, Clone, PartialEq)]
pub struct Pairs {
    /// What they are figures of.
    pub what: &'static str,
    /// One pair for each round that both have.
    pub pairs: Vec<Pair>,
}

/// What became of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judged {
    /// What they are figures of.
    pub what: &'static str,
    /// The ratio.
    pub paired: Paired,
    /// Probability of pairs at least as far from 1 where nothing differs, after Holm's correction.
    pub p: f64,
    /// The smallest such probability that so many pairs and figures can have: where it is above [`ALPHA`], nothing can be
    /// flagged.
    pub smallest_p: f64,
    /// Whether the two differ.
    pub flagged: bool,
}

impl Judged {
    /// `decode 1.002 (0.99 to 1.01, 95 %)`, the range with so many decimals.
    pub fn in_words(&self, decimals: usize) -> String {
        let paired = &self.paired;
        format!(
            "{} {:.3} ({})",
            self.what,
            paired.estimate,
            paired.within(decimals)
        )
    }

    /// Whether there are enough rounds for a difference to be flagged, however large.
    pub fn decidable(&self) -> bool {
        self.smallest_p <= ALPHA
    }
}

/// Judges figures together. `seed` is that of the signs that are drawn where there are too many to try all.
///
/// # Errors
/// When there is no pair, or a figure is not positive.
pub fn judge(figures: &[Pairs], minimum_effect: f64, seed: u64) -> Result<Vec<Judged>, String> {
    let mut judged = Vec::new();
    for figure in figures {
        let paired = Paired::of(&figure.pairs, |ratio| ratio, seed)?;
        let test = sign_flip(&logarithms(&figure.pairs)?, Tail::Both, seed);
        let smallest = 2.0 * 0.5_f64.powi(i32::try_from(paired.n).unwrap_or(i32::MAX));
        judged.push(Judged {
            what: figure.what,
            paired,
            p: test.map_or(1.0, |test| test.p),
            smallest_p: (smallest * figures.len() as f64).min(1.0),
            flagged: false,
        });
    }
    let p_values: Vec<f64> = judged.iter().map(|judged| judged.p).collect();
    for (judged, p) in judged.iter_mut().zip(holm(&p_values)) {
        let effect = judged.paired.estimate.ln().abs();
        judged.p = p;
        judged.flagged = p <= ALPHA && effect >= (1.0 + minimum_effect).ln();
    }
    Ok(judged)
}
