//! Stands in for the tokenizers of folders where none can be read.

use std::path::Path;

use super::{Tokenizer, TokenizerError};
use crate::model::gguf::GgufFile;

/// The tokenizer of a folder, in the form that a GGUF file has it: there is none without the feature `tokenizer-json`.
#[derive(Debug)]
pub enum GgufTokenizer {}

impl GgufTokenizer {
    /// Gives none where the folder has none.
    ///
    /// # Errors
    /// As [`Tokenizer::from_folder`].
    pub fn from_folder(
        folder: &Path,
        _vocab: usize,
    ) -> Result<Option<GgufTokenizer>, TokenizerError> {
        Tokenizer::from_folder(folder).map(|_| None)
    }

    /// Never called.
    pub fn add_to(&self, _file: &mut GgufFile<'_>) {
        match *self {}
    }

    /// Never called.
    pub fn probes(&self) -> usize {
        match *self {}
    }

    /// Never called.
    pub fn notes(&self) -> &[String] {
        match *self {}
    }
}
