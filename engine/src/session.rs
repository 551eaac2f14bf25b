//! A network with the state of one sequence: positions so far, threads, working memory.

use crate::activations::{Activations, Preparation};
use crate::forward::{Buffers, Workspace, forward, linear};
use crate::kv_cache::KvCache;
use crate::network::Network;
use crate::ops::RopeTable;
use crate::threads::Pool;
use std::sync::{Arc, Mutex};

/// Tokens of a prompt that go through the network together; a longer prompt goes in parts of this size. It bounds the
/// working memory, and the kernels are at their best well below it.
pub const PREFILL_BATCH: usize = 512;

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

/// One sequence on a network.
#[derive(Debug)]
pub struct Session {
    network: Arc<Network>,
    work: Workspace,
    head_activations: Activations,
    cache: KvCache,
    logits: Vec<f32>,
}

impl Session {
    /// A session with room for `capacity` positions on `threads` threads.
    ///
    /// # Errors
    /// [`SessionError::NoThreads`] and [`SessionError::NoMemory`] if the system gives none; [`SessionError::ContextFull`] if the model was made for fewer
    /// positions.
    pub fn new(
        network: Arc<Network>,
        threads: usize,
        capacity: usize,
    ) -> Result<Session, SessionError> {
        let config = network.config();
        if capacity > config.context_length {
            return Err(SessionError::ContextFull {
                positions: capacity,
                capacity: config.context_length,
            });
        }
        let pool = Pool::new(threads).map_err(|e| SessionError::NoThreads {
            threads,
            reason: e.to_string(),
        })?;
        let work = Workspace {
            scratch: (0..threads).map(|_| Mutex::default()).collect(),
            pool,
            isa: network.isa,
            rope: RopeTable::new(config, network.rope_factors.as_deref()),
            activations: Activations::new(network.kernel().family.preparation()),
            buffers: Buffers::default(),
        };
        let cache = KvCache::new(config, capacity).map_err(|e| SessionError::NoMemory {
            positions: capacity,
            reason: e.to_string(),
        })?;
        Ok(Session {
            work,
            cache,
            head_activations: Activations::new(Preparation::F32),
            logits: Vec::new(),
            network,
        })
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The threads.
    pub fn pool(&self) -> &Pool {
        &self.work.pool
    }

    /// Positions that hold a token.
    pub fn positions(&self) -> usize {
        self.cache.positions()
    }

    /// Forgets every position from `positions` on.
    pub fn truncate(&mut self, positions: usize) {
        self.cache.truncate(positions);
    }

    /// Runs tokens after those so far and gives the logits after the last one, `[vocab]`. One token is a decode step; more are
    /// a prompt, which goes through the network as a batch.
    ///
    /// # Errors
    /// See [`SessionError`]; no position is taken when tokens or room are at fault.
    pub fn run(&mut self, tokens: &[u32]) -> Result<&[f32], SessionError> {
        self.check(tokens)?;
        for batch in tokens.chunks(PREFILL_BATCH) {
            forward(&self.network, &mut self.work, &mut self.cache, batch);
        }
        let hidden = self.network.config().hidden;
        let last = self.work.buffers.x.len() - hidden;
        self.head(last)?;
        Ok(&self.logits)
    }

    /// Runs tokens after those so far and gives the logits after each, `[tokens][vocab]`.
    ///
    /// # Errors
    /// See [`SessionError`]; no position is taken when tokens or room are at fault.
    pub fn run_all(&mut self, tokens: &[u32]) -> Result<Vec<f32>, SessionError> {
        self.check(tokens)?;
        let mut all = Vec::with_capacity(tokens.len() * self.network.config().vocab);
        for batch in tokens.chunks(PREFILL_BATCH) {
            forward(&self.network, &mut self.work, &mut self.cache, batch);
            self.head(0)?;
            all.extend_from_slice(&self.logits);
        }
        Ok(all)
    }

    fn check(&self, tokens: &[u32]) -> Result<(), SessionError> {
        let vocab = self.network.config().vocab;
        if tokens.is_empty() {
            return Err(SessionError::NoTokens);
        }
        if let Some(token) = tokens.iter().find(|t| **t as usize >= vocab) {
            return Err(SessionError::TokenOutOfRange {
                token: *token,
                vocab,
            });
        }
        let (positions, capacity) = (self.cache.positions() + tokens.len(), self.cache.capacity());
        if positions > capacity {
            return Err(SessionError::ContextFull {
                positions,
                capacity,
            });
        }
        Ok(())
    }

    /// Logits of the tokens whose last norm starts at `from` in the working memory.
    fn head(&mut self, from: usize) -> Result<(), SessionError> {
        let config = self.network.config();
        let work = &self.work;
        let x = &work.buffers.x[from..];
        self.head_activations
            .prepare(x, config.hidden, &work.pool, work.isa);
        self.logits
            .resize(x.len() / config.hidden * config.vocab, 0.0);
        linear(
            &work.pool,
            &self.head_activations,
            &mut [(self.network.head(), &mut self.logits)],
        );
        if all_finite(&self.logits) {
            Ok(())
        } else {
            Err(SessionError::NotFinite)
        }
    }
}

/// Looks at many values at a time: a vocabulary has a hundred thousand.
fn all_finite(values: &[f32]) -> bool {
    let finite = |chunk: &[f32]| chunk.iter().fold(true, |all, v| all & v.is_finite());
    values.chunks(256).all(finite)
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
