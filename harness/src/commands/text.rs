//! The text that a model is asked about: a file, token ids, or the text that bitbench brings.

use super::CommandError;
use crate::models::OpenModel;
use crate::pair;
use anyhow::{Context, anyhow};
use std::path::{Path, PathBuf};

/// Which text.
#[derive(Debug, clap::Args)]
pub struct TextArguments {
    /// Text in UTF-8 [default: chapters of the King James Bible that the pair did not see in training]
    #[arg(long, value_name = "FILE", conflicts_with = "token_file")]
    file: Option<PathBuf>,
    /// Token ids between white space or commas in the place of a text, for models without a tokenizer
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// The tokens of a text.
pub(super) struct Tokens {
    pub(super) ids: Vec<u32>,
    /// The token that begins a text, where the model wants one: the first of `ids`.
    pub(super) bos: Option<u32>,
}

impl TextArguments {
    /// The tokens of the text in the vocabulary of a model.
    pub(super) fn tokens(&self, opened: &OpenModel) -> Result<Tokens, CommandError> {
        let vocab = opened.model.config.vocab;
        let tokens = match &self.token_file {
            Some(path) => {
                let ids = ids(&read(path)?).with_context(|| format!("{}", path.display()));
                let ids = ids.map_err(CommandError::usage)?;
                Tokens { ids, bos: None }
            }
            None => {
                let text = match &self.file {
                    Some(path) => read(path)?,
                    None => pair::held_out().to_owned(),
                };
                let tokenizer = opened
                    .tokenizer()
                    .context("a text needs a tokenizer, and --token-file takes token ids")
                    .map_err(CommandError::usage)?;
                let text = text.strip_suffix('\n').unwrap_or(&text);
                let ids = tokenizer.encode(text).context("the text");
                let ids = ids.map_err(CommandError::usage)?;
                let bos = tokenizer.bos().filter(|bos| ids.first() == Some(bos));
                Tokens { ids, bos }
            }
        };
        match tokens.ids.iter().find(|id| **id as usize >= vocab) {
            None => Ok(tokens),
            Some(id) => Err(CommandError::usage(anyhow!(
                "token {id} is outside the vocabulary of {vocab}"
            ))),
        }
    }
}

fn read(path: &Path) -> Result<String, CommandError> {
    std::fs::read_to_string(path)
        .with_context(|| format!("cannot read {}", path.display()))
        .map_err(CommandError::usage)
}

fn ids(text: &str) -> anyhow::Result<Vec<u32>> {
    let words = text.split(|c: char| c.is_whitespace() || c == ',');
    let words = words.filter(|word| !word.is_empty());
    words
        .map(|word| {
            let short: String = word.chars().take(40).collect();
            word.parse()
                .map_err(|_| anyhow!("`{short}` is no token id"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_stand_between_commas_and_white_space() {
        assert_eq!(ids("1, 2,3\n 4,\n").unwrap(), [1, 2, 3, 4]);
        assert!(ids("").unwrap().is_empty());
        for wrong in ["1.5", "-1", "4294967296", "one"] {
            let message = ids(wrong).unwrap_err().to_string();
            assert!(message.contains(wrong), "{message}");
        }
    }
}
