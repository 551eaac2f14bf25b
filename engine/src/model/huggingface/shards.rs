//! The tensors of a folder: one safetensors file, or several that an index names.
//!
//! Layout of a file: the length of the head in 8 bytes, little-endian; the head, a JSON object of every tensor's type, shape
//! and place; the data. The head is parsed and checked by the `safetensors` crate: it lies inside the file, tensors follow each
//! other without gap or overlap to the end of the file, and each has the bytes that its type and shape ask for.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

use super::json::{self, quote};
use crate::model::LoadError;
use crate::model::gguf::MappedFile;

/// The file where there is only one.
pub(super) const SINGLE: &str = "model.safetensors";
/// The file that says which tensor is in which file.
pub(super) const INDEX: &str = "model.safetensors.index.json";
/// Models of a thousand layers have indices of a megabyte.
const LARGEST_INDEX: u64 = 64 << 20;

/// A tensor in a mapped file.
#[derive(Clone)]
pub(super) struct StoredTensor {
    pub(super) file: Arc<MappedFile>,
    pub(super) range: Range<usize>,
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
}

impl StoredTensor {
    pub(super) fn data(&self) -> &[u8] {
        self.file.get(self.range.clone()).unwrap_or_default()
    }
}

/// All tensors of a folder, by name.
pub(super) struct Shards {
    pub(super) tensors: BTreeMap<String, StoredTensor>,
    pub(super) files: Vec<PathBuf>,
}

impl Shards {
    /// Maps the files of a folder; a single file goes before an index, as in transformers.
    pub(super) fn open(folder: &Path) -> Result<Shards, LoadError> {
        let single = folder.join(SINGLE);
        if single.exists() {
            let mut shards = Shards {
                tensors: BTreeMap::new(),
                files: Vec::new(),
            };
            shards.add(single, |_| true)?;
            return Ok(shards);
        }
        let index = folder.join(INDEX);
        if !index.exists() {
            return Err(LoadError::Unsupported {
                path: folder.to_owned(),
                detail: format!(
                    "there is no {SINGLE} and no {INDEX} in this folder; weights in other files must be saved as safetensors first"
                ),
            });
        }
        Self::from_index(folder, &index)
    }

    fn from_index(folder: &Path, index: &Path) -> Result<Shards, LoadError> {
        let damaged = |detail: String| LoadError::Damaged {
            path: index.to_owned(),
            detail,
        };
        let mut object = json::read(index, LARGEST_INDEX)?;
        let Some(Value::Object(map)) = object.remove("weight_map") else {
            return Err(damaged("there is no object weight_map".into()));
        };
        let mut names: Vec<&str> = Vec::new();
        for (tensor, file) in &map {
            match file.as_str() {
                Some(file) if is_plain(file) => names.push(file),
                _ => {
                    return Err(damaged(format!(
                        "tensor {} is in {}; the name of a .safetensors file in the same folder was expected",
                        quote(tensor),
                        quote(file)
                    )));
                }
            }
        }
        names.sort_unstable();
        names.dedup();
        let mut shards = Shards {
            tensors: BTreeMap::new(),
            files: Vec::new(),
        };
        for name in names {
            shards.add(folder.join(name), |tensor| {
                map.get(tensor).and_then(Value::as_str) == Some(name)
            })?;
        }
        match map.keys().find(|name| !shards.tensors.contains_key(*name)) {
            None => Ok(shards),
            Some(name) => Err(damaged(format!(
                "tensor {} is not in the file that should hold it; download the folder again",
                quote(name)
            ))),
        }
    }

    /// Maps one file and adds its tensors, all of which must be `expected`.
    fn add(&mut self, path: PathBuf, expected: impl Fn(&str) -> bool) -> Result<(), LoadError> {
        let file = Arc::new(MappedFile::open(&path)?);
        let damaged = |detail: String| LoadError::Damaged {
            path: path.clone(),
            detail,
        };
        let (head, metadata) = SafeTensors::read_metadata(&file).map_err(|error| {
            damaged(format!(
                "not a sound safetensors file: {}; download it again",
                quote(&error)
            ))
        })?;
        let data_at = head + size_of::<u64>();
        for name in metadata.offset_keys() {
            let Some(info) = metadata.info(&name) else {
                continue;
            };
            if !expected(&name) {
                return Err(damaged(format!(
                    "it holds tensor {}, which {INDEX} does not say; download the folder again",
                    quote(&name)
                )));
            }
            let (start, end) = info.data_offsets;
            let tensor = StoredTensor {
                file: Arc::clone(&file),
                range: data_at + start..data_at + end,
                dtype: info.dtype,
                shape: info.shape.clone(),
            };
            self.tensors.insert(name, tensor);
        }
        self.files.push(path);
        Ok(())
    }
}

/// Whether this is a name of a file that cannot lead out of its folder.
fn is_plain(name: &str) -> bool {
    name.ends_with(".safetensors")
        && !name.starts_with('.')
        && !name.contains(['/', '\\', '\0', ':'])
}
