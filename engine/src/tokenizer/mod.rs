//! Text to tokens and back, by the vocabulary that a GGUF file carries.
//!
//! Two kinds: byte-level BPE with a list of merges (`tokenizer.ggml.model` `gpt2`), and SentencePiece's BPE by scores with
//! bytes for what has no token (`llama`). Special tokens are recognised in text.

mod bpe;
mod byte_level;
mod pre;
mod scored;
mod special;
mod stream;
mod vocabulary;

use std::path::PathBuf;

use crate::model::gguf::{Gguf, Value};
use byte_level::ByteLevel;
use scored::Scored;
use special::SpecialTokens;
pub use stream::TextStream;
use vocabulary::Vocabulary;

/// Tokens at which generation ends, by the text they have in the vocabularies of the model families known, for files that
/// name no `eot_token_id`.
const END_TEXTS: [&str; 8] = [
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end_of_text|>",
    "<|endoftext|>",
    "<|im_end|>",
    "<|end|>",
    "<end_of_turn>",
    "</s>",
];

/// Why there is no tokenizer for a file, or no tokens for a text.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenizerError {
    /// The file lacks something or contradicts itself.
    #[error("{path}: damaged tokenizer: {detail}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// A kind of tokenizer that is not known here.
    #[error("{path}: {detail}")]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What it is, and what would be supported.
        detail: String,
    },
    /// The vocabulary has no token for a byte of the text.
    #[error("the vocabulary has no token for the byte {byte:#04x}, which the text has")]
    NoToken {
        /// The byte.
        byte: u8,
    },
    /// The pattern that splits a text into words failed on it.
    #[error("the text cannot be split into words: {0}")]
    Split(#[from] Box<fancy_regex::Error>),
}

/// The tokenizer of a model.
#[derive(Debug)]
pub struct Tokenizer {
    vocabulary: Vocabulary,
    special: SpecialTokens,
    method: Method,
    bos: Option<u32>,
    eos: Option<u32>,
    add_bos: bool,
    add_eos: bool,
    /// Sorted.
    ends: Vec<u32>,
}

#[derive(Debug)]
enum Method {
    ByteLevel(ByteLevel),
    Scored(Scored),
}

impl Tokenizer {
    /// Reads the tokenizer of an open file; none where the file has none.
    ///
    /// # Errors
    /// [`TokenizerError::Unsupported`] for another kind of tokenizer or an unknown way to split words, and
    /// [`TokenizerError::Damaged`] for metadata that contradicts itself.
    pub fn from_gguf(gguf: &Gguf) -> Result<Option<Tokenizer>, TokenizerError> {
        let source = Source { gguf };
        let Some(model) = gguf.get("tokenizer.ggml.model") else {
            return Ok(None);
        };
        let model = model
            .as_str()
            .ok_or_else(|| source.damaged("tokenizer.ggml.model is not a string"))?;
        let byte_level = match model {
            "no_vocab" | "none" => return Ok(None),
            "gpt2" => true,
            "llama" => false,
            _ => {
                return Err(source.unsupported(format!(
                    "the tokenizer {model} is not supported; supported are gpt2 and llama"
                )));
            }
        };
        let vocabulary = Vocabulary::read(&source, byte_level)?;
        let (method, usual_bos) = if byte_level {
            let pre = pre::of(&source)?;
            let method = ByteLevel::read(&source, &vocabulary, pre)?;
            (Method::ByteLevel(method), pre.add_bos)
        } else {
            (Method::Scored(Scored::read(&source, &vocabulary)?), true)
        };

        let token = |key: &str| source.token(key, &vocabulary);
        // Defaults of llama.cpp for this kind of vocabulary.
        let usual = |id: u32| (!byte_level && vocabulary.len() > 2).then_some(id);
        let bos = token("bos_token_id")?.or(usual(1));
        let eos = token("eos_token_id")?.or(usual(2));
        let add_bos = source.flag("add_bos_token")?;
        let add_eos = source.flag("add_eos_token")?.unwrap_or(false);
        if (add_bos == Some(true) && bos.is_none()) || (add_eos && eos.is_none()) {
            return Err(
                source.damaged("it wants BOS or EOS added, and does not say which token that is")
            );
        }
        let mut ends: Vec<u32> = [eos, token("eot_token_id")?, token("eom_token_id")?]
            .into_iter()
            .flatten()
            .collect();
        let special = SpecialTokens::of(&vocabulary);
        ends.extend(
            END_TEXTS
                .iter()
                .filter_map(|text| special.id(text.as_bytes())),
        );
        ends.sort_unstable();
        ends.dedup();
        Ok(Some(Tokenizer {
            add_bos: add_bos.unwrap_or(usual_bos && bos.is_some()),
            add_eos,
            bos,
            eos,
            ends,
            special,
            method,
            vocabulary,
        }))
    }

