//! Which token `generate` takes: the most probable one, or one drawn by probability.

use bitbench_engine::session::{Session, SessionError};
use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::Rng;

/// How tokens are chosen.
#[derive(Debug)]
pub(super) enum Sampler {
    /// The most probable.
    Greedy,
    /// By probability at a temperature above zero.
    Random { temperature: f64, random: Pcg64Mcg },
}

impl Sampler {
    /// Temperature 0 is greedy.
    pub(super) fn new(temperature: f64, seed: u64) -> Sampler {
        if temperature > 0.0 {
            let random = Pcg64Mcg::new(u128::from(seed) << 2);
            Sampler::Random {
                temperature,
                random,
            }
        } else {
            Sampler::Greedy
        }
    }

    /// Runs tokens and chooses the one after them.
    pub(super) fn next(
        &mut self,
        session: &mut Session,
        tokens: &[u32],
    ) -> Result<u32, SessionError> {
        match self {
            Sampler::Greedy => session.run_greedy(tokens),
            Sampler::Random {
                temperature,
                random,
            } => {
                #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
                let place = (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
                Ok(draw(session.run(tokens)?, *temperature, place))
            }
        }
    }
}

/// The token at `place`, from 0 to 1, where all tokens lie side by side, each as wide as its probability.
fn draw(logits: &[f32], temperature: f64, place: f64) -> u32 {
    let largest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let weight = |logit: &f32| ((f64::from(*logit) - largest) / temperature).exp();
    let mut left = place * logits.iter().map(weight).sum::<f64>();
    let mut chosen = 0;
    for (token, logit) in (0..).zip(logits) {
        let weight = weight(logit);
        if weight > 0.0 {
            chosen = token;
            if left < weight {
                break;
            }
            left -= weight;
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::draw;

    #[test]
    fn tokens_are_as_wide_as_their_probability() {
        let logits = [0.0, 2.0f32.ln(), f32::NEG_INFINITY, 5.0f32.ln()];
        for (place, token) in [
            (0.0, 0),
            (0.12, 0),
            (0.13, 1),
            (0.37, 1),
            (0.38, 3),
            (0.999, 3),
        ] {
            assert_eq!(draw(&logits, 1.0, place), token, "{place}");
        }
        // The colder, the surer.
        assert_eq!(draw(&logits, 0.1, 0.01), 3);
        // Rounding may leave something past the end.
        assert_eq!(draw(&[0.0, f32::NEG_INFINITY], 1.0, 1.0), 0);
    }
}
