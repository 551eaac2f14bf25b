//! The dimensions of a network, as far as models of energy and of memory traffic rest on them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Dimensions of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NetworkShape {
    /// Layers.
    pub layers: u64,
    /// Width of the residual stream.
    pub hidden: u64,
    /// Width of the feed-forward part.
    pub ffn: u64,
    /// Matrices of the feed-forward part: 3 with a gate, 2 without.
    pub ffn_matrices: u64,
    /// Query heads.
    pub heads: u64,
    /// Key and value heads.
    pub kv_heads: u64,
    /// Dimensions of a head.
    pub head_dim: u64,
    /// Tokens of the vocabulary.
    pub vocab: u64,
}

impl NetworkShape {
    /// Inputs and outputs of the linear layers of one layer of the network: query, key, value, output, then the feed-forward
    /// part. The LM head is not among them.
    pub fn matrices(&self) -> Vec<(u64, u64)> {
        let (queries, keys) = (self.heads * self.head_dim, self.kv_heads * self.head_dim);
        let mut matrices = vec![
            (self.hidden, queries),
            (self.hidden, keys),
            (self.hidden, keys),
            (queries, self.hidden),
        ];
        matrices.extend((1..self.ffn_matrices).map(|_| (self.hidden, self.ffn)));
        matrices.push((self.ffn, self.hidden));
        matrices
    }

    /// Weights of the linear layers of the whole network.
    pub fn linear_weights(&self) -> u64 {
        let of_layer: u64 = self
            .matrices()
            .iter()
            .map(|(inputs, outputs)| inputs * outputs)
            .sum();
        self.layers * of_layer
    }
}
