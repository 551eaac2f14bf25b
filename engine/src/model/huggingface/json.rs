//! JSON files of a folder, read with bounds, and typed access to their keys.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde_json::{Map, Value};

use crate::model::LoadError;

/// Longest piece of a file that a message repeats, in characters.
const LONGEST_QUOTE: usize = 200;

/// Reads a JSON object from a file of at most `largest` bytes.
///
/// # Errors
/// [`LoadError::Io`], or [`LoadError::Damaged`] where it is too large or no JSON object.
pub(super) fn read(path: &Path, largest: u64) -> Result<Map<String, Value>, LoadError> {
    let bytes = read_bytes(path, largest).map_err(|source| LoadError::Io {
        path: path.to_owned(),
        source,
    })?;
    let damaged = |detail: String| LoadError::Damaged {
        path: path.to_owned(),
        detail,
    };
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err(damaged("it is no JSON object".into())),
        Err(error) => Err(damaged(format!("it is no JSON: {}", quote(&error)))),
    }
}

/// All bytes of a regular file, if they are not more than `largest`.
pub(crate) fn read_bytes(path: &Path, largest: u64) -> io::Result<Vec<u8>> {
    let kind = std::fs::metadata(path)?;
    if !kind.is_file() {
        let detail = "it is not a regular file";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, detail));
    }
    let mut bytes = Vec::new();
    File::open(path)?
        .take(largest + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > largest {
        let detail = format!("it is larger than {largest} bytes, which no such file is");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, detail));
    }
    Ok(bytes)
}

/// What a message may repeat of a file: a piece of bounded length.
pub(super) fn quote(text: &impl ToString) -> String {
    let text = text.to_string();
    match text.char_indices().nth(LONGEST_QUOTE) {
        None => text,
        Some((end, _)) => format!("{}...", &text[..end]),
    }
}

/// The keys of an object, with messages that name it. A value of null is as good as none.
#[derive(Clone, Copy)]
pub(super) struct Keys<'a> {
    pub(super) path: &'a Path,
    /// Name of the object in messages, empty for the file itself, or with a dot at its end.
    pub(super) within: &'static str,
    pub(super) map: &'a Map<String, Value>,
}

impl<'a> Keys<'a> {
    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    pub(super) fn damaged(&self, detail: impl Into<String>) -> LoadError {
        LoadError::Damaged {
            path: self.path.to_owned(),
            detail: detail.into(),
        }
    }

    pub(super) fn unsupported(&self, detail: impl Into<String>) -> LoadError {
        LoadError::Unsupported {
            path: self.path.to_owned(),
            detail: detail.into(),
        }
    }

    fn wrong(&self, key: &str, value: &Value, expected: &str) -> LoadError {
        let within = self.within;
        self.damaged(format!(
            "{within}{key} is {}; {expected} was expected",
            quote(value)
        ))
    }

    pub(super) fn missing(&self, key: &str) -> LoadError {
        self.damaged(format!("the key {}{key} is missing", self.within))
    }

    /// The object under a key.
    pub(super) fn object(
        &self,
        key: &str,
        within: &'static str,
    ) -> Result<Option<Keys<'a>>, LoadError> {
        let path = self.path;
        match self.get(key) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(Keys { path, within, map })),
            Some(value) => Err(self.wrong(key, value, "an object")),
        }
    }

    pub(super) fn size(&self, key: &str) -> Result<usize, LoadError> {
        self.optional_size(key)?.ok_or_else(|| self.missing(key))
    }

    /// An integer of at least 1.
    pub(super) fn optional_size(&self, key: &str) -> Result<Option<usize>, LoadError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let size = value.as_u64().and_then(|size| usize::try_from(size).ok());
        match size.filter(|size| *size > 0) {
            Some(size) => Ok(Some(size)),
            None => Err(self.wrong(key, value, "an integer of at least 1")),
        }
    }

    pub(super) fn positive(&self, key: &str) -> Result<f64, LoadError> {
        self.optional_positive(key)?
            .ok_or_else(|| self.missing(key))
    }

    /// A number above 0 that single precision can hold.
    pub(super) fn optional_positive(&self, key: &str) -> Result<Option<f64>, LoadError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let range = f64::from(f32::MIN_POSITIVE)..=f64::from(f32::MAX);
        match value.as_f64().filter(|number| range.contains(number)) {
            Some(number) => Ok(Some(number)),
            None => Err(self.wrong(key, value, "a finite number above 0")),
        }
    }

    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>, LoadError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(value) => Err(self.wrong(key, value, "a truth value")),
        }
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<&'a str>, LoadError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(value) => Err(self.wrong(key, value, "a string")),
        }
    }

    /// A list of strings.
    pub(super) fn texts(&self, key: &str) -> Result<Option<Vec<&'a str>>, LoadError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let texts: Option<Vec<&str>> = value
            .as_array()
            .and_then(|texts| texts.iter().map(Value::as_str).collect());
        match texts {
            Some(texts) => Ok(Some(texts)),
            None => Err(self.wrong(key, value, "a list of strings")),
        }
    }
}
