//! Every kernel variant on one model against an oracle that shares no code with any of them.
//!
//! A ternary variant promises the bits of the definition, so two things are asked of it: that its logits are those of the
//! portable variant bit for bit, and that these are near the oracle's. Near, not equal: the oracle computes in double precision,
//! and a value that stands between two int8 neighbours can go to another one there. What such steps can do is known from the
//! model itself: rounding inputs to int8 moves the logits of the oracle by some distance, and the engine, which rounds nearly
//! all values alike, must be nearer to the rounded answer than that. A half-precision variant promises a small distance.

use crate::likelihood::{Likelihood, nats};
use bitbench_engine::cpu::Cpu;
use bitbench_engine::kernels::{self, Agreement, Family, KernelVariant, VARIANTS};
use bitbench_engine::model::Model;
use bitbench_engine::network::{Network, PackFailure};
use bitbench_engine::oracle::{Inputs, Nearest, Oracle};
use bitbench_engine::session::{Session, SessionError};
use serde::Serialize;
use std::sync::Arc;

/// Relative L2 distance from the answer in double precision that a half-precision variant may have: it adds in single precision,
/// in another order, and keeps keys and values in half precision.
pub const HALF_TOLERANCE: f64 = 1e-3;
/// The same where a variant rounds activations to bfloat16.
pub const BF16_TOLERANCE: f64 = 2e-2;

/// What the oracle says of some tokens.
pub struct Expected<'m> {
    model: &'m Model,
    tokens: Vec<u32>,
    /// `[tokens][vocab]`
    plain: Vec<f64>,
    /// The same where inputs of linear layers are rounded to int8; of a ternary model alone.
    rounded: Option<Vec<f64>>,
    /// Logits of the portable ternary variant, `[tokens][vocab]`.
    portable: Option<Vec<f32>>,
}

/// What was found about one variant.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "status")]
pub enum Finding {
    /// It ran.
    Ran(Measured),
    /// It cannot run here, or not with these weights.
    Skipped {
        /// Why.
        reason: String,
    },
    /// It ran, and gave logits that are no numbers.
    Failed {
        /// What was seen.
        reason: String,
    },
}

impl Finding {
    /// Whether the variant is not what it promises.
    pub fn broken(&self) -> bool {
        match self {
            Finding::Ran(measured) => !measured.holds,
            Finding::Skipped { .. } => false,
            Finding::Failed { .. } => true,
        }
    }
}

/// How a variant's answer stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measured {
    /// Whether its logits are those of the portable variant bit for bit; of ternary variants alone.
    pub same_bits: Option<bool>,
    /// Largest difference of a logit from the oracle's.
    pub largest_error: f64,
    /// Relative L2 distance from the oracle's logits.
    pub distance: f64,
    /// Largest relative L2 distance that it may have.
    pub allowed: f64,
    /// Tokens after which it chooses the token that the oracle chooses.
    pub same_greedy: usize,
    /// Where they part, by how much the oracle prefers its own choice, at most: a near tie may go either way.
    pub widest_margin: Option<f64>,
    /// Perplexity of the tokens, each predicted from all before it.
    pub perplexity: f64,
    /// Whether it is what it promises.
    pub holds: bool,
}

