//! The keys of a file that make its tokenizer.

use std::collections::HashSet;
use std::path::Path;

use super::merges;
use super::rules::{Method, Rule};
use crate::model::gguf::{Gguf, GgufFile};
use crate::tokenizer::json::{Library, Parts};
use crate::tokenizer::vocabulary::{BYTE, CONTROL, NORMAL, UNKNOWN, USER_DEFINED, parse_byte};
use crate::tokenizer::{Tokenizer, TokenizerError};

/// Kind of a place without a token.
const UNUSED: u8 = 5;
/// Score of a token that is never made of others, as llama.cpp's converter has it.
const LOWEST: f32 = -1000.0;

#[derive(Debug)]
pub(super) struct Contents {
    model: &'static str,
    pre: &'static str,
    tokens: Vec<String>,
    kinds: Vec<u8>,
    pieces: Pieces,
    /// Keys and tokens.
    ids: Vec<(&'static str, u32)>,
    add_bos: bool,
    add_eos: bool,
    chat_template: Option<String>,
}

/// How tokens are made of smaller ones.
#[derive(Debug)]
enum Pieces {
    Merges(Vec<String>),
    Scores {
        scores: Vec<f32>,
        space_prefix: bool,
    },
}

impl Contents {
    /// What a file says of this tokenizer, or why it cannot.
    pub(super) fn new(
        source: &Tokenizer,
        library: &Library,
        parts: &Parts,
        rule: &Rule,
        vocab: usize,
    ) -> Result<Contents, String> {
        let unknown = parts.unknown();
        let is_byte = matches!(rule.method, Method::Scored { .. }) && parts.has_bytes();
        let mut table = vec![None; vocab];
        for (text, id) in library.tokens() {
            let kind = match is_byte && parse_byte(&text).is_some() {
                true => BYTE,
                false => NORMAL,
            };
            put(&mut table, id, text, kind)?;
        }
        for (id, text, is_special) in library.added() {
            let kind = match is_special {
                _ if unknown == Some(text) => UNKNOWN,
                true => CONTROL,
                false => USER_DEFINED,
            };
            put(&mut table, id, text.to_owned(), kind)?;
        }
        let (tokens, kinds) = filled(table);
        let (model, pre, pieces) = match rule.method {
            Method::ByteLevel { pre } => {
                let lines = merges::lines(&parts.merges())?;
                ("gpt2", pre, Pieces::Merges(lines))
            }
            Method::Scored { space_prefix } => {
                let texts = tokens.iter().zip(&kinds);
                let texts: Vec<Option<&str>> = texts
                    .map(|(text, kind)| (*kind == NORMAL).then_some(text.as_str()))
                    .collect();
                let mut scores = merges::scores(&parts.merges(), &texts)?;
                for (score, kind) in scores.iter_mut().zip(&kinds) {
                    match *kind {
                        NORMAL => {}
                        UNUSED => *score = LOWEST,
                        _ => *score = 0.0,
                    }
                }
                let pieces = Pieces::Scores {
                    scores,
                    space_prefix,
                };
                ("llama", "default", pieces)
            }
        };
        let [before, after] = library.affixes();
        let (bos, add_bos) = end_of_text(source.bos, before, "before")?;
        let (eos, add_eos) = end_of_text(source.eos, after, "after")?;
        let unknown = unknown.and_then(|text| library.token(text));
        let ids = [
            ("bos_token_id", bos),
            ("eos_token_id", eos),
            ("unknown_token_id", unknown),
        ];
        let known = ids.into_iter().filter_map(|(key, id)| Some((key, id?)));
        Ok(Contents {
            model,
            pre,
            tokens,
            kinds,
            pieces,
            ids: known.collect(),
            add_bos,
            add_eos,
            chat_template: source.chat_template.clone(),
        })
    }

    /// Names more tokens that end a text.
    pub(super) fn add_ends(&mut self, tokens: &[u32]) -> Result<(), String> {
        let keys = ["eot_token_id", "eom_token_id"];
        if tokens.len() > keys.len() {
            return Err(format!(
                "it ends a text with more tokens than a file can name: {tokens:?} and others"
            ));
        }
        self.ids
            .extend(keys.into_iter().zip(tokens.iter().copied()));
        Ok(())
    }

    pub(super) fn add_to(&self, file: &mut GgufFile<'_>) {
        let key = |part: &str| format!("tokenizer.ggml.{part}");
        file.string(&key("model"), self.model);
        file.string(&key("pre"), self.pre);
        file.strings(&key("tokens"), self.tokens.iter().map(String::as_str));
        let kinds = self.kinds.iter().map(|kind| i32::from(*kind));
        file.i32s(&key("token_type"), kinds);
        match &self.pieces {
            Pieces::Merges(lines) => {
                file.strings(&key("merges"), lines.iter().map(String::as_str));
            }
            Pieces::Scores {
                scores,
                space_prefix,
            } => {
                file.f32s(&key("scores"), scores.iter().copied());
                file.bool(&key("add_space_prefix"), *space_prefix);
            }
        }
        for (part, id) in &self.ids {
            file.u32(&key(part), *id);
        }
        file.bool(&key("add_bos_token"), self.add_bos);
        file.bool(&key("add_eos_token"), self.add_eos);
        if let Some(template) = &self.chat_template {
            file.string("tokenizer.chat_template", template);
        }
    }

    /// The tokenizer that a reader finds in a file with these keys.
    pub(super) fn read_back(&self, path: &Path) -> Result<Tokenizer, TokenizerError> {
        let mut file = GgufFile::new();
        self.add_to(&mut file);
        let lost = |detail: String| TokenizerError::Inexpressible {
            path: path.to_owned(),
            detail,
        };
        let gguf = Gguf::from_bytes(path, file.without_tensors());
        let gguf = gguf.map_err(|error| lost(error.to_string()))?;
        let read = Tokenizer::from_gguf(&gguf)?;
        read.ok_or_else(|| lost("nothing was read back".into()))
    }
}

type Entry = Option<(String, u8)>;

/// Puts a token in its place.
fn put(table: &mut [Entry], id: u32, text: String, kind: u8) -> Result<(), String> {
    let rows = table.len();
    let place = usize::try_from(id).ok().and_then(|at| table.get_mut(at));
    let place = place
        .ok_or_else(|| format!("its token {id} has no row in the embedding, which has {rows}"))?;
    *place = Some((text, kind));
    Ok(())
}

/// The table with names for places that no token has: an embedding may have more rows than there are tokens.
fn filled(table: Vec<Entry>) -> (Vec<String>, Vec<u8>) {
    let known: HashSet<String> = table
        .iter()
        .flatten()
        .map(|(text, _)| text.clone())
        .collect();
    let entries = table.into_iter().enumerate().map(|(id, entry)| {
        entry.unwrap_or_else(|| {
            let mut name = format!("[PAD{id}]");
            while known.contains(&name) {
                name.push('_');
            }
            (name, UNUSED)
        })
    });
    entries.unzip()
}

/// The token at an end of every text, and whether it is put there.
fn end_of_text(named: Option<u32>, put: &[u32], side: &str) -> Result<(Option<u32>, bool), String> {
    match put {
        [] => Ok((named, false)),
        [token] if named.is_none_or(|named| named == *token) => Ok((Some(*token), true)),
        _ => Err(format!(
            "it puts the tokens {put:?} {side} every text, and a file can name one, which is {named:?}"
        )),
    }
}
