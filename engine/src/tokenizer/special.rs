//! Finding special tokens in text: the first there is, and the longest of those that begin at the same place.

use std::collections::{BTreeSet, HashMap};

use super::vocabulary::Vocabulary;

#[derive(Debug)]
pub(super) struct SpecialTokens {
    ids: HashMap<Box<[u8]>, u32>,
    /// Lengths of the texts that begin with each byte, longest first.
    lengths: Box<[Vec<usize>; 256]>,
}

impl SpecialTokens {
    pub(super) fn of(vocabulary: &Vocabulary) -> Self {
        let mut ids = HashMap::new();
        let mut lengths = vec![BTreeSet::new(); 256];
        for (id, text) in vocabulary.special() {
            let Some(first) = text.first() else { continue };
            lengths[usize::from(*first)].insert(text.len());
            ids.entry(text.into()).or_insert(id);
        }
        let lengths = |byte: usize| lengths[byte].iter().rev().copied().collect();
        SpecialTokens {
            ids,
            lengths: Box::new(std::array::from_fn(lengths)),
        }
    }

    pub(super) fn id(&self, text: &[u8]) -> Option<u32> {
        self.ids.get(text).copied()
    }

    /// Splits at the first special token: the text before it, the token, the text after it.
    pub(super) fn split<'a>(&self, text: &'a str) -> Option<(&'a str, u32, &'a str)> {
        let bytes = text.as_bytes();
        bytes.iter().enumerate().find_map(|(at, first)| {
            self.lengths[usize::from(*first)].iter().find_map(|len| {
                let end = at + len;
                let id = self.id(bytes.get(at..end)?)?;
                Some((text.get(..at)?, id, text.get(end..)?))
            })
        })
    }
}
