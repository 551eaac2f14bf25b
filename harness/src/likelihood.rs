//! How well a model predicts a text: the negative log-likelihood of its tokens, and perplexity, which is the exponential of
//! their mean.
//!
//! The rule is that of llama.cpp's `llama-perplexity`, so that figures can be held against each other. The tokens of a text are
//! cut into chunks of as many as the context; what is left at the end is dropped. Each chunk is run from an empty cache, and
//! its first token is replaced by the token that begins a text where the model wants one. Only the second half of a chunk is
//! scored, so that each token is predicted from at least half a context: in a chunk of `n`, the tokens `n / 2 + 1` to `n - 1`,
//! counted from 0.

use bitbench_engine::session::{Session, SessionError};

/// Mean and spread of negative log-likelihoods, in nats.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Likelihood {
    count: u64,
    mean: f64,
    /// Sum of the squared differences from the mean.
    squares: f64,
}

impl Likelihood {
    /// Counts a token (the recurrence of Welford, which loses no digits to a large sum).
    #[expect(clippy::cast_precision_loss, reason = "tokens of a text")]
    pub fn add(&mut self, nats: f64) {
        self.count += 1;
        let before = nats - self.mean;
        self.mean += before / self.count as f64;
        self.squares += before * (nats - self.mean);
    }

    /// Tokens that were counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Mean negative log-likelihood of a token.
    pub fn nats(&self) -> f64 {
        self.mean
    }

    /// Standard error of the mean, as if tokens were independent; nothing below two tokens.
    #[expect(clippy::cast_precision_loss, reason = "tokens of a text")]
    pub fn nats_error(&self) -> Option<f64> {
        let count = self.count as f64;
        (self.count > 1).then(|| (self.squares / count / (count - 1.0)).sqrt())
    }

    /// The exponential of the mean.
    pub fn perplexity(&self) -> f64 {
        self.mean.exp()
    }

    /// Standard error of the perplexity, to first order.
    pub fn perplexity_error(&self) -> Option<f64> {
        Some(self.nats_error()? * self.perplexity())
    }
}

/// The negative log-likelihood of `token`: the logarithm of the softmax of its logit, in double precision.
///
/// # Panics
/// If there is no logit of this token.
pub fn nats(logits: impl Iterator<Item = f64> + Clone, token: u32) -> f64 {
    let largest = logits.clone().fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = logits.clone().map(|logit| (logit - largest).exp()).sum();
    let mut logits = logits;
    let own = logits
        .nth(token as usize)
        .expect("the vocabulary has this token");
    total.ln() - (own - largest)
}

/// Scores whole chunks of `context` tokens by the rule above; `told` hears the figure so far after each.
///
/// # Errors
/// See [`SessionError`].
pub fn score(
    session: &mut Session,
    tokens: &[u32],
    context: usize,
    bos: Option<u32>,
    mut told: impl FnMut(&Likelihood),
) -> Result<Likelihood, SessionError> {
    let mut likelihood = Likelihood::default();
    for chunk in tokens.chunks_exact(context) {
        // The last token is predicted and predicts nothing.
        let mut given = chunk[..context - 1].to_vec();
        if let (Some(first), Some(bos)) = (given.first_mut(), bos) {
            *first = bos;
        }
        session.truncate(0);
        session.run_each(&given, context / 2, |index, logits| {
            let logits = logits.iter().map(|logit| f64::from(*logit));
            likelihood.add(nats(logits, chunk[index + 1]));
        })?;
        told(&likelihood);
    }
    Ok(likelihood)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_logits_make_every_token_as_likely() {
        for size in [1, 2, 512] {
            let logits = vec![-3.0; size];
            let got = nats(logits.iter().copied(), 0);
            assert!((got - f64::from(u32::try_from(size).unwrap()).ln()).abs() < 1e-12);
        }
        // Far apart, and beyond what an exponential holds.
        let logits = [2000.0, 0.0, 1999.0];
        assert!((nats(logits.into_iter(), 0) - (1.0 + (-1.0f64).exp()).ln()).abs() < 1e-12);
        assert!((nats(logits.into_iter(), 1) - 2_000.313_261_687_518).abs() < 1e-9);
    }

    #[test]
    fn mean_and_error_are_those_of_the_definition() {
        let values = [1.0, 2.0, 4.0, 1e6];
        let mut likelihood = Likelihood::default();
        assert_eq!(likelihood.nats_error(), None);
        values.iter().for_each(|v| likelihood.add(*v));
        let mean = values.iter().sum::<f64>() / 4.0;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 4.0;
        assert_eq!(likelihood.count(), 4);
        assert!((likelihood.nats() / mean - 1.0).abs() < 1e-12);
        let error = likelihood.nats_error().unwrap();
        assert!((error / (variance / 3.0).sqrt() - 1.0).abs() < 1e-12);
    }
}
