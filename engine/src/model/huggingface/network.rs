//! From the tensors of a folder to a [`Model`].

use std::collections::BTreeSet;
use std::sync::Arc;

use safetensors::Dtype;

use super::Folder;
use super::config::Read;
use super::json::{Keys, quote};
use super::packed::{Packed, ROWS_PER_BYTE};
use super::quantization::Linear;
use super::shards::StoredTensor;
use crate::model::formats::{self, TensorFormat};
use crate::model::load::{FileRows, linear};
use crate::model::{Config, HeadNorms, Layer, LoadError, LoadOptions, Model};
use crate::weights::{DenseMatrix, LinearWeights, TernaryMatrix};

/// What the names of all tensors but the head begin with, unless the folder was saved without a head.
const TRUNK: &str = "model.";
const EMBEDDING: &str = "embed_tokens.weight";
const HEAD: &str = "lm_head.weight";
/// Of a folder whose class has no head, and whose embedding is not said to be one.
const NO_HEAD: &str = "the folder has no head, so the embedding serves as one: its vectors are right, its text means nothing";

impl Model {
    /// Maps an open folder to a model. The model keeps its files mapped and holds nothing of them but norms.
    ///
    /// Weights that a `quantization_config` (or the 1bitLLM code) rounds at run time are rounded by the same rule: their mean
    /// magnitude, in single precision, is the scale. BitNet folders without one are computed as transformers does, with
    /// their weights as stored.
    ///
    /// # Errors
    /// [`LoadError::Unsupported`] for another family, for hyperparameters or tensors that the network does not know, and
    /// [`LoadError::Damaged`] for what is missing, has the wrong shape or holds impossible weights.
    pub fn from_folder(folder: &Folder, options: LoadOptions) -> Result<Model, LoadError> {
        let keys = Keys {
            path: &folder.config_path,
            within: "",
            map: &folder.config,
        };
        let read = super::config::read(keys, folder.shards.tensors.len())?;
        let mut tensors = Tensors {
            folder,
            trunk: match folder.shards.tensors.contains_key(EMBEDDING) {
                true => "",
                false => TRUNK,
            },
            used: BTreeSet::new(),
            options,
        };
        let config = &read.config;
        let (vocab, hidden) = (config.vocab, config.hidden);
        let embedding = tensors.dense(&tensors.trunk(EMBEDDING), vocab, hidden)?;
        let mut notes = Vec::new();
        let head = if read.tied {
            tensors.skip_tied_head()?;
            None
        } else if read.headless && !folder.shards.tensors.contains_key(HEAD) {
            notes.push(NO_HEAD.to_owned());
            None
        } else {
            Some(tensors.dense(HEAD, vocab, hidden)?)
        };
        let model = Model {
            embedding,
            layers: (0..config.layers)
                .map(|layer| tensors.layer(layer, &read))
                .collect::<Result<_, _>>()?,
            final_norm: tensors.vector(&tensors.trunk("norm.weight"), hidden)?,
            head,
            rope_factors: read.rope_factors,
            pooling: super::pooling::read(folder)?,
            notes,
            config: read.config,
        };
        tensors.check_all_used()?;
        Ok(model)
    }
}

/// The tensors of a folder, and which of them found a use.
struct Tensors<'a> {
    folder: &'a Folder,
    /// [`TRUNK`], or nothing.
    trunk: &'static str,
    used: BTreeSet<&'a str>,
    options: LoadOptions,
}

impl<'a> Tensors<'a> {
    /// The whole name of a tensor that is not the head.
    fn trunk(&self, part: &str) -> String {
        format!("{}{part}", self.trunk)
    }

