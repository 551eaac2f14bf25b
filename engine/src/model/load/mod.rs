//! From an open GGUF file to a [`Model`].
//!
//! Every tensor of the file must be one that the network uses, of the shape that the hyperparameters say. Linear layers
//! are found to be ternary or not; their weights stay in the file and are decoded row by row.

mod config;
pub(super) mod linear;
mod rows;

use std::path::Path;
use std::sync::Arc;

use super::gguf::{Gguf, Tensor};
use super::huggingface::Folder;
use super::{Architecture, Config, HeadNorms, InputNorms, Layer, LoadError, Model};
use crate::weights::{DenseMatrix, LinearWeights};
pub(super) use rows::FileRows;

/// What to do with a file beyond what it says.
#[derive(Debug, Clone, Copy, Default)]
pub struct LoadOptions {
    /// Rounds linear layers that are not ternary to {-1, 0, +1} times their mean magnitude (absmean, arXiv 2402.17764). The
    /// model then computes something else than it was trained for: right for measuring speed, not for reading the text.
    pub ternarize: bool,
}

/// Opens a GGUF file, or a folder with safetensors files, and maps it to a model.
///
/// # Errors
/// As [`Gguf::open`] and [`Model::from_gguf`], or [`Folder::open`] and [`Model::from_folder`].
pub fn load(path: impl AsRef<Path>, options: LoadOptions) -> Result<Model, LoadError> {
    let path = path.as_ref();
    if path.is_dir() {
        return Model::from_folder(&Folder::open(path)?, options);
    }
    Model::from_gguf(&Gguf::open(path)?, options)
}

impl Model {
    /// Maps an open file to a model. The model keeps the file mapped and holds nothing of it but norms.
    ///
    /// # Errors
    /// [`LoadError::Unsupported`] for another architecture, for hyperparameters or tensors that the network does not know,
    /// and [`LoadError::Damaged`] for what is missing, has the wrong shape or holds impossible weights.
    pub fn from_gguf(gguf: &Gguf, options: LoadOptions) -> Result<Model, LoadError> {
        let mut tensors = Tensors {
            gguf,
            used: vec![false; gguf.tensors().len()],
            options,
        };
        let config = config::read(gguf)?;
        let (vocab, hidden) = (config.vocab, config.hidden);
        let model = Model {
            embedding: tensors.dense("token_embd.weight", vocab, hidden)?,
            layers: (0..config.layers)
                .map(|layer| tensors.layer(layer, &config))
                .collect::<Result<_, _>>()?,
            final_norm: tensors.vector("output_norm.weight", hidden)?,
            head: match gguf.tensor("output.weight") {
                Some(_) => Some(tensors.dense("output.weight", vocab, hidden)?),
                None => None,
            },
            rope_factors: match gguf.tensor("rope_freqs.weight") {
                Some(_) => Some(tensors.rope_factors(config.rope_dims / 2)?),
                None => None,
            },
            pooling: config::pooling(gguf)?,
            notes: gguf.notes(),
            config,
        };
        tensors.check_all_used()?;
        Ok(model)
    }
}

/// The tensors of a file, and which of them found a use.
struct Tensors<'a> {
    gguf: &'a Gguf,
    used: Vec<bool>,
    options: LoadOptions,
}

impl<'a> Tensors<'a> {
    fn layer(&mut self, layer: usize, config: &Config) -> Result<Layer, LoadError> {
        let (hidden, ffn) = (config.hidden, config.ffn);
        let (q, kv) = (
            config.heads * config.head_dim,
            config.kv_heads * config.head_dim,
        );
        let name = |part: &str| format!("blk.{layer}.{part}");
        let mut linear = |part: &str, rows, cols| self.linear(&name(part), rows, cols, config);
        let query = linear("attn_q", q, hidden)?;
        let key = linear("attn_k", kv, hidden)?;
        let value = linear("attn_v", kv, hidden)?;
        let output = linear("attn_output", hidden, q)?;
        let gate = config.has_gate().then(|| linear("ffn_gate", ffn, hidden));
        let gate = gate.transpose()?;
        let up = linear("ffn_up", ffn, hidden)?;
        let down = linear("ffn_down", hidden, ffn)?;
        let mut norm = |part: &str, len| self.vector(&name(&format!("{part}.weight")), len);
        let [attention_sub_norm, ffn_sub_norm] = config.sub_norm_names();
        let mut sub_norm = |part, len| config.has_sub_norms().then(|| norm(part, len)).transpose();
        Ok(Layer {
            attention_sub_norm: sub_norm(attention_sub_norm, q)?,
            ffn_sub_norm: sub_norm(ffn_sub_norm, ffn)?,
            attention_norm: norm("attn_norm", hidden)?,
            ffn_norm: norm("ffn_norm", hidden)?,
            head_norms: match config.has_head_norms() {
                true => Some(HeadNorms {
                    query: norm("attn_q_norm", config.head_dim)?,
                    key: norm("attn_k_norm", config.head_dim)?,
                }),
                false => None,
            },
            input_norms: match config.has_input_norms() {
                true => Some(InputNorms {
                    query: norm("attn_q_norm_in", hidden)?,
                    key: norm("attn_k_norm_in", hidden)?,
                    value: norm("attn_v_norm_in", hidden)?,
                    gate: norm("ffn_gate_norm_in", hidden)?,
                    up: norm("ffn_up_norm_in", hidden)?,
                }),
                false => None,
            },
            query,
            key,
            value,
            output,
            gate,
            up,
            down,
        })
    }

