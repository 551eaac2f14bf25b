//! The column that arXiv 2504.12285 published, with the shapes that it follows from.

use super::Subject;
use crate::record::NetworkShape;

/// One row of arXiv 2504.12285, table 1, "Energy".
#[derive(Debug)]
pub struct Published {
    /// The model.
    pub name: &'static str,
    /// Its dimensions, from its published configuration.
    pub shape: NetworkShape,
    /// Whether its linear layers are ternary.
    pub ternary: bool,
    /// Joules as printed, for a pass of 512 tokens. An estimate of its authors, not a measurement.
    pub printed: &'static str,
}

impl Published {
    /// The row as a question to a model.
    pub fn subject(&self) -> Subject {
        Subject {
            name: self.name.to_owned(),
            shape: self.shape,
            ternary: self.ternary,
            bytes_per_token: None,
        }
    }
}

/// `[layers, hidden, ffn, heads, kv_heads, head_dim, vocab]` of a network with a gate.
const fn gated(dimensions: [u64; 7]) -> NetworkShape {
    let [layers, hidden, ffn, heads, kv_heads, head_dim, vocab] = dimensions;
    NetworkShape {
        layers,
        hidden,
        ffn,
        ffn_matrices: 3,
        heads,
        kv_heads,
        head_dim,
        vocab,
    }
}

/// The six rows.
pub static PUBLISHED: [Published; 6] = [
    Published {
        name: "LLaMA 3.2 1B",
        shape: gated([16, 2048, 8192, 32, 8, 64, 128_256]),
        ternary: false,
        printed: "0.258",
    },
    Published {
        name: "Gemma-3 1B",
        shape: gated([26, 1152, 6912, 4, 1, 256, 262_144]),
        ternary: false,
        printed: "0.186",
    },
    Published {
        name: "Qwen2.5 1.5B",
        shape: gated([28, 1536, 8960, 12, 2, 128, 151_936]),
        ternary: false,
        printed: "0.347",
    },
    Published {
        name: "SmolLM2 1.7B",
        shape: gated([24, 2048, 8192, 32, 32, 64, 49_152]),
        ternary: false,
        printed: "0.425",
    },
    Published {
        name: "MiniCPM 2B",
        shape: gated([40, 2304, 5760, 36, 36, 64, 122_753]),
        ternary: false,
        printed: "0.649",
    },
    Published {
        name: "BitNet b1.58 2B4T",
        shape: gated([30, 2560, 6912, 20, 5, 128, 128_256]),
        ternary: true,
        printed: "0.028",
    },
];
