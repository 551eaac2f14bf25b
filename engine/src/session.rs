//! A network with the state of one sequence.

use crate::batch::Batch;
use crate::heads::{Candidate, NotFinite};
use crate::model::Pooling;
use crate::network::Network;
use crate::threads::Pool;
use std::sync::Arc;

/// Tokens whose logits [`Session::run_each`] holds at a time: some 16 MB for the largest vocabularies.
const HEAD_BLOCK: usize = 32;

/// Why tokens could not be run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// A token that the vocabulary does not have.
    #[error("token {token} is outside the vocabulary of {vocab}")]
    TokenOutOfRange {
        /// The token.
        token: u32,
        /// Tokens of the vocabulary.
        vocab: usize,
    },
    /// No token was given.
    #[error("no token to run")]
    NoTokens,
    /// More positions than the session has room for.
    #[error("{positions} positions do not fit in the {capacity} of this session")]
    ContextFull {
        /// Positions that would be taken.
        positions: usize,
        /// Positions there are.
        capacity: usize,
    },
    /// The system has no memory for the KV cache.
    #[error("no memory for a KV cache of {positions} positions: {reason}")]
    NoMemory {
        /// Positions asked for.
        positions: usize,
        /// What the system said.
        reason: String,
    },
    /// The network gave an infinity or NaN.
    #[error("the logits are not finite numbers: the weights are damaged or this kernel is wrong")]
    NotFinite,
    /// The system gave no threads.
    #[error("cannot start {threads} threads: {reason}")]
    NoThreads {
        /// Threads asked for.
        threads: usize,
        /// What the system said.
        reason: String,
    },
}

/// One sequence on a network: a [`Batch`] of one.
#[derive(Debug)]
pub struct Session {
    batch: Batch,
}

impl Session {
    /// A session with room for `capacity` positions on `threads` threads.
    ///
    /// # Errors
    /// [`SessionError::NoThreads`] and [`SessionError::NoMemory`] if the system gives none; [`SessionError::ContextFull`] if the
    /// model was made for fewer positions.
    pub fn new(
        network: Arc<Network>,
        threads: usize,
        capacity: usize,
    ) -> Result<Session, SessionError> {
        let batch = Batch::new(network, threads, 1, capacity)?;
        Ok(Session { batch })
    }

    /// The network.
    pub fn network(&self) -> &Network {
        self.batch.network()
    }

    /// The threads.
    pub fn pool(&self) -> &Pool {
        self.batch.pool()
    }

    /// Positions that hold a token.
    pub fn positions(&self) -> usize {
        self.batch.positions(0)
    }

    /// Forgets every position from `positions` on.
    pub fn truncate(&mut self, positions: usize) {
        self.batch.truncate(0, positions);
    }

    /// Runs tokens after those so far and gives the logits after the last one, `[vocab]`. One token is a decode step; more are
    /// a prompt, which goes through the network as a batch.
    ///
    /// # Errors
    /// See [`SessionError`]; no position is taken when tokens or room are at fault.
    pub fn run(&mut self, tokens: &[u32]) -> Result<&[f32], SessionError> {
        self.advance(tokens)?;
        self.logits()
    }

    /// Runs tokens after those so far and gives the token with the largest logit after the last one, the first of equals. It is
    /// [`greedy`] of [`Session::run`], and cheaper where the head can rule tokens out.
    ///
    /// # Errors
    /// See [`SessionError`]; no position is taken when tokens or room are at fault.
    pub fn run_greedy(&mut self, tokens: &[u32]) -> Result<u32, SessionError> {
        self.advance(tokens)?;
        self.greedy()
    }

    /// Runs tokens after those so far and gives the `k` largest logits after the last one, largest first, the first of equals
    /// before the others.
    ///
    /// # Errors
    /// See [`SessionError`]; no position is taken when tokens or room are at fault.
    pub fn run_top_k(&mut self, tokens: &[u32], k: usize) -> Result<Vec<Candidate>, SessionError> {
        self.advance(tokens)?;
        self.top_k(k)
    }

    /// Runs tokens after those so far, without the head.
    ///
    /// # Errors
    /// See [`SessionError`]; no position is taken.
    pub fn advance(&mut self, tokens: &[u32]) -> Result<(), SessionError> {
        self.batch.advance(&[tokens])
    }

    /// The logits after the last token that was run, `[vocab]`.
    ///
    /// # Errors
    /// [`SessionError::NotFinite`]; [`SessionError::NoTokens`] where none was run.
    pub fn logits(&mut self) -> Result<&[f32], SessionError> {
        self.batch.logits()
    }

    /// The token with the largest logit after the last token that was run, the first of equals.
    ///
    /// # Errors
    /// As [`Session::logits`].
    pub fn greedy(&mut self) -> Result<u32, SessionError> {
        Ok(self.batch.greedy()?.first().copied().unwrap_or(0))
    }

