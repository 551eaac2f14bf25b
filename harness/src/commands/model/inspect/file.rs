//! A GGUF file.

use super::{Contents, Found, TokenizerFacts};
use crate::models;
use bitbench_engine::model::gguf::{Gguf, Tensor, Value};
use bitbench_engine::model::{LoadError, LoadOptions, Model};
use std::path::Path;

/// What is in it.
pub(super) fn contents(path: &Path) -> Result<Contents, LoadError> {
    let gguf = models::open_gguf(path)?;
    let text = |key: &str| Some(gguf.get(key)?.as_str()?.to_owned());
    let architecture = text("general.architecture");
    let contents = Contents {
        path: path.to_owned(),
        container: format!("GGUF version {}", gguf.version()),
        file_bytes: gguf.file_bytes(),
        name: text("general.name"),
        hyperparameters: hyperparameters(&gguf, architecture.as_deref().unwrap_or_default()),
        architecture,
        tokenizer: tokenizer(&gguf),
        chat_template: gguf.get("tokenizer.chat_template").is_some(),
        ..Contents::default()
    };
    let found = gguf.tensors().map(|tensor| Found {
        name: tensor.name().to_owned(),
        shape: tensor.dims().iter().rev().copied().collect(),
        format: tensor.format().name.to_owned(),
        weights: elements(&tensor),
        bytes: tensor.data().len() as u64,
        read: decode_bytes(&gguf, &tensor),
    });
    let loaded = Model::from_gguf(&gguf, LoadOptions::default());
    Ok(contents.with(found.collect(), loaded))
}

/// A decode step reads every tensor whole, but one row of an embedding that does not serve as head too.
fn decode_bytes(gguf: &Gguf, tensor: &Tensor<'_>) -> u64 {
    let bytes = tensor.data().len() as u64;
    match tensor.dims() {
        [_, rows]
            if tensor.name() == "token_embd.weight" && gguf.tensor("output.weight").is_some() =>
        {
            bytes / rows
        }
        _ => bytes,
    }
}

/// The dimensions were checked when the file was opened: none is 0, and the product fits.
fn elements(tensor: &Tensor<'_>) -> u64 {
    tensor.dims().iter().product()
}

fn hyperparameters(gguf: &Gguf, architecture: &str) -> Vec<(String, String)> {
    let of_network = gguf.metadata().filter_map(|(key, value)| {
        let key = key.strip_prefix(architecture)?.strip_prefix('.')?;
        Some((key.to_owned(), shown(&value)))
    });
    of_network.collect()
}

fn shown(value: &Value<'_>) -> String {
    match value {
        Value::Integer(number) => number.to_string(),
        // As single precision, which nearly all are: 1e-5 is then no longer number.
        Value::Float(_) => format!("{:?}", value.as_f32().unwrap_or(f32::NAN)),
        Value::Bool(truth) => truth.to_string(),
        Value::String(bytes) => String::from_utf8_lossy(bytes).chars().take(60).collect(),
        Value::Array(array) => format!("{} values", array.len()),
        other => format!("{other:?}"),
    }
}

fn tokenizer(gguf: &Gguf) -> Option<TokenizerFacts> {
    let kind = gguf.get("tokenizer.ggml.model")?.as_str()?.to_owned();
    let tokens = gguf.get("tokenizer.ggml.tokens")?.as_array()?.len();
    let pre = gguf.get("tokenizer.ggml.pre");
    Some(TokenizerFacts {
        kind,
        pre: pre.and_then(|pre| Some(pre.as_str()?.to_owned())),
        tokens: Some(tokens),
    })
}