    fn layer(&mut self, layer: usize, read: &Read<'_>) -> Result<Layer, LoadError> {
        let config: &Config = &read.config;
        let (hidden, ffn) = (config.hidden, config.ffn);
        let (q, kv) = (
            config.heads * config.head_dim,
            config.kv_heads * config.head_dim,
        );
        let trunk = self.trunk;
        let name = |part: &str| format!("{trunk}layers.{layer}.{part}");
        let mut linear = |part: &str, rows, cols| {
            let module = name(part);
            self.linear(&module, rows, cols, read.quantization.of(&module))
        };
        let query = linear("self_attn.q_proj", q, hidden)?;
        let key = linear("self_attn.k_proj", kv, hidden)?;
        let value = linear("self_attn.v_proj", kv, hidden)?;
        let output = linear("self_attn.o_proj", hidden, q)?;
        let gate = linear("mlp.gate_proj", ffn, hidden)?;
        let up = linear("mlp.up_proj", ffn, hidden)?;
        let down = linear("mlp.down_proj", hidden, ffn)?;
        let mut norm = |part: &str, len| self.vector(&format!("{}.weight", name(part)), len);
        let [attention_sub_norm, ffn_sub_norm] = read.sub_norms;
        let mut sub_norm = |part, len| config.has_sub_norms().then(|| norm(part, len)).transpose();
        Ok(Layer {
            attention_sub_norm: sub_norm(attention_sub_norm, q)?,
            ffn_sub_norm: sub_norm(ffn_sub_norm, ffn)?,
            attention_norm: norm("input_layernorm", hidden)?,
            ffn_norm: norm("post_attention_layernorm", hidden)?,
            head_norms: match config.has_head_norms() {
                true => Some(HeadNorms {
                    query: norm("self_attn.q_norm", config.head_dim)?,
                    key: norm("self_attn.k_norm", config.head_dim)?,
                }),
                false => None,
            },
            input_norms: None,
            query,
            key,
            value,
            output,
            gate: Some(gate),
            up,
            down,
        })
    }

    /// The weights of a linear layer, as its class in transformers would use them.
    fn linear(
        &mut self,
        module: &str,
        rows: usize,
        cols: usize,
        class: Linear,
    ) -> Result<LinearWeights, LoadError> {
        let name = format!("{module}.weight");
        let tensor = self.find(&name)?;
        let damaged = |detail: String| self.folder.damaged(format!("tensor {name}: {detail}"));
        let scale_name = format!("{module}.weight_scale");
        let factor = match class {
            Linear::Divided => self.vector(&scale_name, 1)?[0].recip(),
            Linear::Multiplied => self.vector(&scale_name, 1)?[0],
            Linear::Online | Linear::Plain => 1.0,
        };
        if !factor.is_finite() {
            let detail = format!("tensor {scale_name} is 0, and weights are divided by it");
            return Err(self.folder.damaged(detail));
        }
        let is_packed = tensor.dtype == Dtype::U8;
        match class {
            Linear::Divided | Linear::Multiplied if is_packed => {
                if !rows.is_multiple_of(ROWS_PER_BYTE) {
                    let detail =
                        "four rows share a byte, and the number of rows is no multiple of it";
                    return Err(damaged(format!("{rows} rows: {detail}")));
                }
                self.check_shape(&name, tensor, &[rows / ROWS_PER_BYTE, cols])?;
                let packed = Packed::new(tensor.clone(), cols).map_err(damaged)?;
                let matrix = TernaryMatrix::new(rows, cols, factor, Arc::new(packed));
                Ok(LinearWeights::Ternary(matrix))
            }
            Linear::Divided => Err(self.folder.unsupported(format!(
                "tensor {name} is {:?}; packed weights (U8) are what linear_class bitlinear reads",
                tensor.dtype
            ))),
            Linear::Online => {
                let rows = self.file_rows(&name, tensor, rows, cols)?;
                linear::rounded(rows, factor).map_err(damaged)
            }
            Linear::Multiplied | Linear::Plain => {
                let rows = self.file_rows(&name, tensor, rows, cols)?;
                linear::weights(rows, &name, factor, self.options).map_err(damaged)
            }
        }
    }

