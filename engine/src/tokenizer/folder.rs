//! The tokenizer of a folder: tokenizer.json, and the files beside it that say which tokens begin and end a text and how a
//! conversation is written.

use std::io;
use std::path::Path;

use serde_json::{Map, Value};

use super::json::{Library, Parts, named};
use super::{END_TEXTS, Ends, Tokenizer, TokenizerError, Words};
use crate::model::huggingface::json::read_bytes;

/// That of the largest vocabularies has some 35 million bytes.
const LARGEST_TOKENIZER: u64 = 256 << 20;
/// Those known have a few thousand bytes; the tokens of Llama 3 are listed in 50 thousand.
const LARGEST_SETTINGS: u64 = 16 << 20;

pub(super) fn read(folder: &Path, path: &Path) -> Result<Tokenizer, TokenizerError> {
    let bytes = read_bytes(path, LARGEST_TOKENIZER).map_err(|error| damaged(path, &error))?;
    let library = Library::read(path, &bytes)?;
    drop(bytes);
    let settings = |name: &str| object(&folder.join(name));
    let tokenizer = settings("tokenizer_config.json")?;
    let generation = settings("generation_config.json")?;
    let config = settings("config.json")?;

    let bos = named(&library, tokenizer.get("bos_token"))
        .or_else(|| ids(config.get("bos_token_id")).next());
    // transformers ends where the generation settings say, and looks into the others where they say nothing.
    let mut ends: Vec<u32> = ids(generation.get("eos_token_id")).collect();
    if ends.is_empty() {
        ends.extend(ids(config.get("eos_token_id")));
    }
    let eos = named(&library, tokenizer.get("eos_token")).or_else(|| ends.first().copied());
    let usual = END_TEXTS.iter().filter_map(|text| library.token(text));
    ends.extend(usual.chain(eos));
    Ok(Tokenizer {
        chat_template: chat_template(folder, &tokenizer)?,
        words: Words::Json(Box::new(library)),
        bos,
        eos,
        ends: Ends::of(ends.into_iter()),
    })
}

/// Reads what the library does not tell of a file that it has read.
pub(super) fn parts(path: &Path) -> Result<Parts, TokenizerError> {
    let bytes = read_bytes(path, LARGEST_TOKENIZER).map_err(|error| damaged(path, &error))?;
    serde_json::from_slice(&bytes).map_err(|error| damaged(path, &error))
}

/// A file of its own, or a key of tokenizer_config.json: a text, or a list of named ones of which the default is meant.
fn chat_template(
    folder: &Path,
    settings: &Map<String, Value>,
) -> Result<Option<String>, TokenizerError> {
    let path = folder.join("chat_template.jinja");
    if path.exists() {
        let bytes = read_bytes(&path, LARGEST_SETTINGS).map_err(|error| damaged(&path, &error))?;
        let text = String::from_utf8(bytes).map_err(|error| damaged(&path, &error))?;
        return Ok(Some(text));
    }
    let is_default = |entry: &&Value| entry.get("name").and_then(Value::as_str) == Some("default");
    let template = match settings.get("chat_template") {
        Some(Value::Array(named)) => named
            .iter()
            .find(is_default)
            .and_then(|e| e.get("template")),
        other => other,
    };
    Ok(template.and_then(Value::as_str).map(str::to_owned))
}

/// One token id, or several.
fn ids(value: Option<&Value>) -> impl Iterator<Item = u32> {
    let list = match value {
        Some(Value::Array(list)) => list.as_slice(),
        Some(one) => std::slice::from_ref(one),
        None => &[],
    };
    list.iter()
        .filter_map(|id| u32::try_from(id.as_u64()?).ok())
}

/// A JSON object; an empty one where there is no such file.
fn object(path: &Path) -> Result<Map<String, Value>, TokenizerError> {
    if !path.exists() {
        return Ok(Map::new());
    }
    let bytes = read_bytes(path, LARGEST_SETTINGS).map_err(|error| damaged(path, &error))?;
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err(damaged(path, &io::Error::other("it is no JSON object"))),
        Err(error) => Err(damaged(path, &error)),
    }
}

fn damaged(path: &Path, error: &impl ToString) -> TokenizerError {
    TokenizerError::Damaged {
        path: path.to_owned(),
        detail: error.to_string().chars().take(300).collect(),
    }
}