    /// The `k` largest logits after the last token that was run, largest first, the first of equals before the others.
    ///
    /// # Errors
    /// As [`Session::logits`].
    pub fn top_k(&mut self, k: usize) -> Result<Vec<Candidate>, SessionError> {
        Ok(self.batch.top_k(k)?.pop().unwrap_or_default())
    }

    /// See [`Batch::head_bytes`].
    pub fn head_bytes(&self) -> u64 {
        self.batch.head_bytes()
    }

    /// See [`Batch::rescored_rows`].
    pub fn rescored_rows(&self) -> [usize; 2] {
        self.batch.rescored_rows()
    }

    /// Runs tokens after those so far and gives the logits after each, `[tokens][vocab]`.
    ///
    /// # Errors
    /// See [`SessionError`]; no position is taken when tokens or room are at fault.
    pub fn run_all(&mut self, tokens: &[u32]) -> Result<Vec<f32>, SessionError> {
        let mut left = self.batch.begin(&[tokens])?;
        let mut all = Vec::with_capacity(tokens.len() * self.network().config().vocab);
        loop {
            let before = left[0].len();
            if !self.batch.pass(&mut left) {
                return Ok(all);
            }
            all.extend_from_slice(self.batch.logits_of_pass(0..before - left[0].len())?);
        }
    }

    /// Runs tokens after those so far and gives `each(index, logits)` the logits, `[vocab]`, after every token from index `from`
    /// on, in order. The head works on a few tokens at a time, so that the logits of a long text are never held together.
    ///
    /// # Errors
    /// See [`SessionError`]; no position is taken when tokens or room are at fault.
    pub fn run_each(
        &mut self,
        tokens: &[u32],
        from: usize,
        mut each: impl FnMut(usize, &[f32]),
    ) -> Result<(), SessionError> {
        let vocab = self.network().config().vocab;
        let mut left = self.batch.begin(&[tokens])?;
        let mut first = 0;
        loop {
            let before = left[0].len();
            if !self.batch.pass(&mut left) {
                return Ok(());
            }
            let count = before - left[0].len();
            for start in (from.saturating_sub(first).min(count)..count).step_by(HEAD_BLOCK) {
                let block = start..count.min(start + HEAD_BLOCK);
                let logits = self.batch.logits_of_pass(block.clone())?;
                for (index, row) in block.zip(logits.chunks_exact(vocab)) {
                    each(first + index, row);
                }
            }
            first += count;
        }
    }
}

impl Session {
    /// Runs tokens after those so far, without the head, and makes one vector of their states after the last norm: `[hidden]`,
    /// of length 1. It is what an embedding model is for.
    ///
    /// # Errors
    /// See [`SessionError`]; no position is taken when tokens or room are at fault.
    pub fn embed(&mut self, tokens: &[u32], pooling: Pooling) -> Result<Vec<f32>, SessionError> {
        let hidden = self.network().config().hidden;
        let mut left = self.batch.begin(&[tokens])?;
        let mut pooled = vec![0.0f64; hidden];
        while self.batch.pass(&mut left) {
            for state in self.batch.states_of_pass().chunks_exact(hidden) {
                if pooling == Pooling::Last {
                    pooled.fill(0.0);
                }
                for (pooled, state) in pooled.iter_mut().zip(state) {
                    *pooled += f64::from(*state);
                }
            }
        }
        // What a mean is divided by does not change its direction.
        let length = pooled.iter().map(|v| v * v).sum::<f64>().sqrt();
        if !(length.is_finite() && length > 0.0) {
            return Err(SessionError::NotFinite);
        }
        #[expect(clippy::cast_possible_truncation, reason = "nearest f32 is meant")]
        let unit = pooled.iter().map(|v| (v / length) as f32);
        Ok(unit.collect())
    }
}

impl From<NotFinite> for SessionError {
    fn from(_: NotFinite) -> Self {
        SessionError::NotFinite
    }
}

/// The token with the largest logit, the first of equals: greedy sampling.
///
/// # Panics
/// If there are no logits.
pub fn greedy(logits: &[f32]) -> u32 {
    const LANES: usize = 16;
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = logits.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, v) in lanes.iter_mut().zip(chunk) {
            *lane = larger(*lane, *v);
        }
    }
    let largest = lanes
        .iter()
        .chain(rest)
        .copied()
        .fold(f32::NEG_INFINITY, larger);
    // Where no logit is a number, or all are minus infinity, the first will do.
    let best = logits.iter().position(|v| *v == largest).unwrap_or(0);
    assert!(!logits.is_empty(), "a vocabulary has a token");
    u32::try_from(best).expect("a vocabulary has fewer than 2^32 tokens")
}
