//! From a [`Model`] to a description of a GGUF file that llama.cpp or bitnet.cpp can read too.
//!
//! Keys and tensor names are those of the GGUF specification and of llama.cpp. Linear layers are stored in the format asked
//! for, embedding and head in half precision, norms in single precision.

use std::sync::Arc;

use super::formats::{HALF, TensorFormat};
use super::gguf::{Gguf, GgufFile, I2_S_BLOCK, WriteError};
use super::{Architecture, Config, Layer, Model, Pooling, RopePairing};
use crate::tokenizer::GgufTokenizer;
use crate::weights::{DenseMatrix, DenseRows, LinearWeights, TernaryMatrix, TernaryRows};

/// Keys that say how a file is stored, which a copy says anew.
const ABOUT_STORAGE: [&str; 4] = [
    "general.file_type",
    "general.quantization_version",
    "general.alignment",
    I2_S_BLOCK,
];
/// Keys of a file that is one of several.
const OF_A_PART: &str = "split.";
/// Version of ggml's block formats.
const QUANTIZATION_VERSION: u32 = 2;

impl Model {
    /// A file of this model without a tokenizer, all its metadata made from the hyperparameters.
    ///
    /// # Errors
    /// [`WriteError::Unfit`] where `format` cannot hold a linear layer, [`WriteError::NoName`] where no file holds the family.
    pub fn to_gguf(
        &self,
        name: &str,
        format: &'static TensorFormat,
    ) -> Result<GgufFile<'_>, WriteError> {
        self.to_gguf_with(name, format, None)
    }

    /// As [`Model::to_gguf`], with a tokenizer.
    ///
    /// # Errors
    /// As there.
    pub fn to_gguf_with(
        &self,
        name: &str,
        format: &'static TensorFormat,
        tokenizer: Option<&GgufTokenizer>,
    ) -> Result<GgufFile<'_>, WriteError> {
        let mut file = GgufFile::new();
        let family = self.config.architecture;
        let architecture = family.gguf_name().ok_or_else(|| WriteError::NoName {
            family: format!("{family:?}"),
        })?;
        file.string("general.architecture", architecture);
        file.string("general.name", name);
        add_storage(&mut file, format);
        add_config(&mut file, architecture, &self.config);
        if let Some(pooling) = self.pooling {
            let number = match pooling {
                Pooling::Mean => 1,
                Pooling::Last => 3,
            };
            file.u32(&format!("{architecture}.pooling_type"), number);
        }
        match tokenizer {
            Some(tokenizer) => tokenizer.add_to(&mut file),
            None => file.string("tokenizer.ggml.model", "no_vocab"),
        }

        let half = |matrix: &DenseMatrix| LinearWeights::Dense(matrix.clone());
        file.matrix("token_embd.weight", &half(&self.embedding), HALF)?;
        for (index, layer) in self.layers.iter().enumerate() {
            add_layer(&mut file, index, layer, &self.config, format)?;
        }
        file.vector("output_norm.weight", &self.final_norm);
        if let Some(head) = &self.head {
            file.matrix("output.weight", &half(head), HALF)?;
        }
        if let Some(factors) = &self.rope_factors {
            file.vector("rope_freqs.weight", factors);
        }
        Ok(file)
    }

    /// A copy of the file that this model was loaded from, with its linear layers in another format. Embedding, head, norms
    /// and metadata are copied as they are; scales that early files have beside their tensors are multiplied in.
    ///
    /// # Errors
    /// [`WriteError::Unfit`] where `format` cannot hold a linear layer.
    pub fn convert<'a>(
        &self,
        source: &'a Gguf,
        format: &'static TensorFormat,
    ) -> Result<GgufFile<'a>, WriteError> {
        let mut file = GgufFile::new();
        file.copy_metadata(source, |key| {
            !ABOUT_STORAGE.contains(&key) && !key.starts_with(OF_A_PART)
        });
        add_storage(&mut file, format);
        if source.get("tokenizer.ggml.model").is_none() {
            file.string("tokenizer.ggml.model", "no_vocab");
        }
        for tensor in source.tensors() {
            match self.linear_of(tensor.name()) {
                Some(Part::Weights(weights)) => file.matrix(tensor.name(), weights, format)?,
                Some(Part::Scale) => {}
                None => file.stored(&tensor),
            }
        }
        Ok(file)
    }

    /// What a tensor is to the linear layers.
    fn linear_of(&self, tensor: &str) -> Option<Part<'_>> {
        let (index, part) = tensor.strip_prefix("blk.")?.split_once('.')?;
        let layer = self.layers.get(index.parse::<usize>().ok()?)?;
        let (part, suffix) = part.rsplit_once('.')?;
        let (_, weights) = layer.linear().find(|(name, _)| *name == part)?;
        match suffix {
            "weight" => Some(Part::Weights(weights)),
            "scale" => Some(Part::Scale),
            _ => None,
        }
    }
}

/// What a tensor of a file is to a linear layer.
enum Part<'a> {
    Weights(&'a LinearWeights),
    /// Multiplied into the weights when the file was loaded.
    Scale,
}