    fn find(&mut self, name: &str) -> Result<&'a StoredTensor, LoadError> {
        let found = self.folder.shards.tensors.get_key_value(name);
        let (name, tensor) = found.ok_or_else(|| {
            self.folder
                .damaged(format!("there is no tensor {name} in this folder"))
        })?;
        self.used.insert(name);
        Ok(tensor)
    }

    fn check_shape(
        &self,
        name: &str,
        tensor: &StoredTensor,
        expected: &[usize],
    ) -> Result<(), LoadError> {
        if tensor.shape == expected {
            return Ok(());
        }
        Err(self.folder.damaged(format!(
            "tensor {name} has the shape {}, and config.json asks for {expected:?}",
            quote(&format!("{:?}", tensor.shape))
        )))
    }

    /// A matrix in floating point.
    fn file_rows(
        &self,
        name: &str,
        tensor: &StoredTensor,
        rows: usize,
        cols: usize,
    ) -> Result<FileRows, LoadError> {
        self.check_shape(name, tensor, &[rows, cols])?;
        let format = self.format(name, tensor)?;
        let (file, range) = (Arc::clone(&tensor.file), tensor.range.clone());
        Ok(FileRows::new(file, range, format, rows, cols))
    }

    fn format(
        &self,
        name: &str,
        tensor: &StoredTensor,
    ) -> Result<&'static TensorFormat, LoadError> {
        let known = match tensor.dtype {
            Dtype::F32 => "F32",
            Dtype::F16 => "F16",
            Dtype::BF16 => "BF16",
            other => {
                return Err(self.folder.unsupported(format!(
                    "tensor {name} is {other:?}; F32, F16 and BF16 are supported for it"
                )));
            }
        };
        let format = formats::FORMATS.iter().copied().find(|f| f.name == known);
        format.ok_or_else(|| {
            self.folder
                .unsupported(format!("there is no format {known}"))
        })
    }

    fn dense(&mut self, name: &str, rows: usize, cols: usize) -> Result<DenseMatrix, LoadError> {
        let tensor = self.find(name)?;
        let rows = self.file_rows(name, tensor, rows, cols)?;
        Ok(rows.into_dense(
            1.0,
            &format!("{name} is an embedding or head, which is kept dense"),
        ))
    }

    /// A head beside a tied embedding is a copy of it, or the file means something else than it says.
    fn skip_tied_head(&mut self) -> Result<(), LoadError> {
        if !self.folder.shards.tensors.contains_key(HEAD) {
            return Ok(());
        }
        let (head, embedding) = (self.find(HEAD)?, self.find(&self.trunk(EMBEDDING))?);
        let is_copy = head.dtype == embedding.dtype && head.data() == embedding.data();
        if is_copy {
            return Ok(());
        }
        Err(self.folder.unsupported(format!(
            "{HEAD} differs from {EMBEDDING}, but config.json says tie_word_embeddings; set it to false if the head is its own"
        )))
    }

    /// A vector of finite numbers.
    fn vector(&mut self, name: &str, len: usize) -> Result<Vec<f32>, LoadError> {
        let tensor = self.find(name)?;
        // A scale may be stored as a number with no dimension.
        if !(len == 1 && tensor.shape.is_empty()) {
            self.check_shape(name, tensor, &[len])?;
        }
        let format = self.format(name, tensor)?;
        let mut out = vec![0.0; len];
        (format.decode)(tensor.data(), &[], &mut out);
        match out.iter().position(|number| !number.is_finite()) {
            None => Ok(out),
            Some(at) => {
                let number = out[at];
                Err(self
                    .folder
                    .damaged(format!("tensor {name} holds {number} at {at}")))
            }
        }
    }

    fn check_all_used(&self) -> Result<(), LoadError> {
        // Frequencies that early versions of transformers saved, though they follow from config.json.
        let is_buffer = |name: &str| name.ends_with("rotary_emb.inv_freq");
        let mut names = self.folder.shards.tensors.keys();
        match names.find(|name| !self.used.contains(name.as_str()) && !is_buffer(name)) {
            None => Ok(()),
            Some(name) => Err(self.folder.unsupported(format!(
                "the network has no use for tensor {}; running without it would compute something else",
                quote(name)
            ))),
        }
    }
}
