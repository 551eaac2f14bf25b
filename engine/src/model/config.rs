//! Hyperparameters of a network.

/// The network families the forward pass knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Architecture {
    /// BitNet b1.58 2B4T (arXiv 2504.12285): sub-norms, squared ReLU gate. GGUF `bitnet-b1.58`, `bitnet-25`.
    BitnetB158,
    /// The 1bitLLM reproduction of arXiv 2402.17764: sub-norms, SiLU gate. GGUF `bitnet`.
    Bitnet,
    /// Llama: no sub-norms, SiLU gate. GGUF `llama`.
    Llama,
}

/// Gate activation of the feed-forward part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Activation {
    /// x * sigmoid(x)
    Silu,
    /// max(x, 0)^2
    SquaredRelu,
}

/// Which dimensions of a head rotary position embedding turns together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RopePairing {
    /// (i, i + dims/2), as GPT-NeoX and Hugging Face checkpoints have it; GGUF `bitnet*`.
    Halves,
    /// (2i, 2i + 1); GGUF `llama`, whose query and key rows were permuted for it.
    Adjacent,
}

/// Hyperparameters, each read from the file (or a published shape), none assumed.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Network family.
    pub architecture: Architecture,
    /// Tokens of the vocabulary.
    pub vocab: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Width of the feed-forward part.
    pub ffn: usize,
    /// Number of layers.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Dimensions of a head.
    pub head_dim: usize,
    /// Epsilon of every RMSNorm.
    pub rms_epsilon: f32,
    /// Base of the rotary frequencies.
    pub rope_base: f32,
    /// Dimensions of a head that are rotated; even, at most `head_dim`.
    pub rope_dims: usize,
    /// Which dimensions are rotated together.
    pub rope_pairing: RopePairing,
    /// Linear position scaling: positions are divided by this (1 for none).
    pub rope_linear_factor: f32,
    /// Positions the model was made for.
    pub context_length: usize,
}

impl Config {
    /// The gate activation of this family.
    pub fn activation(&self) -> Activation {
        match self.architecture {
            Architecture::BitnetB158 => Activation::SquaredRelu,
            Architecture::Bitnet | Architecture::Llama => Activation::Silu,
        }
    }

    /// Whether this family has an RMSNorm before the output and down projections.
    pub fn has_sub_norms(&self) -> bool {
        match self.architecture {
            Architecture::BitnetB158 | Architecture::Bitnet => true,
            Architecture::Llama => false,
        }
    }

    /// Weights of all linear layers together; embedding and head are not among them.
    pub fn linear_weights(&self) -> u64 {
        let (hidden, ffn) = (self.hidden as u64, self.ffn as u64);
        let q = (self.heads * self.head_dim) as u64;
        let kv = (self.kv_heads * self.head_dim) as u64;
        self.layers as u64 * (2 * hidden * q + 2 * hidden * kv + 3 * hidden * ffn)
    }
}
