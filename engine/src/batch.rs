//! A network with the state of some sequences that go through it together: positions so far, threads, working memory.
//!
//! A step of decode reads all weights for one token of a sequence. With several sequences it reads them once for a token of
//! each, so that the same memory bandwidth gives more tokens.

use crate::activations::Activations;
use crate::forward::{Buffers, Part, Workspace, forward};
use crate::heads::{Candidate, HeadWork, Team};
use crate::kv_cache::KvCache;
use crate::network::Network;
use crate::ops::RopeTable;
use crate::session::SessionError;
use crate::threads::Pool;
use std::ops::Range;
use std::sync::{Arc, Mutex};

/// Tokens that go through the network together; a longer prompt goes in parts of this size. It bounds the working memory, and
/// the kernels are at their best well below it.
pub const PREFILL_BATCH: usize = 512;

/// Some sequences on a network, each at a position of its own.
///
/// With ternary weights the state of a sequence is the same bits in any company: alone, with others, and whatever goes
/// through as one batch. Half-precision layers and heads add up one token in another order than several, so there two answers
/// agree as far as single precision does.
#[derive(Debug)]
pub struct Batch {
    network: Arc<Network>,
    work: Workspace,
    head: HeadWork,
    head_bytes: u64,
    /// One for each sequence.
    caches: Vec<KvCache>,
    /// Output of the last norm for the last token of each sequence that ran, `[sequences that ran][hidden]`.
    last: Vec<f32>,
}

impl Batch {
    /// Empty sequences with room for `capacity` positions each, on `threads` threads.
    ///
    /// # Errors
    /// [`SessionError::NoThreads`] and [`SessionError::NoMemory`] if the system gives none; [`SessionError::ContextFull`] if the
    /// model was made for fewer positions.
    pub fn new(
        network: Arc<Network>,
        threads: usize,
        sequences: usize,
        capacity: usize,
    ) -> Result<Batch, SessionError> {
        let pool = Pool::new(threads).map_err(|e| SessionError::NoThreads {
            threads,
            reason: e.to_string(),
        })?;
        Batch::on(network, pool, sequences, capacity)
    }