    fn find(&mut self, name: &str) -> Result<Tensor<'a>, LoadError> {
        let tensor = self
            .gguf
            .tensor(name)
            .ok_or_else(|| self.gguf.damaged(format!("there is no tensor {name}")))?;
        if let Some(used) = self.used.get_mut(tensor.index) {
            *used = true;
        }
        Ok(tensor)
    }

    /// A matrix of this shape.
    fn matrix(&mut self, name: &str, rows: usize, cols: usize) -> Result<FileRows, LoadError> {
        let tensor = self.find(name)?;
        let (found_rows, found_cols) = shape(&tensor);
        if (found_rows, found_cols) != (rows as u64, cols as u64) {
            return Err(self.gguf.damaged(format!(
                "tensor {name} has {found_rows} rows of {found_cols}, and the hyperparameters ask for {rows} of {cols}"
            )));
        }
        let (file, range) = (Arc::clone(tensor.file), tensor.range());
        Ok(FileRows::new(file, range, tensor.format(), rows, cols))
    }

    fn dense(&mut self, name: &str, rows: usize, cols: usize) -> Result<DenseMatrix, LoadError> {
        let rows = self.matrix(name, rows, cols)?;
        Ok(rows.into_dense(
            1.0,
            &format!("{name} is an embedding or head, which is kept dense"),
        ))
    }

    /// A linear layer, with the separate scale that early files of the BitNet architecture may have beside it.
    fn linear(
        &mut self,
        name: &str,
        rows: usize,
        cols: usize,
        config: &Config,
    ) -> Result<LinearWeights, LoadError> {
        let factor_name = format!("{name}.scale");
        let may_have_factor = matches!(
            config.architecture,
            Architecture::Bitnet | Architecture::BitnetB158
        );
        let has_factor = may_have_factor && self.gguf.tensor(&factor_name).is_some();
        let factor = if has_factor {
            self.vector(&factor_name, 1)?[0]
        } else {
            1.0
        };
        let name = format!("{name}.weight");
        let rows = self.matrix(&name, rows, cols)?;
        linear::weights(rows, &name, factor, self.options)
            .map_err(|detail| self.gguf.damaged(format!("tensor {name}: {detail}")))
    }

    /// A vector of finite numbers.
    fn vector(&mut self, name: &str, len: usize) -> Result<Vec<f32>, LoadError> {
        let tensor = self.find(name)?;
        let format = tensor.format();
        // Norms are never quantised; what is small in the file must not grow large in memory.
        if format.block_elements != 1 {
            return Err(self.gguf.unsupported(format!(
                "tensor {name} is stored as {}; F32, F16 and BF16 are supported for it",
                format.name
            )));
        }
        if shape(&tensor) != (1, len as u64) {
            return Err(self.gguf.damaged(format!(
                "tensor {name} has the shape {:?}, and the hyperparameters ask for [{len}]",
                tensor.dims()
            )));
        }
        let mut out = vec![0.0; len];
        (format.decode)(tensor.data(), &[], &mut out);
        match out.iter().position(|number| !number.is_finite()) {
            None => Ok(out),
            Some(at) => {
                let number = out[at];
                Err(self
                    .gguf
                    .damaged(format!("tensor {name} holds {number} at {at}")))
            }
        }
    }

    fn rope_factors(&mut self, len: usize) -> Result<Vec<f32>, LoadError> {
        let name = "rope_freqs.weight";
        let factors = self.vector(name, len)?;
        if factors.iter().any(|factor| *factor <= 0.0) {
            return Err(self.gguf.damaged(format!(
                "tensor {name} holds a divisor that is not positive"
            )));
        }
        Ok(factors)
    }

    fn check_all_used(&self) -> Result<(), LoadError> {
        match self.used.iter().position(|used| !used) {
            None => Ok(()),
            Some(unused) => {
                let name = self
                    .gguf
                    .tensors()
                    .nth(unused)
                    .map_or_else(String::new, |tensor| tensor.name().to_owned());
                Err(self.gguf.unsupported(format!(
                    "the network has no use for tensor {name}; running without it would compute something else"
                )))
            }
        }
    }
}

/// Rows and columns, or rows of 0 where it is no matrix.
fn shape(tensor: &Tensor<'_>) -> (u64, u64) {
    match *tensor.dims() {
        [cols] => (1, cols),
        [cols, rows] | [cols, rows, 1] | [cols, rows, 1, 1] => (rows, cols),
        [cols, ..] => (0, cols),
        [] => (0, 0),
    }
}