impl<'m> Expected<'m> {
    /// Asks the oracle, and the portable variant where the model is ternary.
    ///
    /// # Errors
    /// [`VerifyError`] where the portable variant cannot run.
    pub fn of(
        model: &'m Model,
        ternary: bool,
        tokens: Vec<u32>,
        threads: usize,
    ) -> Result<Expected<'m>, VerifyError> {
        let oracle = Oracle::new(model);
        let ask = |inputs| {
            let mut rounding = Nearest::as_engine(inputs);
            oracle.logits(&tokens, &mut oracle.empty(), &mut rounding)
        };
        let (plain, rounded) = (ask(Inputs::AsTheyAre), ternary.then(|| ask(Inputs::Int8)));
        let portable = kernels::best(Family::I2s, &Cpu::scalar());
        let portable = match ternary {
            true => Some(logits(model, portable, &Cpu::detect(), &tokens, threads)?),
            false => None,
        };
        Ok(Expected {
            model,
            tokens,
            plain,
            rounded,
            portable,
        })
    }

    /// How far rounding the inputs of linear layers to int8 moves the oracle's logits; nothing for a model that is not ternary.
    pub fn cost_of_int8(&self) -> Option<f64> {
        let rounded = self.rounded.as_ref()?;
        Some(distance(&self.plain, rounded))
    }

    /// The oracle's own perplexity, with the rounding of the definition.
    pub fn perplexity(&self) -> f64 {
        let logits = self.rounded.as_ref().unwrap_or(&self.plain);
        perplexity(logits, &self.tokens)
    }

    /// Runs one variant and holds its answer against the oracle's.
    ///
    /// # Errors
    /// [`VerifyError`] where it should run and does not.
    pub fn find(
        &self,
        variant: &'static KernelVariant,
        not_ternary: Option<&str>,
        threads: usize,
    ) -> Result<Finding, VerifyError> {
        let cpu = Cpu::detect();
        let skipped = |reason: String| Ok(Finding::Skipped { reason });
        if let Err(missing) = cpu.require(variant.requires) {
            return skipped(missing.to_string());
        }
        if let Some(reason) = not_ternary.filter(|_| variant.family.is_ternary()) {
            return skipped(reason.to_owned());
        }
        match logits(self.model, variant, &cpu, &self.tokens, threads) {
            Ok(got) => Ok(Finding::Ran(self.hold(variant.agreement, &got))),
            // The portable variant gave numbers, or the oracle did: it is not the weights.
            Err(VerifyError::Session(e @ SessionError::NotFinite)) => Ok(Finding::Failed {
                reason: e.to_string(),
            }),
            Err(error) => Err(error),
        }
    }

    /// Holds logits, `[tokens][vocab]`, against the oracle's.
    fn hold(&self, agreement: Agreement, got: &[f32]) -> Measured {
        let (expected, allowed) = match agreement {
            Agreement::Exact => (
                self.rounded.as_ref().unwrap_or(&self.plain),
                self.cost_of_int8().unwrap_or(HALF_TOLERANCE),
            ),
            Agreement::Rounding(_) => (&self.plain, HALF_TOLERANCE),
            Agreement::RoundedToBf16(_) => (&self.plain, BF16_TOLERANCE),
        };
        let same_bits = match (agreement, &self.portable) {
            (Agreement::Exact, Some(portable)) => Some(
                got.iter()
                    .zip(portable)
                    .all(|(a, b)| a.to_bits() == b.to_bits()),
            ),
            _ => None,
        };
        let got: Vec<f64> = got.iter().map(|v| f64::from(*v)).collect();
        let errors = got.iter().zip(expected).map(|(g, e)| (g - e).abs());
        let distance = distance(&got, expected);
        let vocab = self.model.config.vocab;
        let choices = got.chunks_exact(vocab).zip(expected.chunks_exact(vocab));
        let margins = choices.map(|(got, expected)| {
            let (own, chosen) = (largest(expected), largest(got));
            (own != chosen).then(|| expected[own] - expected[chosen])
        });
        let margins: Vec<Option<f64>> = margins.collect();
        let holds = distance <= allowed && same_bits != Some(false);
        Measured {
            same_bits,
            largest_error: errors.fold(0.0, f64::max),
            distance,
            allowed,
            same_greedy: margins.iter().filter(|margin| margin.is_none()).count(),
            widest_margin: margins.into_iter().flatten().reduce(f64::max),
            perplexity: perplexity(&got, &self.tokens),
            holds,
        }
    }
}

/// A variant that should run and does not.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// Its weights cannot be packed.
    #[error(transparent)]
    Pack(#[from] PackFailure),
    /// The tokens cannot be run.
    #[error(transparent)]
    Session(#[from] SessionError),
}

/// Every variant, in the order of the list.
pub fn variants() -> impl Iterator<Item = &'static KernelVariant> {
    VARIANTS.iter().copied()
}

/// The logits of a variant after each token, `[tokens][vocab]`.
fn logits(
    model: &Model,
    variant: &'static KernelVariant,
    cpu: &Cpu,
    tokens: &[u32],
    threads: usize,
) -> Result<Vec<f32>, VerifyError> {
    let network = Network::pack(model, variant, cpu)?;
    let mut session = Session::new(Arc::new(network), threads, tokens.len())?;
    Ok(session.run_all(tokens)?)
}

