//! Byte-pair merging of one word: the pair that comes first by its key is joined, again and again (Sennrich et al. 2016).
//!
//! A heap of pairs and a list of symbols linked both ways, so a word of n symbols takes O(n log n), even one of a megabyte.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

const NONE: usize = usize::MAX;

/// A piece of a word: its bytes from `start` to `end`, and the token of them, if they have one.
#[derive(Clone, Copy)]
pub(super) struct Symbol {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) token: Option<u32>,
    previous: usize,
    next: usize,
}

impl Symbol {
    pub(super) fn new(start: usize, end: usize, token: Option<u32>) -> Self {
        Symbol {
            start,
            end,
            token,
            previous: NONE,
            next: NONE,
        }
    }
}

/// A pair that may be joined. Ordered by key, then from the left.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Pair {
    key: u32,
    left: usize,
    right: usize,
    end: usize,
    token: u32,
}

/// Joins symbols while `join(left, right)` gives a key (the lowest goes first) and a token for any neighbours; hands those
/// that remain to `each`, in order.
pub(super) fn merge<E>(
    symbols: &mut [Symbol],
    join: impl Fn(&Symbol, &Symbol) -> Option<(u32, u32)>,
    each: impl FnMut(&Symbol) -> Result<(), E>,
) -> Result<(), E> {
    let last = symbols.len().saturating_sub(1);
    for (at, symbol) in symbols.iter_mut().enumerate() {
        symbol.previous = at.checked_sub(1).unwrap_or(NONE);
        symbol.next = if at == last { NONE } else { at + 1 };
    }
    let pair = |symbols: &[Symbol], left: usize, right: usize| {
        let end = symbols[right].end;
        join(&symbols[left], &symbols[right]).map(|(key, token)| {
            Reverse(Pair {
                key,
                left,
                right,
                end,
                token,
            })
        })
    };
    let mut pairs: BinaryHeap<_> = (1..symbols.len())
        .filter_map(|right| pair(symbols, right - 1, right))
        .collect();
    while let Some(Reverse(best)) = pairs.pop() {
        let (left, right) = (best.left, best.right);
        // Either may have been joined to something else since. A joined right symbol is unlinked; a left one is too, and
        // has the length 0.
        let stale = symbols[left].start == symbols[left].end
            || symbols[left].next != right
            || symbols[right].end != best.end;
        if stale {
            continue;
        }
        let next = symbols[right].next;
        symbols[right].end = symbols[right].start;
        symbols[left].end = best.end;
        symbols[left].token = Some(best.token);
        symbols[left].next = next;
        if next != NONE {
            symbols[next].previous = left;
            pairs.extend(pair(symbols, left, next));
        }
        let previous = symbols[left].previous;
        if previous != NONE {
            pairs.extend(pair(symbols, previous, left));
        }
    }
    symbols
        .iter()
        .filter(|symbol| symbol.start != symbol.end)
        .try_for_each(each)
}