fn add_storage(file: &mut GgufFile<'_>, format: &TensorFormat) {
    if let Some(encoder) = &format.encode {
        file.u32("general.file_type", encoder.file_type);
    }
    file.u32("general.quantization_version", QUANTIZATION_VERSION);
    if format.name == "I2_S" {
        file.u32(I2_S_BLOCK, 128);
    }
}

fn add_config(file: &mut GgufFile<'_>, architecture: &str, config: &Config) {
    let key = |part: &str| format!("{architecture}.{part}");
    for (part, size) in [
        ("vocab_size", config.vocab),
        ("context_length", config.context_length),
        ("embedding_length", config.hidden),
        ("block_count", config.layers),
        ("feed_forward_length", config.ffn),
        ("attention.head_count", config.heads),
        ("attention.head_count_kv", config.kv_heads),
        ("attention.key_length", config.head_dim),
        ("attention.value_length", config.head_dim),
        ("rope.dimension_count", config.rope_dims),
    ] {
        // A size that is larger than any file can state is larger than any model.
        file.u32(&key(part), u32::try_from(size).unwrap_or(u32::MAX));
    }
    file.f32(&key("attention.layer_norm_rms_epsilon"), config.rms_epsilon);
    file.f32(&key("rope.freq_base"), config.rope_base);
    if config.rope_linear_factor != 1.0 {
        file.string(&key("rope.scaling.type"), "linear");
        file.f32(&key("rope.scaling.factor"), config.rope_linear_factor);
    }
}

fn add_layer<'a>(
    file: &mut GgufFile<'a>,
    index: usize,
    layer: &'a Layer,
    config: &Config,
    format: &'static TensorFormat,
) -> Result<(), WriteError> {
    let name = |part: &str| format!("blk.{index}.{part}.weight");
    for (part, weights) in layer.linear() {
        if ["attn_q", "attn_k"].contains(&part) {
            file.matrix(&name(part), &as_files_pair(weights, config), format)?;
        } else {
            file.matrix(&name(part), weights, format)?;
        }
    }
    file.vector(&name("attn_norm"), &layer.attention_norm);
    file.vector(&name("ffn_norm"), &layer.ffn_norm);
    let [attention_sub_norm, ffn_sub_norm] = config.sub_norm_names();
    for (part, norm) in [
        (attention_sub_norm, &layer.attention_sub_norm),
        (ffn_sub_norm, &layer.ffn_sub_norm),
    ] {
        if let Some(norm) = norm {
            file.vector(&name(part), norm);
        }
    }
    if let Some(norms) = &layer.head_norms {
        file.vector(&name("attn_q_norm"), &norms.query);
        file.vector(&name("attn_k_norm"), &norms.key);
    }
    if let Some(norms) = &layer.input_norms {
        for (part, norm) in [
            ("attn_q_norm_in", &norms.query),
            ("attn_k_norm_in", &norms.key),
            ("attn_v_norm_in", &norms.value),
            ("ffn_gate_norm_in", &norms.gate),
            ("ffn_up_norm_in", &norms.up),
        ] {
            file.vector(&name(part), norm);
        }
    }
    Ok(())
}

/// The rows of a query or key projection in the order that files of the architecture have them.
fn as_files_pair(weights: &LinearWeights, config: &Config) -> LinearWeights {
    let in_order =
        config.architecture != Architecture::Llama || config.rope_pairing == RopePairing::Adjacent;
    if in_order {
        return weights.clone();
    }
    let (rows, cols) = (weights.rows(), weights.cols());
    let order = Adjacent {
        head_dim: config.head_dim,
        rope_dims: config.rope_dims,
    };
    match weights {
        LinearWeights::Ternary(matrix) => {
            let source = Arc::new(Reordered {
                matrix: matrix.clone(),
                order,
            });
            LinearWeights::Ternary(TernaryMatrix::new(rows, cols, matrix.scale(), source))
        }
        LinearWeights::Dense(matrix) => {
            let source = Arc::new(Reordered {
                matrix: matrix.clone(),
                order,
            });
            LinearWeights::Dense(DenseMatrix::new(rows, cols, source, matrix.not_ternary()))
        }
    }
}

/// Dimensions (i, i + dims/2) of each head brought beside each other.
struct Adjacent {
    head_dim: usize,
    rope_dims: usize,
}

impl Adjacent {
    /// Where the row that becomes `row` comes from.
    fn from(&self, row: usize) -> usize {
        let within = row % self.head_dim;
        if within >= self.rope_dims {
            return row;
        }
        row - within + within / 2 + within % 2 * (self.rope_dims / 2)
    }
}

struct Reordered<M> {
    matrix: M,
    order: Adjacent,
}

impl TernaryRows for Reordered<TernaryMatrix> {
    fn read_row(&self, row: usize, out: &mut [i8]) {
        self.matrix.read_row(self.order.from(row), out);
    }
}

impl DenseRows for Reordered<DenseMatrix> {
    fn read_row(&self, row: usize, out: &mut [f32]) {
        self.matrix.read_row(self.order.from(row), out);
    }
}
