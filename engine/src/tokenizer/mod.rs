//! Text to tokens and back, by the vocabulary that a GGUF file or the tokenizer.json of a folder carries. Special tokens are
//! recognised in text.

mod bpe;
mod byte_level;
#[cfg_attr(not(feature = "tokenizer-json"), path = "export/none.rs")]
mod export;
#[cfg(feature = "tokenizer-json")]
mod folder;
mod gguf;
#[cfg(feature = "tokenizer-json")]
mod json;
mod pre;
mod scored;
mod special;
mod stream;
mod vocabulary;

use std::path::{Path, PathBuf};

use crate::model::gguf::Gguf;
pub use export::GgufTokenizer;
use gguf::Native;
pub use stream::TextStream;

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
    /// A GGUF file has no words for what the tokenizer does.
    #[error("{path}: a GGUF file cannot hold this tokenizer: {detail}")]
    Inexpressible {
        /// The file that was read.
        path: PathBuf,
        /// What has no place in a file.
        detail: String,
    },
    /// The library that reads tokenizer.json found no tokens for the text.
    #[error("no tokens for this text: {0}")]
    Library(String),
}

/// The tokenizer of a model.
#[derive(Debug)]
pub struct Tokenizer {
    words: Words,
    bos: Option<u32>,
    eos: Option<u32>,
    ends: Ends,
    chat_template: Option<String>,
}

/// Where words and their rules come from.
#[derive(Debug)]
enum Words {
    /// The metadata of a GGUF file.
    Native(Box<Native>),
    /// tokenizer.json, by the library that such files are made with.
    #[cfg(feature = "tokenizer-json")]
    Json(Box<json::Library>),
}

/// Tokens at which generation ends, sorted.
#[derive(Debug)]
struct Ends(Vec<u32>);

impl Ends {
    fn of(tokens: impl Iterator<Item = u32>) -> Ends {
        let mut tokens: Vec<u32> = tokens.collect();
        tokens.sort_unstable();
        tokens.dedup();
        Ends(tokens)
    }
}

impl Tokenizer {
    /// Reads the tokenizer of an open file; none where the file has none.
    ///
    /// # Errors
    /// [`TokenizerError::Unsupported`] for another kind of tokenizer or an unknown way to split words, and
    /// [`TokenizerError::Damaged`] for metadata that contradicts itself.
    pub fn from_gguf(gguf: &Gguf) -> Result<Option<Tokenizer>, TokenizerError> {
        gguf::read(gguf)
    }

    /// Reads the tokenizer of a folder: tokenizer.json, and what the files beside it say about it; none where there is no such
    /// file.
    ///
    /// # Errors
    /// [`TokenizerError::Unsupported`] for another kind of tokenizer, or where this program was built without the library that
    /// reads such files; [`TokenizerError::Damaged`] for files that contradict themselves.
    pub fn from_folder(folder: &Path) -> Result<Option<Tokenizer>, TokenizerError> {
        let path = folder.join("tokenizer.json");
        if !path.exists() {
            return Ok(None);
        }
        #[cfg(feature = "tokenizer-json")]
        return folder::read(folder, &path).map(Some);
        #[cfg(not(feature = "tokenizer-json"))]
        Err(TokenizerError::Unsupported {
            path,
            detail: "this program was built without the feature tokenizer-json".into(),
        })
    }

    /// The tokens of a text, with BOS and EOS where the file says so. Special tokens are recognised in the text.
    ///
    /// # Errors
    /// [`TokenizerError::NoToken`] where the vocabulary cannot express the text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        let [before, after] = self.affixes();
        Ok([before, &self.encode_alone(text)?, after].concat())
    }

    /// The tokens of a text that a chat template wrote: some write BOS and some leave it to the tokenizer, so it comes first
    /// where the file says so and the text does not begin with it.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_rendered(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        let tokens = self.encode_alone(text)?;
        let [before, _] = self.affixes();
        match tokens.starts_with(before) {
            true => Ok(tokens),
            false => Ok([before, &tokens].concat()),
        }
    }

    fn encode_alone(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        match &self.words {
            Words::Native(words) => words.encode(text),
            #[cfg(feature = "tokenizer-json")]
            Words::Json(words) => words.encode(text),
        }
    }

    /// The tokens that come before and after every text.
    fn affixes(&self) -> [&[u32]; 2] {
        match &self.words {
            Words::Native(words) => words.affixes(),
            #[cfg(feature = "tokenizer-json")]
            Words::Json(words) => words.affixes(),
        }
    }

    /// The text of tokens, that of special tokens included. Bytes that are no UTF-8 become U+FFFD.
    pub fn decode(&self, tokens: &[u32]) -> String {
        let mut stream = self.stream();
        let mut text: String = tokens.iter().map(|token| stream.push(*token)).collect();
        text += &stream.finish();
        text
    }

    /// Decodes tokens as they come.
    pub fn stream(&self) -> TextStream<'_> {
        TextStream::new(&self.words)
    }

    /// Whether generation ends with this token.
    pub fn is_end(&self, token: u32) -> bool {
        self.ends.0.binary_search(&token).is_ok()
    }

    /// Whether this token is a control token or another that stands for itself, not for a piece of text.
    pub fn is_special(&self, token: u32) -> bool {
        match &self.words {
            Words::Native(words) => words.is_special(token),
            #[cfg(feature = "tokenizer-json")]
            Words::Json(words) => words.is_special(token),
        }
    }

    /// The token of exactly this text, special or not.
    pub fn token(&self, text: &str) -> Option<u32> {
        match &self.words {
            Words::Native(words) => words.token(text),
            #[cfg(feature = "tokenizer-json")]
            Words::Json(words) => words.token(text),
        }
    }

    /// The token that begins a text, where the file names one.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// The token that ends a text, where the file names one.
    pub fn eos(&self) -> Option<u32> {
        self.eos
    }

    /// The template of a conversation in the language of Jinja, where the file or folder has one.
    pub fn chat_template(&self) -> Option<&str> {
        self.chat_template.as_deref()
    }

    /// Tokens of the vocabulary.
    pub fn vocab(&self) -> usize {
        match &self.words {
            Words::Native(words) => words.vocab(),
            #[cfg(feature = "tokenizer-json")]
            Words::Json(words) => words.vocab(),
        }
    }
}
