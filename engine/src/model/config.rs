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
    /// Qwen3: as Llama, with an RMSNorm of each head of the queries and keys. GGUF `qwen3`.
    Qwen3,
    /// The BitNet embedding models: Qwen3 with an RMSNorm before each linear layer. GGUF `qwen3` with tensors `*_norm_in`.
    BitnetQwen3,
    /// BitNet (arXiv 2310.11453): LayerNorm before each linear layer, GELU without a gate, weights -1 and +1. No file holds it.
    BinaryBitnet,
}

/// Activation of the feed-forward part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Activation {
    /// x * sigmoid(x)
    Silu,
    /// max(x, 0)^2
    SquaredRelu,
    /// x * Phi(x), with tanh in the place of the error function (arXiv 1606.08415, section 2). It comes without a gate.
    Gelu,
}

/// How a vector is normalised, before each number gets its weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NormKind {
    /// Divided by the root of its mean square (arXiv 1910.07467).
    Rms,
    /// The mean taken off, and divided by the standard deviation (arXiv 1607.06450, without a bias).
    Layer,
}

/// How an embedding model makes one vector of the states of its tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pooling {
    /// Their mean.
    Mean,
    /// The state of the last token.
    Last,
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
    /// Epsilon of every norm.
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
    /// The activation of this family.
    pub fn activation(&self) -> Activation {
        match self.architecture {
            Architecture::BitnetB158 => Activation::SquaredRelu,
            Architecture::BinaryBitnet => Activation::Gelu,
            Architecture::Bitnet
            | Architecture::Llama
            | Architecture::Qwen3
            | Architecture::BitnetQwen3 => Activation::Silu,
        }
    }

    /// Whether the activation of this family goes through a gate of its own, by which another projection is multiplied.
    pub fn has_gate(&self) -> bool {
        self.activation() != Activation::Gelu
    }

    /// The norms of this family.
    pub fn norm(&self) -> NormKind {
        match self.architecture {
            Architecture::BinaryBitnet => NormKind::Layer,
            _ => NormKind::Rms,
        }
    }

    /// Whether this family has a norm before the output and down projections.
    pub fn has_sub_norms(&self) -> bool {
        match self.architecture {
            Architecture::BitnetB158
            | Architecture::Bitnet
            | Architecture::BitnetQwen3
            | Architecture::BinaryBitnet => true,
            Architecture::Llama | Architecture::Qwen3 => false,
        }
    }

    /// Whether the other projections of this family have a norm of their own too, after the one they share.
    pub fn has_input_norms(&self) -> bool {
        self.architecture == Architecture::BitnetQwen3
    }

    /// Whether this family normalises each head of the queries and keys.
    pub fn has_head_norms(&self) -> bool {
        matches!(
            self.architecture,
            Architecture::Qwen3 | Architecture::BitnetQwen3
        )
    }

    /// Weights of all linear layers together; embedding and head are not among them.
    pub fn linear_weights(&self) -> u64 {
        let (hidden, ffn) = (self.hidden as u64, self.ffn as u64);
        let q = (self.heads * self.head_dim) as u64;
        let kv = (self.kv_heads * self.head_dim) as u64;
        let ffn_matrices = if self.has_gate() { 3 } else { 2 };
        self.layers as u64 * (2 * hidden * q + 2 * hidden * kv + ffn_matrices * hidden * ffn)
    }
}
