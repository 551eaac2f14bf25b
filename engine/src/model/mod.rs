//! What a network is made of: hyperparameters and canonical weights, from a file or a generator.

mod config;
mod error;
mod export;
pub mod formats;
pub mod gguf;
pub mod huggingface;
mod load;
mod synthetic;
mod ternarize;

pub use config::{Activation, Architecture, Config, NormKind, Pooling, RopePairing};
pub use error::LoadError;
pub use load::{LoadOptions, load};

use crate::weights::{DenseMatrix, LinearWeights};

/// A network ready to be packed: every tensor was checked against the configuration.
#[derive(Debug, Clone)]
pub struct Model {
    /// Hyperparameters.
    pub config: Config,
    /// Token embedding, `[vocab][hidden]`.
    pub embedding: DenseMatrix,
    /// The layers, in order.
    pub layers: Vec<Layer>,
    /// Weight of the last norm, `[hidden]`.
    pub final_norm: Vec<f32>,
    /// LM head, `[vocab][hidden]`; absent where the embedding serves as head.
    pub head: Option<DenseMatrix>,
    /// Divisor of the frequency of each pair of dimensions, `[rope_dims / 2]`, where the file carries one (Llama 3.1).
    pub rope_factors: Option<Vec<f32>>,
    /// How an embedding model pools its states; absent for language models.
    pub pooling: Option<Pooling>,
    /// What was decided about the file that it does not say itself, in sentences for the user.
    pub notes: Vec<String>,
}

/// The weights of one layer. Norm weights are `[hidden]`, but for the sub-norms and those of heads.
#[derive(Debug, Clone)]
pub struct Layer {
    /// Norm before attention.
    pub attention_norm: Vec<f32>,
    /// Query projection, `[heads * head_dim][hidden]`.
    pub query: LinearWeights,
    /// Key projection, `[kv_heads * head_dim][hidden]`.
    pub key: LinearWeights,
    /// Value projection, `[kv_heads * head_dim][hidden]`.
    pub value: LinearWeights,
    /// Norms of each head of the queries and keys; Qwen3 has them.
    pub head_norms: Option<HeadNorms>,
    /// Norm before the output projection, `[heads * head_dim]`; the BitNet families have it.
    pub attention_sub_norm: Option<Vec<f32>>,
    /// Output projection, `[hidden][heads * head_dim]`.
    pub output: LinearWeights,
    /// Norm before the feed-forward part.
    pub ffn_norm: Vec<f32>,
    /// Gate projection, `[ffn][hidden]`, where the activation has a gate.
    pub gate: Option<LinearWeights>,
    /// Up projection, `[ffn][hidden]`.
    pub up: LinearWeights,
    /// Norm before the down projection, `[ffn]`; the BitNet families have it.
    pub ffn_sub_norm: Option<Vec<f32>>,
    /// Down projection, `[hidden][ffn]`.
    pub down: LinearWeights,
    /// Norms of the other projections' own; the BitNet embedding models have them.
    pub input_norms: Option<InputNorms>,
}

/// What the heads of queries and keys are normalised with before they are turned, `[head_dim]` each.
#[derive(Debug, Clone)]
pub struct HeadNorms {
    /// For each head of the queries.
    pub query: Vec<f32>,
    /// For each head of the keys.
    pub key: Vec<f32>,
}

/// What the input of a projection is normalised with once more, after the norm that projections share; `[hidden]` each.
#[derive(Debug, Clone)]
pub struct InputNorms {
    /// Before the query projection.
    pub query: Vec<f32>,
    /// Before the key projection.
    pub key: Vec<f32>,
    /// Before the value projection.
    pub value: Vec<f32>,
    /// Before the gate projection.
    pub gate: Vec<f32>,
    /// Before the up projection.
    pub up: Vec<f32>,
}

impl Layer {
    /// The linear layers with the names that GGUF files have for them, in the order in which they are run.
    pub fn linear(&self) -> impl Iterator<Item = (&'static str, &LinearWeights)> {
        let gate = self.gate.as_ref().map(|gate| ("ffn_gate", gate));
        [
            ("attn_q", &self.query),
            ("attn_k", &self.key),
            ("attn_v", &self.value),
            ("attn_output", &self.output),
        ]
        .into_iter()
        .chain(gate)
        .chain([("ffn_up", &self.up), ("ffn_down", &self.down)])
    }
}
