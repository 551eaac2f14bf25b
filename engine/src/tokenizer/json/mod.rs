//! tokenizer.json, by the library that such files are made with.

mod guard;
mod parts;

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value;
use tokenizers::{NormalizedString, Normalizer, Tokenizer};

use super::TokenizerError;
use guard::{Affixes, Checked, Fault};
pub(super) use parts::Parts;

/// A character takes at most this many tokens, each of a byte; a text that ends in a broken one after more is meant to.
const LONGEST_CHARACTER: usize = 4;

/// The library, with a file that was checked.
#[derive(Debug)]
pub(super) struct Library {
    tokenizer: Tokenizer,
    affixes: Affixes,
}

impl Library {
    pub(super) fn read(path: &Path, bytes: &[u8]) -> Result<Library, TokenizerError> {
        let damaged = |detail: String| TokenizerError::Damaged {
            path: path.to_owned(),
            detail: detail.chars().take(300).collect(),
        };
        let checked: Checked = serde_json::from_slice(bytes).map_err(|e| damaged(e.to_string()))?;
        let affixes = checked.affixes().map_err(|fault| match fault {
            Fault::Damaged(detail) => damaged(detail),
            Fault::Unsupported(detail) => TokenizerError::Unsupported {
                path: path.to_owned(),
                detail,
            },
        })?;
        drop(checked);
        let mut tokenizer = Tokenizer::from_bytes(bytes).map_err(|e| damaged(e.to_string()))?;
        // A text is as long as it is, and its ends are put there here.
        tokenizer.with_padding(None);
        tokenizer
            .with_truncation(None)
            .map_err(|e| damaged(e.to_string()))?;
        tokenizer.with_post_processor(None::<tokenizers::PostProcessorWrapper>);
        Ok(Library { tokenizer, affixes })
    }

    pub(super) fn affixes(&self) -> [&[u32]; 2] {
        [&self.affixes.before, &self.affixes.after]
    }

    pub(super) fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        let encoded = self
            .tokenizer
            .encode_fast(text, false)
            .map_err(|error| TokenizerError::Library(error.to_string()))?;
        Ok(encoded.get_ids().to_vec())
    }

    pub(super) fn is_special(&self, token: u32) -> bool {
        let added = self.tokenizer.get_added_vocabulary();
        added
            .simple_id_to_token(token)
            .is_some_and(|text| added.is_special_token(&text))
    }

    pub(super) fn token(&self, text: &str) -> Option<u32> {
        self.tokenizer.token_to_id(text)
    }

    /// The tokens of the model, those that were added not among them.
    pub(super) fn tokens(&self) -> HashMap<String, u32> {
        self.tokenizer.get_vocab(false)
    }

    /// The tokens that are found in a text before it is split into words, with whether they are special.
    pub(super) fn added(&self) -> impl Iterator<Item = (u32, &str, bool)> {
        let added = self.tokenizer.get_added_vocabulary();
        let tokens = added.get_added_tokens_decoder().iter();
        tokens.map(|(id, token)| (*id, token.content.as_str(), token.special))
    }

    /// Whether a token is one of those.
    pub(super) fn is_added(&self, token: u32) -> bool {
        let added = self.tokenizer.get_added_vocabulary();
        added.get_added_tokens_decoder().contains_key(&token)
    }

    /// A text in the form that it is brought to first.
    pub(super) fn normalized(&self, text: &str) -> String {
        let mut normalized = NormalizedString::from(text);
        match self.tokenizer.get_normalizer() {
            // None of those that the guard lets through fails.
            Some(normalizer) if normalizer.normalize(&mut normalized).is_ok() => {
                normalized.get().to_owned()
            }
            _ => text.to_owned(),
        }
    }

    pub(super) fn vocab(&self) -> usize {
        self.tokenizer.get_vocab_size(true)
    }

    fn decode(&self, tokens: &[u32]) -> String {
        // Only a decoder that the guard let through fails, and none does.
        self.tokenizer.decode(tokens, false).unwrap_or_default()
    }
}

/// Text from tokens as they come. What a token adds may depend on the one before, so a few are kept.
#[derive(Debug)]
pub(super) struct Window<'a> {
    library: &'a Library,
    tokens: Vec<u32>,
    /// How many of them were shown.
    shown: usize,
}

impl<'a> Window<'a> {
    pub(super) fn new(library: &'a Library) -> Self {
        Window {
            library,
            tokens: Vec::new(),
            shown: 0,
        }
    }

    pub(super) fn push(&mut self, token: u32) -> String {
        self.tokens.push(token);
        let text = self.rest();
        let held = self.tokens.len() - self.shown;
        if text.ends_with(char::REPLACEMENT_CHARACTER) && held < LONGEST_CHARACTER {
            return String::new();
        }
        self.tokens.drain(..self.shown);
        self.shown = self.tokens.len();
        text
    }

    /// The text of the tokens that were not shown.
    pub(super) fn rest(&self) -> String {
        let (shown, new) = self.tokens.split_at(self.shown);
        let before = self.library.decode(shown);
        let all = self.library.decode(&self.tokens);
        match all.strip_prefix(&before) {
            Some(rest) => rest.to_owned(),
            None => self.library.decode(new),
        }
    }
}

/// The token with this text, which a settings file names in one of two ways.
pub(super) fn named(library: &Library, value: Option<&Value>) -> Option<u32> {
    let value = value?;
    let text = value.as_str().or_else(|| value.get("content")?.as_str());
    library.token(text?)
}
