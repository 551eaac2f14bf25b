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

pub use config::{Activation, Architecture, Config, RopePairing};
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
    /// Weight of the last RMSNorm, `[hidden]`.
    pub final_norm: Vec<f32>,
    /// LM head, `[vocab][hidden]`; absent where the embedding serves as head.
    pub head: Option<DenseMatrix>,
    /// Divisor of the frequency of each pair of dimensions, `[rope_dims / 2]`, where the file carries one (Llama 3.1).
    pub rope_factors: Option<Vec<f32>>,
    /// What was decided about the file that it does not say itself, in sentences for the user.
    pub notes: Vec<String>,
}

/// The weights of one layer. Norm weights are `[hidden]`, but for the sub-norms.
#[derive(Debug, Clone)]
pub struct Layer {
    /// RMSNorm before attention.
    pub attention_norm: Vec<f32>,
    /// Query projection, `[heads * head_dim][hidden]`.
    pub query: LinearWeights,
    /// Key projection, `[kv_heads * head_dim][hidden]`.
    pub key: LinearWeights,
    /// Value projection, `[kv_heads * head_dim][hidden]`.
    pub value: LinearWeights,
    /// RMSNorm before the output projection, `[heads * head_dim]`; the BitNet families have it.
    pub attention_sub_norm: Option<Vec<f32>>,
    /// Output projection, `[hidden][heads * head_dim]`.
    pub output: LinearWeights,
    /// RMSNorm before the feed-forward part.
    pub ffn_norm: Vec<f32>,
    /// Gate projection, `[ffn][hidden]`.
    pub gate: LinearWeights,
    /// Up projection, `[ffn][hidden]`.
    pub up: LinearWeights,
    /// RMSNorm before the down projection, `[ffn]`; the BitNet families have it.
    pub ffn_sub_norm: Option<Vec<f32>>,
    /// Down projection, `[hidden][ffn]`.
    pub down: LinearWeights,
}

impl Layer {
    /// The linear layers with the names that GGUF files give them, in the order of their use.
    pub fn linear(&self) -> [(&'static str, &LinearWeights); 7] {
        [
            ("attn_q", &self.query),
            ("attn_k", &self.key),
            ("attn_v", &self.value),
            ("attn_output", &self.output),
            ("ffn_gate", &self.gate),
            ("ffn_up", &self.up),
            ("ffn_down", &self.down),
        ]
    }
}
