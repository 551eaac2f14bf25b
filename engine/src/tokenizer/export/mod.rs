//! The tokenizer of a folder as metadata of a GGUF file, and the proof that it is the same one.
//!
//! A file names a rule to split words or none, and lists tokens with merges or scores; tokenizer.json can say much more. So only
//! what is known to have a place in a file is written, the tokenizer is read back from what would be written, and both are held
//! against each other on many texts. Where they differ in one, there is no tokenizer for the file.

mod contents;
mod merges;
mod probes;
mod rules;

use std::path::Path;

use super::{Tokenizer, TokenizerError, Words};
use crate::model::gguf::GgufFile;
use contents::Contents;

/// The tokenizer of a folder, in the form that a GGUF file has it.
#[derive(Debug)]
pub struct GgufTokenizer {
    contents: Contents,
    notes: Vec<String>,
    probes: usize,
}

impl GgufTokenizer {
    /// Turns the tokenizer of a folder into what a file says, for a model whose embedding has `vocab` rows; none where the folder
    /// has no tokenizer.
    ///
    /// # Errors
    /// As [`Tokenizer::from_folder`]; and [`TokenizerError::Inexpressible`] where a file cannot say the same, or where the tokenizer
    /// that was read back gave other tokens for a text.
    pub fn from_folder(
        folder: &Path,
        vocab: usize,
    ) -> Result<Option<GgufTokenizer>, TokenizerError> {
        let Some(source) = Tokenizer::from_folder(folder)? else {
            return Ok(None);
        };
        let path = folder.join("tokenizer.json");
        let lost = |detail: String| TokenizerError::Inexpressible {
            path: path.clone(),
            detail,
        };
        let Words::Json(library) = &source.words else {
            return Err(lost("it was not read from tokenizer.json".into()));
        };
        let parts = super::folder::parts(&path)?;
        let rule = rules::of(&parts).map_err(lost)?;
        let mut contents = Contents::new(&source, library, &parts, &rule, vocab).map_err(lost)?;
        let mut written = contents.read_back(&path)?;
        let missing = written.ends.missing(&source.ends);
        if !missing.is_empty() {
            contents.add_ends(&missing).map_err(lost)?;
            written = contents.read_back(&path)?;
        }
        if written.ends.0 != source.ends.0 {
            return Err(lost(format!(
                "a text ends with the tokens {:?}, and a reader of the file would end it with {:?}",
                source.ends.0, written.ends.0
            )));
        }
        let probes = probes::agree(&source, library, &written, rule.normal_form).map_err(lost)?;
        let mut notes = Vec::new();
        if rule.normal_form {
            notes.push(
                "tokenizer.json brings a text to the normal form NFC first, which readers of GGUF files do not: a text in \
                 another form gets other tokens"
                    .to_owned(),
            );
        }
        Ok(Some(GgufTokenizer {
            contents,
            notes,
            probes,
        }))
    }

    /// Adds it to a file, which must have no key of a tokenizer yet.
    pub fn add_to(&self, file: &mut GgufFile<'_>) {
        self.contents.add_to(file);
    }

    /// Texts that have the same tokens by tokenizer.json and by what is written.
    pub fn probes(&self) -> usize {
        self.probes
    }

    /// What the file cannot say, and readers do otherwise, in sentences for the user.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

impl super::Ends {
    /// The tokens of `other` that are not among these.
    fn missing(&self, other: &Self) -> Vec<u32> {
        let tokens = other.0.iter().copied();
        tokens.filter(|token| !self.0.contains(token)).collect()
    }
}
