//! SentencePiece's BPE: characters are joined to the token of the highest score, and what has no token becomes bytes
//! (Kudo and Richardson, arXiv 1808.06226).

use super::TokenizerError;
use super::bpe::{self, Symbol};
use super::gguf::Source;
use super::vocabulary::Vocabulary;

#[derive(Debug)]
pub(super) struct Scored {
    /// For each token, its place among scores: the higher the score, the lower.
    keys: Vec<u32>,
    bytes: Box<[Option<u32>; 256]>,
    unknown: Option<u32>,
    /// Whether a text gets a space before it.
    pub(super) space_prefix: bool,
}

impl Scored {
    pub(super) fn read(
        source: &Source<'_>,
        vocabulary: &Vocabulary,
    ) -> Result<Self, TokenizerError> {
        let keys: Vec<u32> = source
            .get("scores")
            .and_then(|value| value.as_array())
            .and_then(|array| {
                array
                    .numbers()?
                    .map(|score| score.as_f32().map(key))
                    .collect()
            })
            .ok_or_else(|| {
                source.damaged("tokenizer.ggml.scores is not there, or no list of numbers")
            })?;
        if keys.len() != vocabulary.len() {
            return Err(source.damaged(format!(
                "{} tokens, but {} scores",
                vocabulary.len(),
                keys.len()
            )));
        }
        let mut bytes = Box::new([None; 256]);
        for (byte, token) in vocabulary.byte_tokens() {
            bytes[usize::from(*byte)].get_or_insert(*token);
        }
        Ok(Scored {
            keys,
            bytes,
            unknown: source.token("unknown_token_id", vocabulary)?,
            // Default in llama.cpp for this kind of vocabulary.
            space_prefix: source.flag("add_space_prefix")?.unwrap_or(true),
        })
    }

    pub(super) fn encode(
        &self,
        text: &str,
        vocabulary: &Vocabulary,
        tokens: &mut Vec<u32>,
    ) -> Result<(), TokenizerError> {
        let prefix = if self.space_prefix { " " } else { "" };
        // The vocabulary writes U+2581 for a space, so it has no token for that character itself.
        let text = format!("{prefix}{}", text.replace('\u{2581}', " "));
        let token = |start: usize, end: usize| vocabulary.id(text.as_bytes().get(start..end)?);
        let mut symbols: Vec<Symbol> = text
            .char_indices()
            .map(|(at, character)| {
                let end = at + character.len_utf8();
                Symbol::new(at, end, token(at, end))
            })
            .collect();
        let join = |left: &Symbol, right: &Symbol| {
            let joined = token(left.start, right.end)?;
            Some((*self.keys.get(usize::try_from(joined).ok()?)?, joined))
        };
        bpe::merge(&mut symbols, join, |symbol| {
            if let Some(token) = symbol.token {
                tokens.push(token);
                return Ok(());
            }
            for byte in &text.as_bytes()[symbol.start..symbol.end] {
                let token = self.bytes[usize::from(*byte)].or(self.unknown);
                tokens.push(token.ok_or(TokenizerError::NoToken { byte: *byte })?);
            }
            Ok(())
        })
    }
}

/// A number that is the lower the higher the score, in the order of [`f32::total_cmp`].
fn key(score: f32) -> u32 {
    let bits = score.to_bits();
    let ascending = if bits >> 31 == 0 {
        bits | 1 << 31
    } else {
        !bits
    };
    !ascending
}