/// Relative L2 distance; nothing is at a distance of nothing.
fn distance(got: &[f64], expected: &[f64]) -> f64 {
    let squares = got.iter().zip(expected).map(|(g, e)| (g - e).powi(2));
    let difference: f64 = squares.sum();
    let size: f64 = expected.iter().map(|e| e * e).sum();
    if difference == 0.0 {
        0.0
    } else {
        (difference / size).sqrt()
    }
}

/// The first of the largest.
fn largest(logits: &[f64]) -> usize {
    let better = |best: usize, next: usize| {
        if logits[next] > logits[best] {
            next
        } else {
            best
        }
    };
    (0..logits.len()).reduce(better).unwrap_or(0)
}

/// Perplexity of tokens, each but the first predicted from all before it.
fn perplexity(logits: &[f64], tokens: &[u32]) -> f64 {
    let vocab = logits.len() / tokens.len();
    let mut likelihood = Likelihood::default();
    for (row, next) in logits.chunks_exact(vocab).zip(&tokens[1..]) {
        likelihood.add(nats(row.iter().copied(), *next));
    }
    likelihood.perplexity()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitbench_engine::model::{Architecture, Config, RopePairing};

    fn model() -> Model {
        let config = Config {
            architecture: Architecture::BitnetB158,
            vocab: 32,
            hidden: 64,
            ffn: 96,
            layers: 2,
            heads: 4,
            kv_heads: 2,
            head_dim: 16,
            rms_epsilon: 1e-5,
            rope_base: 10_000.0,
            rope_dims: 16,
            rope_pairing: RopePairing::Halves,
            rope_linear_factor: 1.0,
            context_length: 64,
        };
        Model::synthetic(&config, true, 3)
    }

    #[test]
    fn every_variant_that_runs_here_holds_and_others_say_why_not() {
        let model = model();
        let tokens: Vec<u32> = (0..12).map(|i| i * 7 % 32).collect();
        let expected = Expected::of(&model, true, tokens, 2).unwrap();
        let cpu = Cpu::detect();
        for variant in variants() {
            match expected.find(variant, None, 1).unwrap() {
                Finding::Ran(found) => {
                    assert!(found.holds, "{}: {found:?}", variant.name);
                    let exact = variant.agreement == Agreement::Exact;
                    assert_eq!(found.same_bits, exact.then_some(true), "{}", variant.name);
                    assert!((found.perplexity / expected.perplexity() - 1.0).abs() < 0.1);
                }
                Finding::Failed { reason } => panic!("{}: {reason}", variant.name),
                Finding::Skipped { reason } => {
                    assert!(cpu.require(variant.requires).is_err() && !reason.is_empty());
                }
            }
        }
        let not = expected.find(variants().next().unwrap(), Some("dense"), 1);
        assert!(matches!(not.unwrap(), Finding::Skipped { .. }));
    }

    #[test]
    fn one_wrong_bit_is_not_lossless_and_a_wrong_layer_is_far_off() {
        let model = model();
        let expected = Expected::of(&model, true, vec![1, 2, 3, 4], 1).unwrap();
        let portable = expected.portable.clone().unwrap();
        let right = expected.hold(Agreement::Exact, &portable);
        assert!(right.holds, "{right:?}");
        assert_eq!((right.same_greedy, right.widest_margin), (4, None));
        let mut bit = portable.clone();
        bit[40] = f32::from_bits(bit[40].to_bits() ^ 1);
        let wrong = expected.hold(Agreement::Exact, &bit);
        assert_eq!((wrong.same_bits, wrong.holds), (Some(false), false));
        // The same wrong answer from everyone: only the oracle shows it.
        let mut model_of_others = Expected::of(&model, true, vec![1, 2, 3, 4], 1).unwrap();
        let turned: Vec<f32> = portable.iter().map(|v| -v).collect();
        model_of_others.portable = Some(turned.clone());
        let wrong = model_of_others.hold(Agreement::Exact, &turned);
        assert_eq!((wrong.same_bits, wrong.holds), (Some(true), false));
        assert!(wrong.widest_margin.is_some_and(|margin| margin > 0.0));
        // What is no number is at no distance that is allowed.
        let wrong = expected.hold(Agreement::Rounding(2.0), &vec![f32::NAN; portable.len()]);
        assert!(!wrong.holds, "{wrong:?}");
    }
}
