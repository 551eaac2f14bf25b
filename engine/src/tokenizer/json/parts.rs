//! What a tokenizer.json says that the library does not tell: its merges in order, and its steps.

use serde::Deserialize;
use serde_json::Value;

use super::guard::{Fault, Merge, steps};

/// Parts of a file that the library has read without fault.
#[derive(Deserialize)]
pub(in crate::tokenizer) struct Parts {
    model: Model,
    normalizer: Option<Value>,
    pre_tokenizer: Option<Value>,
}

#[derive(Deserialize)]
struct Model {
    merges: Vec<Merge>,
    unk_token: Option<String>,
    byte_fallback: Option<bool>,
}

impl Parts {
    /// The merges, first ones first; a line that is no pair is none.
    pub(in crate::tokenizer) fn merges(&self) -> Vec<(&str, &str)> {
        self.model.merges.iter().filter_map(Merge::pair).collect()
    }

    /// The token for what has none.
    pub(in crate::tokenizer) fn unknown(&self) -> Option<&str> {
        self.model.unk_token.as_deref()
    }

    /// Whether what has no token becomes tokens of bytes.
    pub(in crate::tokenizer) fn has_bytes(&self) -> bool {
        self.model.byte_fallback == Some(true)
    }

    /// The steps that change a text.
    pub(in crate::tokenizer) fn normalizer_steps(&self) -> Result<Vec<&Value>, String> {
        steps(&self.normalizer).map_err(Fault::detail)
    }

    /// The steps that split it.
    pub(in crate::tokenizer) fn splitting_steps(&self) -> Result<Vec<&Value>, String> {
        steps(&self.pre_tokenizer).map_err(Fault::detail)
    }
}
