//! A folder as Hugging Face has them.

use super::{Contents, Found, TokenizerFacts};
use bitbench_engine::model::huggingface::{Folder, FolderTensor};
use bitbench_engine::model::{LoadError, LoadOptions, Model};
use serde_json::Value;
use std::path::Path;

/// By the class with a head, and by the one without.
const EMBEDDING: [&str; 2] = ["model.embed_tokens.weight", "embed_tokens.weight"];
const HEAD: &str = "lm_head.weight";

/// What is in it.
pub(super) fn contents(path: &Path) -> Result<Contents, LoadError> {
    let folder = Folder::open(path)?;
    let loaded = Model::from_folder(&folder, LoadOptions::default());
    let files = folder.files();
    let weights = files
        .iter()
        .filter(|file| file.extension() == Some("safetensors".as_ref()));
    let text = |key: &str| Some(folder.config().get(key)?.as_str()?.to_owned());
    let has = |name: &str| files.iter().any(|file| file.ends_with(name));
    let contents = Contents {
        path: path.to_owned(),
        container: format!(
            "Hugging Face folder, safetensors files: {}",
            weights.count()
        ),
        file_bytes: files
            .iter()
            .flat_map(|file| file.metadata())
            .map(|file| file.len())
            .sum(),
        name: text("_name_or_path"),
        hyperparameters: hyperparameters(&folder),
        architecture: text("model_type"),
        tokenizer: has("tokenizer.json").then(|| TokenizerFacts {
            kind: "tokenizer.json".to_owned(),
            pre: None,
            tokens: None,
        }),
        chat_template: has("chat_template.jinja") || mentions_template(path),
        ..Contents::default()
    };
    let tied = loaded.as_ref().map_or_else(
        |_| !folder.tensors().any(|tensor| tensor.name == HEAD),
        |model| model.head.is_none(),
    );
    let found = folder.tensors().map(|tensor| Found {
        read: decode_bytes(&tensor, tied),
        name: tensor.name.to_owned(),
        shape: tensor.shape.iter().map(|dim| *dim as u64).collect(),
        weights: weights_of(&tensor),
        bytes: tensor.bytes,
        format: tensor.format,
    });
    let found = found.collect();
    Ok(contents.with(found, loaded))
}

/// Elements, but four to a byte where ternary weights are packed.
fn weights_of(tensor: &FolderTensor<'_>) -> u64 {
    let elements = tensor.shape.iter().map(|dim| *dim as u64).product();
    if tensor.format == "U8" {
        4 * elements
    } else {
        elements
    }
}

/// A decode step reads every tensor whole, but one row of an embedding that does not serve as head too, and nothing of a head
/// for which the embedding stands in.
fn decode_bytes(tensor: &FolderTensor<'_>, tied: bool) -> u64 {
    match tensor.name {
        HEAD if tied => 0,
        name if EMBEDDING.contains(&name) && !tied => {
            tensor.bytes / tensor.shape.first().map_or(1, |rows| *rows as u64).max(1)
        }
        _ => tensor.bytes,
    }
}

fn hyperparameters(folder: &Folder) -> Vec<(String, String)> {
    let numbers = folder
        .config()
        .iter()
        .filter(|(_, value)| value.is_number() || value.is_boolean());
    numbers
        .map(|(key, value)| (key.clone(), value.to_string()))
        .collect()
}

/// Whether the configuration of the tokenizer has a chat template; a file that cannot be read has none.
fn mentions_template(folder: &Path) -> bool {
    let read = std::fs::read(folder.join("tokenizer_config.json")).ok();
    let parsed: Option<Value> = read.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    parsed.is_some_and(|config| config.get("chat_template").is_some())
}
