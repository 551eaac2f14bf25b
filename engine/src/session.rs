//! A network with the state of one sequence: positions so far, threads, working memory.

use crate::activations::Activations;
use crate::forward::{Buffers, Workspace, forward};
use crate::heads::{Candidate, HeadWork, NotFinite, Team};
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
    head: HeadWork,
    head_bytes: u64,
    cache: KvCache,
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
            head: HeadWork::new(),
            head_bytes: 0,
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
        self.check(tokens)?;
        for batch in tokens.chunks(PREFILL_BATCH) {
            forward(&self.network, &mut self.work, &mut self.cache, batch);
        }
        Ok(())
    }

    /// The logits after the last token that was run, `[vocab]`.
    ///
    /// # Errors
    /// [`SessionError::NotFinite`]; [`SessionError::NoTokens`] where none was run.
    pub fn logits(&mut self) -> Result<&[f32], SessionError> {
        let hidden = self.last_hidden()?;
        self.head_logits(hidden)?;
        Ok(self.head.logits())
    }

    /// The token with the largest logit after the last token that was run, the first of equals.
    ///
    /// # Errors
    /// As [`Session::logits`].
    pub fn greedy(&mut self) -> Result<u32, SessionError> {
        let largest = self.top_k(1)?;
        Ok(largest.first().map_or(0, |candidate| candidate.token))
    }

    /// The `k` largest logits after the last token that was run, largest first, the first of equals before the others.
    ///
    /// # Errors
    /// As [`Session::logits`].
    pub fn top_k(&mut self, k: usize) -> Result<Vec<Candidate>, SessionError> {
        let from = self.last_hidden()?;
        let team = Team {
            pool: &self.work.pool,
            isa: self.work.isa,
        };
        let x = &self.work.buffers.x[from..];
        let (largest, bytes) = self.network.head.top(x, k, team, &mut self.head)?;
        self.head_bytes += bytes;
        Ok(largest)
    }

    /// Bytes of weights that the head has read so far, all tokens together: counted, not predicted, for with a head that rules
    /// tokens out they depend on what is run.
    pub fn head_bytes(&self) -> u64 {
        self.head_bytes
    }

    /// See [`HeadWork::rescored_rows`].
    pub fn rescored_rows(&self) -> [usize; 2] {
        self.head.rescored_rows()
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
            self.head_logits(0)?;
            all.extend_from_slice(self.head.logits());
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

    /// Where the state of the last token starts in the working memory.
    fn last_hidden(&self) -> Result<usize, SessionError> {
        let hidden = self.network.config().hidden;
        let end = self.work.buffers.x.len();
        end.checked_sub(hidden).ok_or(SessionError::NoTokens)
    }

    /// Logits of the tokens whose last norm starts at `from` in the working memory.
    fn head_logits(&mut self, from: usize) -> Result<(), SessionError> {
        let team = Team {
            pool: &self.work.pool,
            isa: self.work.isa,
        };
        let x = &self.work.buffers.x[from..];
        self.head_bytes += self.network.head.logits(x, team, &mut self.head);
        Ok(self.head.check_logits()?)
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
