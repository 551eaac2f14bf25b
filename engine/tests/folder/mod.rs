//! Making Hugging Face folders for tests, from the fixture or from other weights.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Map, Value, json};

/// What is in a folder: its configuration and its tensors.
#[derive(Clone)]
pub(crate) struct FolderFiles {
    pub(crate) config: Value,
    pub(crate) tensors: BTreeMap<String, Stored>,
}

#[derive(Clone)]
pub(crate) struct Stored {
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    pub(crate) data: Vec<u8>,
}

pub(crate) fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/hf-tiny-offline")
}

impl Stored {
    pub(crate) fn f32(shape: &[usize], numbers: &[f32]) -> Stored {
        assert_eq!(shape.iter().product::<usize>(), numbers.len());
        Stored {
            dtype: Dtype::F32,
            shape: shape.to_vec(),
            data: numbers.iter().flat_map(|n| n.to_le_bytes()).collect(),
        }
    }

    /// The numbers of a tensor in bfloat16, or the bytes of one in bytes.
    pub(crate) fn numbers(&self) -> Vec<f32> {
        let bf16 = |bytes: &[u8; 2]| f32::from_bits(u32::from(u16::from_le_bytes(*bytes)) << 16);
        match self.dtype {
            Dtype::BF16 => self.data.as_chunks().0.iter().map(bf16).collect(),
            Dtype::F32 => {
                let chunks = self.data.as_chunks().0.iter();
                chunks.map(|bytes| f32::from_le_bytes(*bytes)).collect()
            }
            other => panic!("numbers of {other:?}"),
        }
    }

    /// The weights of a packed tensor, row after row: two bits a weight, a quarter of the rows at each place of a byte.
    pub(crate) fn unpacked(&self) -> Vec<f32> {
        assert_eq!(self.dtype, Dtype::U8);
        let weights = |place: u32| {
            let code = move |byte: &u8| f32::from((byte >> (2 * place)) & 3) - 1.0;
            self.data.iter().map(code)
        };
        (0..4).flat_map(weights).collect()
    }
}

impl FolderFiles {
    pub(crate) fn read(folder: &Path) -> FolderFiles {
        let bytes = fs::read(folder.join("model.safetensors")).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let stored = |view: TensorView<'_>| Stored {
            dtype: view.dtype(),
            shape: view.shape().to_vec(),
            data: view.data().to_vec(),
        };
        FolderFiles {
            config: serde_json::from_slice(&fs::read(folder.join("config.json")).unwrap()).unwrap(),
            tensors: tensors
                .iter()
                .map(|(name, view)| (name.to_owned(), stored(view)))
                .collect(),
        }
    }

    pub(crate) fn set(&mut self, key: &str, value: Value) {
        self.config[key] = value;
    }

    /// Names of the packed tensors.
    pub(crate) fn packed(&self) -> Vec<String> {
        let packed = self.tensors.iter().filter(|t| t.1.dtype == Dtype::U8);
        packed.map(|(name, _)| name.clone()).collect()
    }

    pub(crate) fn rename(&mut self, from: &str, to: &str) {
        let renamed = |(name, tensor): (String, Stored)| (name.replace(from, to), tensor);
        self.tensors = std::mem::take(&mut self.tensors)
            .into_iter()
            .map(renamed)
            .collect();
    }

    fn bytes(&self, is_in: impl Fn(&str) -> bool) -> Vec<u8> {
        let tensors = self.tensors.iter().filter(|(name, _)| is_in(name));
        let views = tensors.map(|(name, t)| {
            let view = TensorView::new(t.dtype, t.shape.clone(), &t.data);
            (name, view.unwrap())
        });
        safetensors::serialize(views, None).unwrap()
    }

    fn write_config(&self, folder: &Path) {
        fs::write(folder.join("config.json"), self.config.to_string()).unwrap();
    }

    /// With one file of weights.
    pub(crate) fn write(&self, folder: &Path) {
        self.write_config(folder);
        fs::write(folder.join("model.safetensors"), self.bytes(|_| true)).unwrap();
    }

    /// With as many files of weights, tensors dealt out in turn, and an index.
    pub(crate) fn write_sharded(&self, folder: &Path, count: usize) {
        self.write_config(folder);
        let name = |shard: usize| format!("model-{:05}-of-{count:05}.safetensors", shard + 1);
        let shard_of: BTreeMap<&str, usize> = self
            .tensors
            .keys()
            .enumerate()
            .map(|(at, tensor)| (tensor.as_str(), at % count))
            .collect();
        for shard in 0..count {
            let bytes = self.bytes(|tensor| shard_of[tensor] == shard);
            fs::write(folder.join(name(shard)), bytes).unwrap();
        }
        let map: Map<String, Value> = shard_of
            .iter()
            .map(|(tensor, shard)| ((*tensor).to_owned(), json!(name(*shard))))
            .collect();
        let index = json!({ "metadata": { "total_size": 1 }, "weight_map": map });
        let path = folder.join("model.safetensors.index.json");
        fs::write(path, index.to_string()).unwrap();
    }
}

/// Compiled into every test binary that uses this module, so that none of it is unused in any.
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = FolderFiles::read(&fixture());
        let packed = files.packed();
        assert_eq!(packed.len(), 21);
        let trits = files.tensors[&packed[0]].unpacked();
        assert!(trits.iter().all(|trit| [-1.0, 0.0, 1.0].contains(trit)));
        files.set("hidden_act", json!("silu"));
        files.rename("model.norm", "model.other");
        let ones = Stored::f32(&[2], &[1.0, 1.0]);
        files.tensors.insert("ones".into(), ones);
        files.write(folder.path());
        let read = FolderFiles::read(folder.path());
        assert_eq!(read.config["hidden_act"], "silu");
        assert_eq!(read.tensors["ones"].numbers(), [1.0, 1.0]);
        assert!(read.tensors.contains_key("model.other.weight"));
        files.write_sharded(folder.path(), 2);
        assert!(
            folder
                .path()
                .join("model-00002-of-00002.safetensors")
                .is_file()
        );
    }
}
