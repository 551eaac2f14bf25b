//! The tokenizer in the metadata of a GGUF file: byte-level BPE with a list of merges (`tokenizer.ggml.model` `gpt2`), or
//! SentencePiece's BPE by scores with bytes for what has no token (`llama`).

use super::byte_level::ByteLevel;
use super::scored::Scored;
use super::special::SpecialTokens;
use super::vocabulary::Vocabulary;
use super::{END_TEXTS, Ends, Tokenizer, TokenizerError, Words, pre};
use crate::model::gguf::{Gguf, Value};

/// A vocabulary, and the way to join its pieces.
#[derive(Debug)]
pub(super) struct Native {
    vocabulary: Vocabulary,
    special: SpecialTokens,
    method: Method,
    add_bos: Option<u32>,
    add_eos: Option<u32>,
}

#[derive(Debug)]
enum Method {
    ByteLevel(ByteLevel),
    Scored(Scored),
}

/// Reads the tokenizer of an open file; none where the file has none.
pub(super) fn read(gguf: &Gguf) -> Result<Option<Tokenizer>, TokenizerError> {
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
    let special = SpecialTokens::of(&vocabulary);
    let named = [eos, token("eot_token_id")?, token("eom_token_id")?];
    let usual = END_TEXTS.iter().map(|text| special.id(text.as_bytes()));
    let ends = Ends::of(named.into_iter().chain(usual).flatten());
    let chat_template = source.chat_template()?;
    let native = Native {
        add_bos: bos.filter(|_| add_bos.unwrap_or(usual_bos)),
        add_eos: eos.filter(|_| add_eos),
        special,
        method,
        vocabulary,
    };
    Ok(Some(Tokenizer {
        words: Words::Native(Box::new(native)),
        bos,
        eos,
        ends,
        chat_template,
    }))
}

impl Native {
    pub(super) fn affixes(&self) -> [&[u32]; 2] {
        [self.add_bos.as_slice(), self.add_eos.as_slice()]
    }

    pub(super) fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        let mut tokens = Vec::with_capacity(text.len() / 3 + 2);
        let mut rest = text;
        while let Some((before, id, after)) = self.special.split(rest) {
            self.encode_plain(before, &mut tokens)?;
            tokens.push(id);
            rest = after;
        }
        self.encode_plain(rest, &mut tokens)?;
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

    pub(super) fn is_special(&self, token: u32) -> bool {
        self.vocabulary.is_special(token)
    }

    pub(super) fn token(&self, text: &str) -> Option<u32> {
        self.special
            .id(text.as_bytes())
            .or_else(|| self.vocabulary.id(text.as_bytes()))
    }

    pub(super) fn vocab(&self) -> usize {
        self.vocabulary.len()
    }

    /// The bytes of a token, but for a space that stands for the start of a text and no more.
    pub(super) fn bytes(&self, token: u32, at_start: bool) -> &[u8] {
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
pub(super) struct Source<'a> {
    gguf: &'a Gguf,
}

impl<'a> Source<'a> {
    pub(super) fn get(&self, key: &str) -> Option<Value<'a>> {
        self.gguf.get(&format!("tokenizer.ggml.{key}"))
    }

    pub(super) fn damaged(&self, detail: impl Into<String>) -> TokenizerError {
        TokenizerError::Damaged {
            path: self.gguf.path().to_owned(),
            detail: detail.into(),
        }
    }

    pub(super) fn unsupported(&self, detail: impl Into<String>) -> TokenizerError {
        TokenizerError::Unsupported {
            path: self.gguf.path().to_owned(),
            detail: detail.into(),
        }
    }

    pub(super) fn strings(
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

    fn chat_template(&self) -> Result<Option<String>, TokenizerError> {
        let key = "tokenizer.chat_template";
        match self.gguf.get(key) {
            None => Ok(None),
            Some(value) => match value.as_str() {
                Some(text) => Ok(Some(text.to_owned())),
                None => Err(self.damaged(format!("{key} is no string"))),
            },
        }
    }

    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>, TokenizerError> {
        match self.get(key) {
            None => Ok(None),
            Some(value) => match value.as_bool() {
                Some(flag) => Ok(Some(flag)),
                None => Err(self.damaged(format!("tokenizer.ggml.{key} is no truth value"))),
            },
        }
    }

    pub(super) fn token(
        &self,
        key: &str,
        vocabulary: &Vocabulary,
    ) -> Result<Option<u32>, TokenizerError> {
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
