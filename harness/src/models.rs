//! Model files as the harness sees them: opened, hashed, with their tokenizer.

use crate::pair;
use bitbench_engine::model::gguf::Gguf;
use bitbench_engine::model::{Layer, LoadError, LoadOptions, Model};
use bitbench_engine::tokenizer::{Tokenizer, TokenizerError};
use bitbench_engine::weights::LinearWeights;
use std::io;
use std::path::{Path, PathBuf};

/// A model file.
pub struct OpenModel {
    /// The file.
    pub gguf: Gguf,
    /// The network in it.
    pub model: Model,
}

/// Why a model file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// It cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Its tokenizer is at fault.
    #[error("{path}: {source}")]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: TokenizerError,
    },
    /// It has no tokenizer.
    #[error(
        "{path} has no tokenizer: text cannot be turned into tokens; `bitbench logits --tokens` takes token ids"
    )]
    NoTokenizer {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be read.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// Whether there is such a model: a file, or one of the pair.
pub fn exists(path: &Path) -> bool {
    pair::find(path).is_some() || path.exists()
}

/// Opens a model, a file or one of the pair, and checks every tensor of it.
///
/// # Errors
/// See [`ModelError`].
pub fn open(path: &Path, ternarize: bool) -> Result<OpenModel, ModelError> {
    let gguf = match pair::find(path) {
        Some(bytes) => Gguf::from_static(path, bytes),
        None => Gguf::open(path),
    }?;
    let model = Model::from_gguf(&gguf, LoadOptions { ternarize })?;
    Ok(OpenModel { gguf, model })
}

impl OpenModel {
    /// The tokenizer of the model.
    ///
    /// # Errors
    /// [`ModelError::NoTokenizer`] where it has none, [`ModelError::Tokenizer`] where it is at fault.
    pub fn tokenizer(&self) -> Result<Tokenizer, ModelError> {
        let path = || self.gguf.path().to_owned();
        match Tokenizer::from_gguf(&self.gguf) {
            Ok(Some(tokenizer)) => Ok(tokenizer),
            Ok(None) => Err(ModelError::NoTokenizer { path: path() }),
            Err(source) => Err(ModelError::Tokenizer {
                path: path(),
                source,
            }),
        }
    }
}

/// `blake3:` and the hash of a file.
///
/// # Errors
/// [`ModelError::Io`].
pub fn hash(path: &Path) -> Result<String, ModelError> {
    let io = |source| ModelError::Io {
        path: path.to_owned(),
        source,
    };
    let mut hasher = blake3::Hasher::new();
    match pair::find(path) {
        Some(bytes) => {
            hasher.update(bytes);
        }
        None => {
            io::copy(&mut std::fs::File::open(path).map_err(io)?, &mut hasher).map_err(io)?;
        }
    }
    Ok(format!("blake3:{}", hasher.finalize().to_hex()))
}

/// Why ternary kernels cannot run this model as it is; `None` where they can.
pub fn not_ternary(model: &Model) -> Option<String> {
    let dense = |weights: &LinearWeights| match weights {
        LinearWeights::Dense(matrix) => Some(matrix.not_ternary().to_owned()),
        LinearWeights::Ternary(_) => None,
    };
    let linear = model.layers.iter().flat_map(Layer::linear);
    linear.map(|(_, weights)| weights).find_map(dense)
}