    /// The same on threads that are there already.
    ///
    /// # Errors
    /// As [`Batch::new`].
    pub fn on(
        network: Arc<Network>,
        pool: Pool,
        sequences: usize,
        capacity: usize,
    ) -> Result<Batch, SessionError> {
        let config = network.config();
        if capacity > config.context_length {
            return Err(SessionError::ContextFull {
                positions: capacity,
                capacity: config.context_length,
            });
        }
        let work = Workspace {
            scratch: (0..pool.threads()).map(|_| Mutex::default()).collect(),
            pool,
            isa: network.isa,
            rope: RopeTable::new(config, network.rope_factors.as_deref()),
            activations: Activations::new(network.kernel().family.preparation()),
            buffers: Buffers::default(),
        };
        let cache = |_| {
            KvCache::new(config, capacity).map_err(|e| SessionError::NoMemory {
                positions: capacity,
                reason: e.to_string(),
            })
        };
        Ok(Batch {
            work,
            caches: (0..sequences).map(cache).collect::<Result<_, _>>()?,
            head: HeadWork::new(),
            head_bytes: 0,
            last: Vec::new(),
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

    /// Number of sequences.
    pub fn sequences(&self) -> usize {
        self.caches.len()
    }

    /// Positions of a sequence that hold a token.
    ///
    /// # Panics
    /// If there is no such sequence.
    pub fn positions(&self, sequence: usize) -> usize {
        self.caches[sequence].positions()
    }

    /// Forgets every position of a sequence from `positions` on.
    ///
    /// # Panics
    /// If there is no such sequence.
    pub fn truncate(&mut self, sequence: usize, positions: usize) {
        self.caches[sequence].truncate(positions);
    }

    /// Runs the next tokens of each sequence, without the head; one that gets none sits this step out.
    ///
    /// # Errors
    /// See [`SessionError`]; no sequence takes a position.
    ///
    /// # Panics
    /// If `tokens` are not those of all sequences.
    pub fn advance(&mut self, tokens: &[&[u32]]) -> Result<(), SessionError> {
        let mut left = self.begin(tokens)?;
        while self.pass(&mut left) {}
        Ok(())
    }

    /// The logits after the last tokens that were run, `[sequences that ran][vocab]`, in order.
    ///
    /// # Errors
    /// [`SessionError::NotFinite`]; [`SessionError::NoTokens`] where none was run.
    pub fn logits(&mut self) -> Result<&[f32], SessionError> {
        if self.last.is_empty() {
            return Err(SessionError::NoTokens);
        }
        let team = Team::of(&self.work);
        self.head_bytes += self.network.head.logits(&self.last, team, &mut self.head);
        self.head.check_logits()?;
        Ok(self.head.logits())
    }

    /// The token with the largest logit of each sequence that ran, in order, the first of equals.
    ///
    /// # Errors
    /// As [`Batch::logits`].
    pub fn greedy(&mut self) -> Result<Vec<u32>, SessionError> {
        let largest = self.top_k(1)?;
        let first = |of: &Vec<Candidate>| of.first().map_or(0, |candidate| candidate.token);
        Ok(largest.iter().map(first).collect())
    }

    /// The `k` largest logits of each sequence that ran, in order, largest first, the first of equals before the others.
    ///
    /// # Errors
    /// As [`Batch::logits`].
    pub fn top_k(&mut self, k: usize) -> Result<Vec<Vec<Candidate>>, SessionError> {
        if self.last.is_empty() {
            return Err(SessionError::NoTokens);
        }
        let team = Team::of(&self.work);
        let (largest, bytes) = self.network.head.top(&self.last, k, team, &mut self.head)?;
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

    /// Looks at the tokens before any is run, and forgets what ran last.
    ///
    /// # Errors
    /// See [`SessionError`].
    ///
    /// # Panics
    /// If `tokens` are not those of all sequences.
    pub(crate) fn begin<'t>(
        &mut self,
        tokens: &[&'t [u32]],
    ) -> Result<Vec<&'t [u32]>, SessionError> {
        assert_eq!(tokens.len(), self.caches.len(), "tokens of each sequence");
        if tokens.iter().all(|tokens| tokens.is_empty()) {
            return Err(SessionError::NoTokens);
        }
        let vocab = self.network.config().vocab;
        let mut all = tokens.iter().copied().flatten();
        if let Some(token) = all.find(|t| **t as usize >= vocab) {
            return Err(SessionError::TokenOutOfRange {
                token: *token,
                vocab,
            });
        }
        for (cache, tokens) in self.caches.iter().zip(tokens) {
            let (positions, capacity) = (cache.positions() + tokens.len(), cache.capacity());
            if positions > capacity {
                return Err(SessionError::ContextFull {
                    positions,
                    capacity,
                });
            }
        }
        self.last.clear();
        Ok(tokens.to_vec())
    }

    /// Takes as many tokens of `left` as go through the network together, the first sequences first, and runs them. Gives
    /// whether there were any.
    pub(crate) fn pass(&mut self, left: &mut [&[u32]]) -> bool {
        let mut room = PREFILL_BATCH;
        let mut parts = Vec::with_capacity(left.len());
        let mut ends = Vec::with_capacity(left.len());
        for (cache, left) in self.caches.iter_mut().zip(left) {
            let count = left.len().min(room);
            let Some(tokens) = left.split_off(..count).filter(|tokens| !tokens.is_empty()) else {
                continue;
            };
            room -= count;
            if left.is_empty() {
                ends.push(PREFILL_BATCH - room - 1);
            }
            parts.push(Part { cache, tokens });
        }
        if parts.is_empty() {
            return false;
        }
        forward(&self.network, &mut self.work, &mut parts);
        let hidden = self.network.config().hidden;
        for end in ends {
            let x = &self.work.buffers.x[end * hidden..][..hidden];
            self.last.extend_from_slice(x);
        }
        true
    }

    /// The states of all tokens of the last pass, after the last norm, `[tokens][hidden]`.
    pub(crate) fn states_of_pass(&self) -> &[f32] {
        &self.work.buffers.x
    }

    /// Computes the logits after some of the tokens of the last pass and gives them, `[tokens][vocab]`.
    ///
    /// # Errors
    /// [`SessionError::NotFinite`].
    pub(crate) fn logits_of_pass(&mut self, tokens: Range<usize>) -> Result<&[f32], SessionError> {
        let hidden = self.network.config().hidden;
        let x = &self.work.buffers.x[tokens.start * hidden..tokens.end * hidden];
        let team = Team::of(&self.work);
        self.head_bytes += self.network.head.logits(x, team, &mut self.head);
        self.head.check_logits()?;
        Ok(self.head.logits())
    }
}
