//! Byte-level BPE (GPT-2): words are split by patterns, their bytes joined by a ranked list of merges.

use std::collections::HashMap;

use super::TokenizerError;
use super::bpe::{self, Symbol};
use super::gguf::Source;
use super::pre::{PreTokenizer, Splitter};
use super::vocabulary::Vocabulary;

#[derive(Debug)]
pub(super) struct ByteLevel {
    splitter: Splitter,
    /// The token of each byte alone.
    bytes: Box<[Option<u32>; 256]>,
    /// Rank and result of joining two tokens.
    merges: HashMap<(u32, u32), (u32, u32)>,
    /// Whether a word that is a token is that token, whatever the merges make of it.
    whole_words: bool,
}

impl ByteLevel {
    pub(super) fn read(
        source: &Source<'_>,
        vocabulary: &Vocabulary,
        pre: &PreTokenizer,
    ) -> Result<Self, TokenizerError> {
        let table = ByteTable::new();
        let mut merges = HashMap::new();
        let (mut left, mut right) = (Vec::new(), Vec::new());
        for (rank, merge) in (0..).zip(source.strings("merges")?) {
            let bad = |why| source.damaged(format!("merge {rank} {why}"));
            let merge = std::str::from_utf8(merge).map_err(|_| bad("is not UTF-8"))?;
            // A space cannot be in a token, since it has its own character; but one may come first in other vocabularies.
            let space = merge
                .char_indices()
                .skip(1)
                .find(|(_, character)| *character == ' ')
                .ok_or_else(|| bad("is not two tokens with a space between"))?;
            left.clear();
            right.clear();
            table.decode(&merge[..space.0], &mut left);
            table.decode(&merge[space.0 + 1..], &mut right);
            let ids = (vocabulary.id(&left), vocabulary.id(&right));
            left.extend(&right);
            let (Some(a), Some(b), Some(joined)) = (ids.0, ids.1, vocabulary.id(&left)) else {
                return Err(bad("has a part or a result that is no token"));
            };
            merges.entry((a, b)).or_insert((rank, joined));
        }
        Ok(ByteLevel {
            splitter: Splitter::new(pre)?,
            bytes: Box::new(std::array::from_fn(|byte| {
                vocabulary.id(&[u8::try_from(byte).ok()?])
            })),
            merges,
            whole_words: pre.whole_words,
        })
    }

    pub(super) fn encode(
        &self,
        text: &str,
        vocabulary: &Vocabulary,
        tokens: &mut Vec<u32>,
    ) -> Result<(), TokenizerError> {
        let mut symbols = Vec::new();
        self.splitter.split(text, &mut |word| {
            if self.whole_words
                && let Some(token) = vocabulary.id(word.as_bytes())
            {
                tokens.push(token);
                return Ok(());
            }
            symbols.clear();
            symbols.extend(
                word.bytes()
                    .enumerate()
                    .map(|(at, byte)| Symbol::new(at, at + 1, self.bytes[usize::from(byte)])),
            );
            let join = |left: &Symbol, right: &Symbol| {
                self.merges.get(&(left.token?, right.token?)).copied()
            };
            bpe::merge(&mut symbols, join, |symbol| {
                let byte = word.as_bytes()[symbol.start];
                tokens.push(symbol.token.ok_or(TokenizerError::NoToken { byte })?);
                Ok(())
            })
        })
    }
}

/// GPT-2's table of characters that stand for bytes, so that every sequence of bytes is printable text: the printable ones of
/// Latin-1 stand for themselves, the others, in order, for U+0100 and up.
pub(super) struct ByteTable {
    bytes: HashMap<char, u8>,
}

impl ByteTable {
    pub(super) fn new() -> Self {
        let mut next = 0x100;
        let bytes = (0..=255u8).map(|byte| {
            let character = match byte {
                b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff => char::from(byte),
                _ => {
                    next += 1;
                    char::from_u32(next - 1).unwrap_or_default()
                }
            };
            (character, byte)
        });
        ByteTable {
            bytes: bytes.collect(),
        }
    }

    /// Appends the bytes of a token; a token with any other character stands for its own text.
    pub(super) fn decode(&self, text: &str, out: &mut Vec<u8>) {
        let start = out.len();
        for character in text.chars() {
            match self.bytes.get(&character) {
                Some(byte) => out.push(*byte),
                None => {
                    out.truncate(start);
                    out.extend(text.as_bytes());
                    return;
                }
            }
        }
    }
}