    /// The tokens of a text, with BOS and EOS where the file says so. Special tokens are recognised in the text.
    ///
    /// # Errors
    /// [`TokenizerError::NoToken`] where the vocabulary cannot express the text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        let mut tokens = Vec::with_capacity(text.len() / 3 + 2);
        tokens.extend(self.bos.filter(|_| self.add_bos));
        let mut rest = text;
        while let Some((before, id, after)) = self.special.split(rest) {
            self.encode_plain(before, &mut tokens)?;
            tokens.push(id);
            rest = after;
        }
        self.encode_plain(rest, &mut tokens)?;
        tokens.extend(self.eos.filter(|_| self.add_eos));
        Ok(tokens)
    }

    /// A text between special tokens.
    fn encode_plain(&self, text: &str, tokens: &mut Vec<u32>) -> Result<(), TokenizerError> {
        if text.is_empty() {
            return Ok(());
        }
        match &self.method {
            Method::ByteLevel(method) => method.encode(text, &self.vocabulary, tokens),
            Method::Scored(method) => method.encode(text, &self.vocabulary, tokens),
        }
    }

    /// The text of tokens, that of special tokens included. Bytes that are no UTF-8, and tokens beyond the vocabulary,
    /// become U+FFFD.
    pub fn decode(&self, tokens: &[u32]) -> String {
        let mut stream = self.stream();
        let mut text: String = tokens.iter().map(|token| stream.push(*token)).collect();
        text += &stream.finish();
        text
    }

    /// Decodes tokens as they come.
    pub fn stream(&self) -> TextStream<'_> {
        TextStream::new(self)
    }

    /// Whether generation ends with this token.
    pub fn is_end(&self, token: u32) -> bool {
        self.ends.binary_search(&token).is_ok()
    }

    /// Whether this token is a control token or another that stands for itself, not for a piece of text.
    pub fn is_special(&self, token: u32) -> bool {
        self.vocabulary.is_special(token)
    }

    /// The token of exactly this text, special or not.
    pub fn token(&self, text: &str) -> Option<u32> {
        self.special
            .id(text.as_bytes())
            .or_else(|| self.vocabulary.id(text.as_bytes()))
    }

    /// The token that begins a text, where the file names one.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// The token that ends a text, where the file names one.
    pub fn eos(&self) -> Option<u32> {
        self.eos
    }

    /// Tokens of the vocabulary.
    pub fn vocab(&self) -> usize {
        self.vocabulary.len()
    }

    /// The bytes of a token, and whether it had a space that stands for the start of a text and no more.
    fn bytes(&self, token: u32, at_start: bool) -> &[u8] {
        let bytes = self
            .vocabulary
            .bytes(token)
            .unwrap_or("\u{fffd}".as_bytes());
        match &self.method {
            Method::Scored(method) if at_start && method.space_prefix => {
                bytes.strip_prefix(b" ").unwrap_or(bytes)
            }
            _ => bytes,
        }
    }
}

/// The tokenizer's part of a file's metadata.
struct Source<'a> {
    gguf: &'a Gguf,
}

impl<'a> Source<'a> {
    fn get(&self, key: &str) -> Option<Value<'a>> {
        self.gguf.get(&format!("tokenizer.ggml.{key}"))
    }

    fn damaged(&self, detail: impl Into<String>) -> TokenizerError {
        TokenizerError::Damaged {
            path: self.gguf.path().to_owned(),
            detail: detail.into(),
        }
    }

    fn unsupported(&self, detail: impl Into<String>) -> TokenizerError {
        TokenizerError::Unsupported {
            path: self.gguf.path().to_owned(),
            detail: detail.into(),
        }
    }

    fn strings(
        &self,
        key: &str,
    ) -> Result<impl Iterator<Item = &'a [u8]> + use<'a>, TokenizerError> {
        self.get(key)
            .and_then(|value| value.as_array())
            .and_then(|array| array.strings())
            .ok_or_else(|| {
                self.damaged(format!(
                    "tokenizer.ggml.{key} is not there, or no list of strings"
                ))
            })
    }

    fn flag(&self, key: &str) -> Result<Option<bool>, TokenizerError> {
        match self.get(key) {
            None => Ok(None),
            Some(value) => match value.as_bool() {
                Some(flag) => Ok(Some(flag)),
                None => Err(self.damaged(format!("tokenizer.ggml.{key} is no truth value"))),
            },
        }
    }

    fn token(&self, key: &str, vocabulary: &Vocabulary) -> Result<Option<u32>, TokenizerError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        value
            .as_u64()
            .and_then(|id| u32::try_from(id).ok())
            .filter(|id| vocabulary.bytes(*id).is_some())
            .map(Some)
            .ok_or_else(|| {
                self.damaged(format!(
                    "tokenizer.ggml.{key} is {value:?}, and the vocabulary has {} tokens",
                    vocabulary.len()
                ))
            })
    }
}
