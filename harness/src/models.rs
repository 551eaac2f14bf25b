//! Model files and folders as the harness sees them: opened, hashed, with their tokenizer.

use crate::pair;
use bitbench_engine::model::gguf::Gguf;
use bitbench_engine::model::huggingface::Folder;
use bitbench_engine::model::{Layer, LoadError, LoadOptions, Model};
use bitbench_engine::tokenizer::{Tokenizer, TokenizerError};
use bitbench_engine::weights::LinearWeights;
use std::io;
use std::path::{Path, PathBuf};

/// A model, open.
pub struct OpenModel {
    source: Source,
    /// The network in it.
    pub model: Model,
}

enum Source {
    File(Gguf),
    Folder(Folder),
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

/// Whether there is such a model: a file, a folder, or one of the pair.
pub fn exists(path: &Path) -> bool {
    pair::find(path).is_some() || path.exists()
}

/// Opens a model, a GGUF file, a folder with safetensors files, or one of the pair, and checks every tensor of it.
///
/// # Errors
/// See [`ModelError`].
pub fn open(path: &Path, ternarize: bool) -> Result<OpenModel, ModelError> {
    let options = LoadOptions { ternarize };
    if path.is_dir() {
        let folder = Folder::open(path)?;
        let model = Model::from_folder(&folder, options)?;
        let source = Source::Folder(folder);
        return Ok(OpenModel { source, model });
    }
    let gguf = open_gguf(path)?;
    let model = Model::from_gguf(&gguf, options)?;
    let source = Source::File(gguf);
    Ok(OpenModel { source, model })
}

/// Opens a GGUF file, with all parts of a split one, or one of the pair.
///
/// # Errors
/// As [`Gguf::open`].
pub fn open_gguf(path: &Path) -> Result<Gguf, LoadError> {
    match pair::find(path) {
        Some(bytes) => Gguf::from_static(path, bytes),
        None => Gguf::open(path),
    }
}

impl OpenModel {
    /// The file or folder.
    pub fn path(&self) -> &Path {
        match &self.source {
            Source::File(gguf) => gguf.path(),
            Source::Folder(folder) => folder.path(),
        }
    }

    /// The tokenizer of the model.
    ///
    /// # Errors
    /// [`ModelError::NoTokenizer`] where it has none, [`ModelError::Tokenizer`] where it is at fault.
    pub fn tokenizer(&self) -> Result<Tokenizer, ModelError> {
        let read = match &self.source {
            Source::File(gguf) => Tokenizer::from_gguf(gguf),
            Source::Folder(folder) => Tokenizer::from_folder(folder.path()),
        };
        let path = || self.path().to_owned();
        match read {
            Ok(Some(tokenizer)) => Ok(tokenizer),
            Ok(None) => Err(ModelError::NoTokenizer { path: path() }),
            Err(source) => Err(ModelError::Tokenizer {
                path: path(),
                source,
            }),
        }
    }
}

/// The files that a model is read from: one, the parts of a split one, or those of a folder. None for one of the pair, which is
/// part of the program.
///
/// # Errors
/// What [`Folder::open`] and [`Gguf::open`] find.
pub fn files(path: &Path) -> Result<Vec<PathBuf>, ModelError> {
    if pair::find(path).is_some() {
        return Ok(Vec::new());
    }
    Ok(match path.is_dir() {
        true => Folder::open(path)?.files(),
        false => Gguf::open(path)?.paths().map(Path::to_owned).collect(),
    })
}

/// `blake3:` and the hash of a file, or of all files that make the model in a folder or are the parts of a split one: name,
/// length and bytes of each, in the order of their names.
///
/// # Errors
/// [`ModelError::Io`], and what [`Folder::open`] and [`Gguf::open`] find.
pub fn hash(path: &Path) -> Result<String, ModelError> {
    let mut hasher = blake3::Hasher::new();
    if let Some(bytes) = pair::find(path) {
        hasher.update(bytes);
    } else {
        let files = files(path)?;
        let many = path.is_dir() || files.len() > 1;
        for file in files {
            if many {
                let name = file.file_name().unwrap_or_default().as_encoded_bytes();
                let len = file.metadata().map_err(|source| io_error(&file, source))?;
                hasher.update(&(name.len() as u64).to_le_bytes());
                hasher.update(name);
                hasher.update(&len.len().to_le_bytes());
            }
            hash_file(&mut hasher, &file)?;
        }
    }
    Ok(format!("blake3:{}", hasher.finalize().to_hex()))
}

fn hash_file(hasher: &mut blake3::Hasher, path: &Path) -> Result<(), ModelError> {
    let file = std::fs::File::open(path).map_err(|source| io_error(path, source))?;
    io::copy(&mut { file }, hasher).map_err(|source| io_error(path, source))?;
    Ok(())
}

fn io_error(path: &Path, source: io::Error) -> ModelError {
    ModelError::Io {
        path: path.to_owned(),
        source,
    }
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
