//! Shapes of published models, for synthetic weights.

use super::{SuiteError, embedded};
use bitbench_engine::model::{Architecture, Config, RopePairing};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Shapes {
    shape: Vec<Shape>,
}

/// The shape of a model, as `models.toml` has it and as a worker is told it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// Short name.
    pub name: String,
    /// Which model it is.
    pub about: String,
    /// Network family: its GGUF name, or `qwen3-bitnet` or `bitnet-1.0`.
    pub architecture: String,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Width of the feed-forward part.
    pub ffn: usize,
    /// Layers.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Dimensions of a head.
    pub head_dim: usize,
    /// Tokens of the vocabulary.
    pub vocab: usize,
    /// Whether the embedding serves as head.
    pub tied_head: bool,
    /// Positions the model was made for.
    pub context_length: usize,
    /// Epsilon of the norms.
    pub rms_epsilon: f32,
    /// Base of the rotary frequencies.
    pub rope_base: f32,
    /// Where the shape is published.
    pub source: String,
    /// What the source leaves out.
    pub note: Option<String>,
}

/// Why a shape cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("shape `{name}`: {reason}")]
pub struct ShapeError {
    /// The shape.
    pub name: String,
    /// What is wrong with it.
    pub reason: String,
}

/// All shapes, in the order of the file.
///
/// # Errors
/// See [`SuiteError`]; every shape is checked.
pub fn load_shapes() -> Result<Vec<Shape>, SuiteError> {
    let file = embedded::models()?;
    let shapes: Shapes =
        toml::from_str(&file.text).map_err(|e| SuiteError::parse(&file.origin, &e))?;
    for (index, shape) in shapes.shape.iter().enumerate() {
        let value = |message| SuiteError::Value {
            origin: file.origin.clone(),
            message,
        };
        shape.config().map_err(|e| value(e.to_string()))?;
        if find_shape(&shapes.shape[..index], &shape.name).is_some() {
            return Err(value(format!("two shapes are called `{}`", shape.name)));
        }
    }
    Ok(shapes.shape)
}

/// The shape of this name; case does not matter.
pub fn find_shape<'s>(shapes: &'s [Shape], name: &str) -> Option<&'s Shape> {
    shapes.iter().find(|s| s.name.eq_ignore_ascii_case(name))
}

impl Shape {
    /// The hyperparameters.
    ///
    /// # Errors
    /// [`ShapeError`] where they fit no network.
    pub fn config(&self) -> Result<Config, ShapeError> {
        let error = |reason: &str| ShapeError {
            name: self.name.clone(),
            reason: reason.to_owned(),
        };
        let (architecture, rope_pairing) = match self.architecture.as_str() {
            "bitnet-b1.58" => (Architecture::BitnetB158, RopePairing::Halves),
            "bitnet" => (Architecture::Bitnet, RopePairing::Halves),
            "llama" => (Architecture::Llama, RopePairing::Adjacent),
            "qwen3" => (Architecture::Qwen3, RopePairing::Halves),
            "qwen3-bitnet" => (Architecture::BitnetQwen3, RopePairing::Halves),
            "bitnet-1.0" => (Architecture::BinaryBitnet, RopePairing::Halves),
            _ => {
                return Err(error(
                    "`architecture` is bitnet-b1.58, bitnet, llama, qwen3, qwen3-bitnet or bitnet-1.0",
                ));
            }
        };
        let sizes = [
            self.hidden,
            self.ffn,
            self.layers,
            self.heads,
            self.kv_heads,
            self.head_dim,
            self.vocab,
            self.context_length,
        ];
        // Far above every published model, and all products stay within 64 bits.
        if sizes.iter().any(|size| !(1..=1 << 20).contains(size)) {
            return Err(error("a size is 0 or above 1048576"));
        }
        if self.layers > 1 << 12 || self.heads * self.head_dim > 1 << 20 {
            return Err(error(
                "`layers` is above 4096, or `heads` times `head_dim` above 1048576",
            ));
        }
        if !self.heads.is_multiple_of(self.kv_heads) {
            return Err(error("`kv_heads` does not divide `heads`"));
        }
        if !self.head_dim.is_multiple_of(2) {
            return Err(error("`head_dim` is odd"));
        }
        let positive = |v: f32| v.is_finite() && v > 0.0;
        if !positive(self.rms_epsilon) || !positive(self.rope_base) {
            return Err(error("`rms_epsilon` and `rope_base` are positive numbers"));
        }
        Ok(Config {
            architecture,
            vocab: self.vocab,
            hidden: self.hidden,
            ffn: self.ffn,
            layers: self.layers,
            heads: self.heads,
            kv_heads: self.kv_heads,
            head_dim: self.head_dim,
            rms_epsilon: self.rms_epsilon,
            rope_base: self.rope_base,
            rope_dims: self.head_dim,
            rope_pairing,
            rope_linear_factor: 1.0,
            context_length: self.context_length,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `linear_params` of the published list, which counts them in its own way.
    #[test]
    fn the_published_numbers_of_weights_come_out() {
        let shapes = load_shapes().expect("models.toml");
        for (name, expected) in [
            ("125M", 103_809_024),
            ("700M", 679_477_248),
            ("2B4T", 2_084_044_800),
            ("Llama3-8B", 6_979_321_856),
            ("Falcon3-10B", 9_500_098_560),
            ("100B", 99_958_652_928),
            // 28 layers of q, k, v, output and three of 1024 x 3072; 24 layers of 4 + 2 * 4 squares of 2048.
            ("Embedding-0.6B", 28 * (6_291_456 + 9_437_184)),
            ("BitNet-1.3B", 24 * 12 * 4_194_304),
        ] {
            let shape = find_shape(&shapes, name).expect(name);
            assert_eq!(
                shape.config().expect(name).linear_weights(),
                expected,
                "{name}"
            );
        }
    }

    #[test]
    fn an_absurd_shape_is_refused() {
        let shapes = load_shapes().expect("models.toml");
        let good = &shapes[0];
        for (what, bad) in [
            (
                "heads",
                Shape {
                    heads: 7,
                    ..good.clone()
                },
            ),
            (
                "zero",
                Shape {
                    layers: 0,
                    ..good.clone()
                },
            ),
            (
                "huge",
                Shape {
                    hidden: usize::MAX,
                    ..good.clone()
                },
            ),
            (
                "odd",
                Shape {
                    head_dim: 63,
                    ..good.clone()
                },
            ),
            (
                "nan",
                Shape {
                    rms_epsilon: f32::NAN,
                    ..good.clone()
                },
            ),
            (
                "family",
                Shape {
                    architecture: "gpt2".into(),
                    ..good.clone()
                },
            ),
        ] {
            assert!(bad.config().is_err(), "{what}");
        }
    }
}
