//! Folders as Hugging Face has them: `config.json` beside `model.safetensors`, or several such files and their index.
//!
//! Everything in a folder is taken for hostile. JSON files are read whole, after their size was bounded; weights stay in mapped
//! files and are decoded row by row.

mod config;
pub(crate) mod json;
mod network;
mod packed;
mod pooling;
mod quantization;
mod rope;
mod shards;

use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::LoadError;
use shards::Shards;

const CONFIG: &str = "config.json";
/// Known ones have a few thousand bytes.
const LARGEST_CONFIG: u64 = 1 << 20;

/// Files beside the weights, or in a folder there, that say something about the model or its tokenizer.
const COMPANIONS: [&str; 6] = [
    CONFIG,
    pooling::CONFIG,
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
];

/// An open folder: its configuration was parsed, and all tensors were found to lie inside their files.
pub struct Folder {
    path: PathBuf,
    config_path: PathBuf,
    config: Map<String, Value>,
    shards: Shards,
}

impl fmt::Debug for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tensors = self.shards.tensors.len();
        write!(f, "Folder({:?}, {tensors} tensors)", self.path)
    }
}

/// A tensor of an open folder.
#[derive(Debug, Clone)]
pub struct FolderTensor<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its dimensions, the columns of a matrix last.
    pub shape: &'a [usize],
    /// How its numbers are stored, as safetensors names it.
    pub format: String,
    /// Its bytes.
    pub bytes: u64,
}

impl Folder {
    /// Opens and checks a folder.
    ///
    /// Its weights are mapped, so nobody may truncate or rewrite them while this value, or a model made from it, lives.
    ///
    /// # Errors
    /// [`LoadError`]: unreadable, damaged, or without safetensors files.
    pub fn open(path: impl AsRef<Path>) -> Result<Folder, LoadError> {
        let path = path.as_ref().to_owned();
        let config_path = path.join(CONFIG);
        Ok(Folder {
            config: json::read(&config_path, LARGEST_CONFIG)?,
            shards: Shards::open(&path)?,
            config_path,
            path,
        })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The files that make the model, sorted by name: weights, their index where there is one, configuration, tokenizer.
    pub fn files(&self) -> Vec<PathBuf> {
        let mut files = self.shards.files.clone();
        if files != [self.path.join(shards::SINGLE)] {
            files.push(self.path.join(shards::INDEX));
        }
        let companions = COMPANIONS.iter().map(|name| self.path.join(name));
        files.extend(companions.filter(|path| path.is_file()));
        files.sort_unstable();
        files
    }

    /// What config.json says.
    pub fn config(&self) -> &Map<String, Value> {
        &self.config
    }

    /// The tensors, sorted by name.
    pub fn tensors(&self) -> impl ExactSizeIterator<Item = FolderTensor<'_>> {
        let tensors = self.shards.tensors.iter();
        tensors.map(|(name, tensor)| FolderTensor {
            name,
            shape: &tensor.shape,
            format: format!("{:?}", tensor.dtype),
            bytes: tensor.data().len() as u64,
        })
    }

    fn damaged(&self, detail: impl Into<String>) -> LoadError {
        LoadError::Damaged {
            path: self.path.clone(),
            detail: detail.into(),
        }
    }

    fn unsupported(&self, detail: impl Into<String>) -> LoadError {
        LoadError::Unsupported {
            path: self.path.clone(),
            detail: detail.into(),
        }
    }
}
