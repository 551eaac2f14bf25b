//! Choosing the largest of many values.

use std::cmp::Ordering;

/// A token and its logit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// The token.
    pub token: u32,
    /// Its logit.
    pub logit: f32,
}

/// Larger logits first, then smaller tokens: greedy sampling takes the first of equals.
fn order(a: &Candidate, b: &Candidate) -> Ordering {
    let by_logit = b.logit.partial_cmp(&a.logit).unwrap_or(Ordering::Equal);
    by_logit.then(a.token.cmp(&b.token))
}

/// The `k` largest of all logits, in order.
pub(super) fn top(logits: &[f32], k: usize) -> Vec<Candidate> {
    let mut largest = Largest::new(k);
    for (token, logit) in (0..).zip(logits) {
        largest.offer(token, *logit);
    }
    largest.sorted()
}

/// The `k` largest values offered so far. Of equal ones those of smaller tokens are kept.
#[derive(Debug)]
pub(super) struct Largest {
    k: usize,
    /// Unordered until it is full; then a heap with the least on top would do, but `k` is small and offers that get in are rare.
    kept: Vec<Candidate>,
}

impl Largest {
    pub(super) fn new(k: usize) -> Largest {
        Largest {
            k,
            kept: Vec::with_capacity(k + 1),
        }
    }

    /// Offers a value.
    #[inline]
    pub(super) fn offer(&mut self, token: u32, logit: f32) {
        let full = self.kept.len() == self.k;
        if !full || self.kept.last().is_some_and(|last| logit >= last.logit) {
            self.insert(Candidate { token, logit });
        }
    }

    fn insert(&mut self, candidate: Candidate) {
        let at = self
            .kept
            .partition_point(|kept| order(kept, &candidate).is_lt());
        self.kept.insert(at, candidate);
        self.kept.truncate(self.k);
    }

    /// The least value that is kept, once `k` are.
    pub(super) fn least(&self) -> Option<f32> {
        (self.kept.len() == self.k).then(|| self.kept.last().map(|last| last.logit))?
    }

    /// What was kept, largest first.
    pub(super) fn sorted(self) -> Vec<Candidate> {
        self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equals_comes_first() {
        let tokens = |k| {
            top(&[1.0, 3.0, 3.0, -0.0, 0.0, 3.0], k)
                .iter()
                .map(|c| c.token)
                .collect::<Vec<_>>()
        };
        assert_eq!(tokens(1), [1]);
        assert_eq!(tokens(2), [1, 2]);
        assert_eq!(tokens(5), [1, 2, 5, 0, 3], "-0 and 0 are equal");
        assert_eq!(tokens(9).len(), 6);
        assert!(tokens(0).is_empty());
    }
}
