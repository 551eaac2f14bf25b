//! The tokens of a vocabulary: the bytes that each stands for, and the token of given bytes.

use std::collections::HashMap;

use super::TokenizerError;
use super::byte_level::ByteTable;
use super::gguf::Source;

/// Kinds of token (`tokenizer.ggml.token_type`, ggml `docs/gguf.md`).
pub(super) const NORMAL: u8 = 1;
pub(super) const UNKNOWN: u8 = 2;
pub(super) const CONTROL: u8 = 3;
pub(super) const USER_DEFINED: u8 = 4;
pub(super) const BYTE: u8 = 6;

#[derive(Debug)]
pub(super) struct Vocabulary {
    /// The bytes of all tokens, one after the other.
    bytes: Vec<u8>,
    /// Where those of each token end.
    ends: Vec<u32>,
    kinds: Vec<u8>,
    /// By bytes; of two tokens with the same bytes the last that is not special, as in llama.cpp.
    ids: HashMap<Box<[u8]>, u32>,
    /// Tokens of a scored vocabulary that stand for a byte each, where it has no other token for a character.
    byte_tokens: Vec<(u8, u32)>,
}

impl Vocabulary {
    pub(super) fn read(source: &Source<'_>, byte_level: bool) -> Result<Self, TokenizerError> {
        let table = ByteTable::new();
        let mut vocabulary = Vocabulary {
            bytes: Vec::new(),
            ends: Vec::new(),
            kinds: kinds(source)?.unwrap_or_default(),
            ids: HashMap::new(),
            byte_tokens: Vec::new(),
        };
        let has_kinds = !vocabulary.kinds.is_empty();
        for text in source.strings("tokens")? {
            let text = std::str::from_utf8(text).map_err(|_| {
                source.damaged(format!("token {} is not UTF-8", vocabulary.ends.len()))
            })?;
            if !has_kinds {
                vocabulary.kinds.push(NORMAL);
            }
            vocabulary.push(text, byte_level.then_some(&table), source)?;
        }
        if vocabulary.ends.len() != vocabulary.kinds.len() {
            return Err(source.damaged(format!(
                "{} tokens, but {} entries in tokenizer.ggml.token_type",
                vocabulary.ends.len(),
                vocabulary.kinds.len()
            )));
        }
        Ok(vocabulary)
    }

    fn push(
        &mut self,
        text: &str,
        table: Option<&ByteTable>,
        source: &Source<'_>,
    ) -> Result<(), TokenizerError> {
        let start = self.bytes.len();
        let too_many = |_| source.damaged("more tokens than can be numbered");
        let id = u32::try_from(self.ends.len()).map_err(too_many)?;
        let kind = self.kinds.get(self.ends.len()).copied().unwrap_or(NORMAL);
        let byte = (kind == BYTE && table.is_none())
            .then(|| parse_byte(text))
            .flatten();
        match (byte, table) {
            (Some(byte), _) => {
                self.bytes.push(byte);
                self.byte_tokens.push((byte, id));
            }
            _ if is_special(kind) => self.bytes.extend(text.as_bytes()),
            (None, Some(table)) => table.decode(text, &mut self.bytes),
            (None, None) => self.bytes.extend(text.replace('\u{2581}', " ").as_bytes()),
        }
        self.ends
            .push(u32::try_from(self.bytes.len()).map_err(too_many)?);
        if byte.is_none() {
            let bytes = &self.bytes[start..];
            if is_special(kind) {
                self.ids.entry(bytes.into()).or_insert(id);
            } else {
                self.ids.insert(bytes.into(), id);
            }
        }
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// What a token stands for.
    pub(super) fn bytes(&self, token: u32) -> Option<&[u8]> {
        let at = usize::try_from(token).ok()?;
        let end = usize::try_from(*self.ends.get(at)?).ok()?;
        let start = match at.checked_sub(1) {
            Some(before) => usize::try_from(self.ends[before]).ok()?,
            None => 0,
        };
        self.bytes.get(start..end)
    }

    /// The token that stands for these bytes.
    pub(super) fn id(&self, bytes: &[u8]) -> Option<u32> {
        self.ids.get(bytes).copied()
    }

    pub(super) fn is_special(&self, token: u32) -> bool {
        usize::try_from(token)
            .ok()
            .and_then(|at| self.kinds.get(at))
            .is_some_and(|kind| is_special(*kind))
    }

    /// The special tokens.
    pub(super) fn special(&self) -> impl Iterator<Item = (u32, &[u8])> {
        (0..)
            .zip(&self.kinds)
            .filter(|(_, kind)| is_special(**kind))
            .filter_map(|(id, _)| Some((id, self.bytes(id)?)))
    }

    pub(super) fn byte_tokens(&self) -> &[(u8, u32)] {
        &self.byte_tokens
    }
}

/// Whether a text with this token's text in it has this token there, whatever is around it.
fn is_special(kind: u8) -> bool {
    matches!(kind, CONTROL | USER_DEFINED | UNKNOWN)
}

/// The byte that `<0x41>` stands for.
pub(super) fn parse_byte(text: &str) -> Option<u8> {
    let hex = text.strip_prefix("<0x")?.strip_suffix('>')?;
    u8::from_str_radix(hex, 16).ok().filter(|_| hex.len() == 2)
}

fn kinds(source: &Source<'_>) -> Result<Option<Vec<u8>>, TokenizerError> {
    let Some(value) = source.get("token_type") else {
        return Ok(None);
    };
    value
        .as_array()
        .and_then(|array| {
            array
                .numbers()?
                .map(|number| u8::try_from(number.as_u64()?).ok())
                .collect::<Option<Vec<u8>>>()
        })
        .map(Some)
        .ok_or_else(|| source.damaged("tokenizer.ggml.token_type is no list of small integers"))
}
