//! Hyperparameters from the metadata of a file.
//!
//! Keys are `{architecture}.` and those of the GGUF specification. A default is taken only where the specification or
//! llama.cpp, which every such file is made for, defines one; it is stated at the place.

use crate::model::gguf::{Gguf, Value};
use crate::model::{Architecture, Config, LoadError, Pooling, RopePairing};

/// The architectures of GGUF files that the forward pass knows.
const ARCHITECTURES: [(&str, Architecture, RopePairing); 5] = [
    (
        "bitnet-b1.58",
        Architecture::BitnetB158,
        RopePairing::Halves,
    ),
    ("bitnet-25", Architecture::BitnetB158, RopePairing::Halves),
    ("bitnet", Architecture::Bitnet, RopePairing::Halves),
    ("llama", Architecture::Llama, RopePairing::Adjacent),
    ("qwen3", Architecture::Qwen3, RopePairing::Halves),
];

impl Architecture {
    /// The name of this family in GGUF files, if it has one; where it has several, the one that most tools read.
    pub fn gguf_name(self) -> Option<&'static str> {
        let family = match self {
            Architecture::BitnetQwen3 => Architecture::Qwen3,
            other => other,
        };
        let known = ARCHITECTURES.into_iter().find(|known| known.1 == family);
        known.map(|known| known.0)
    }
}

/// A tensor that tells the BitNet embedding models from Qwen3, whose name their files bear.
const INPUT_NORM: &str = "blk.0.attn_q_norm_in.weight";

impl Config {
    /// The names that files give to the norms before the output and the down projection.
    pub(in crate::model) fn sub_norm_names(&self) -> [&'static str; 2] {
        if self.has_input_norms() {
            ["attn_output_norm_in", "ffn_down_norm_in"]
        } else {
            ["attn_sub_norm", "ffn_sub_norm"]
        }
    }
}

/// Keys that change what the network computes, in ways the forward pass does not know; 0 or false means they do not.
const CHANGES_THE_NETWORK: [&str; 8] = [
    "expert_count",
    "attention.sliding_window",
    "attention.max_alibi_bias",
    "attention.clamp_kqv",
    "attention.scale",
    "logit_scale",
    "embedding_scale",
    "residual_scale",
];

/// More positions than any model has; beyond it the number is damage.
const LONGEST_CONTEXT: usize = 1 << 30;

pub(super) fn read(gguf: &Gguf) -> Result<Config, LoadError> {
    let name = match gguf.get("general.architecture") {
        Some(value) => value
            .as_str()
            .ok_or_else(|| gguf.damaged("general.architecture is not a string"))?,
        None => return Err(gguf.damaged("the key general.architecture is missing")),
    };
    let Some((_, mut architecture, rope_pairing)) =
        ARCHITECTURES.into_iter().find(|known| known.0 == name)
    else {
        let known: Vec<&str> = ARCHITECTURES.iter().map(|known| known.0).collect();
        return Err(gguf.unsupported(format!(
            "the architecture {name} is not supported; supported are {}",
            known.join(", ")
        )));
    };
    if architecture == Architecture::Qwen3 && gguf.tensor(INPUT_NORM).is_some() {
        architecture = Architecture::BitnetQwen3;
    }
    Keys { gguf, name }.read(architecture, rope_pairing)
}

/// How an embedding model pools its states (`enum llama_pooling_type`).
pub(super) fn pooling(gguf: &Gguf) -> Result<Option<Pooling>, LoadError> {
    let architecture = gguf.get("general.architecture");
    let name = architecture.and_then(|value| value.as_str());
    let key = format!("{}.pooling_type", name.unwrap_or_default());
    match gguf.get(&key) {
        None | Some(Value::Integer(0)) => Ok(None),
        Some(Value::Integer(1)) => Ok(Some(Pooling::Mean)),
        Some(Value::Integer(3)) => Ok(Some(Pooling::Last)),
        Some(other) => Err(gguf.unsupported(format!(
            "{key} is {other:?}; 0 (none), 1 (mean) and 3 (last token) are supported"
        ))),
    }
}

struct Keys<'a> {
    gguf: &'a Gguf,
    name: &'a str,
}

impl Keys<'_> {
    fn read(
        &self,
        architecture: Architecture,
        rope_pairing: RopePairing,
    ) -> Result<Config, LoadError> {
        self.check_changes()?;
        self.check_causal()?;
        let layers = self.size("block_count")?;
        let hidden = self.size("embedding_length")?;
        let ffn = self.size("feed_forward_length")?;
        let heads = self.size("attention.head_count")?;
        // Default by the specification: as many as query heads.
        let kv_heads = self
            .optional_size("attention.head_count_kv")?
            .unwrap_or(heads);
        let head_dim = self.head_dim(hidden, heads)?;
        // Default in llama.cpp: the whole head.
        let rope_dims = self
            .optional_size("rope.dimension_count")?
            .unwrap_or(head_dim);
        let context_length = self.size("context_length")?;
        let rms_epsilon = self
            .positive("attention.layer_norm_rms_epsilon")?
            .ok_or_else(|| self.missing("attention.layer_norm_rms_epsilon"))?;
        // Default in llama.cpp: 10000.
        let rope_base = self.positive("rope.freq_base")?.unwrap_or(10_000.0);

        let tensors = self.gguf.tensors().len();
        self.check(layers <= tensors, || {
            format!("{layers} layers, but {tensors} tensors")
        })?;
        self.check(kv_heads <= heads && heads % kv_heads == 0, || {
            format!("{kv_heads} key and value heads do not divide {heads} query heads")
        })?;
        self.check(rope_dims % 2 == 0 && rope_dims <= head_dim, || {
            format!("rotates {rope_dims} dimensions of a head of {head_dim}; an even number was expected, at most all")
        })?;
        self.check(heads.checked_mul(head_dim).is_some(), || {
            format!("{heads} heads of {head_dim} are beyond all bounds")
        })?;
        self.check(context_length <= LONGEST_CONTEXT, || {
            format!("a context of {context_length} positions is beyond all bounds")
        })?;
        Ok(Config {
            architecture,
            vocab: self.vocab()?,
            hidden,
            ffn,
            layers,
            heads,
            kv_heads,
            head_dim,
            rms_epsilon,
            rope_base,
            rope_dims,
            rope_pairing,
            rope_linear_factor: self.rope_linear_factor()?,
            context_length,
        })
    }

    /// Rows of the embedding, since not every file states the size of its vocabulary.
    fn vocab(&self) -> Result<usize, LoadError> {
        let embedding = self
            .gguf
            .tensor("token_embd.weight")
            .ok_or_else(|| self.gguf.damaged("there is no tensor token_embd.weight"))?;
        let vocab = match *embedding.dims() {
            [_, vocab] => usize::try_from(vocab).ok(),
            _ => None,
        };
        vocab.ok_or_else(|| {
            self.gguf
                .damaged("tensor token_embd.weight is not a matrix")
        })
    }

    /// Default by the specification: the width over the number of heads.
    fn head_dim(&self, hidden: usize, heads: usize) -> Result<usize, LoadError> {
        let key = self.optional_size("attention.key_length")?;
        let value = self.optional_size("attention.value_length")?;
        if key.is_none() || value.is_none() {
            self.check(hidden.is_multiple_of(heads), || {
                format!("{heads} heads do not divide a width of {hidden}")
            })?;
        }
        let (key, value) = (
            key.unwrap_or(hidden / heads),
            value.unwrap_or(hidden / heads),
        );
        if key != value {
            return Err(self.gguf.unsupported(format!(
                "keys of {key} dimensions and values of {value} are not supported; they must be equal"
            )));
        }
        Ok(key)
    }

    /// Linear scaling is the default type in llama.cpp, and a factor that is absent or 0 is none.
    fn rope_linear_factor(&self) -> Result<f32, LoadError> {
        let scaling = match self.get("rope.scaling.type") {
            Some(value) => value.as_str().unwrap_or("(not a string)"),
            None => "linear",
        };
        match scaling {
            "none" => Ok(1.0),
            "linear" => {
                let key = ["rope.scaling.factor", "rope.scale_linear"]
                    .into_iter()
                    .find(|key| {
                        self.get(key)
                            .is_some_and(|value| value != Value::Float(0.0))
                    });
                match key {
                    Some(key) => Ok(self.positive(key)?.unwrap_or(1.0)),
                    None => Ok(1.0),
                }
            }
            other => Err(self.gguf.unsupported(format!(
                "rope scaling of type {other} is not supported; none and linear are"
            ))),
        }
    }

    fn check_changes(&self) -> Result<(), LoadError> {
        let inert = [Value::Integer(0), Value::Float(0.0), Value::Bool(false)];
        for key in CHANGES_THE_NETWORK {
            if let Some(value) = self.get(key).filter(|value| !inert.contains(value)) {
                return Err(self.gguf.unsupported(format!(
                    "{} is {value:?}, and a network with it is not supported",
                    self.full(key)
                )));
            }
        }
        Ok(())
    }

    /// Attention to later tokens is what an encoder does, and no causal network.
    fn check_causal(&self) -> Result<(), LoadError> {
        match self.get("attention.causal") {
            None | Some(Value::Bool(true)) => Ok(()),
            Some(other) => Err(self.gguf.unsupported(format!(
                "{} is {other:?}, and only causal attention is supported",
                self.full("attention.causal")
            ))),
        }
    }

    fn full(&self, key: &str) -> String {
        format!("{}.{key}", self.name)
    }

    fn get(&self, key: &str) -> Option<Value<'_>> {
        self.gguf.get(&self.full(key))
    }

    fn missing(&self, key: &str) -> LoadError {
        self.gguf
            .damaged(format!("the key {} is missing", self.full(key)))
    }

    fn check(&self, sound: bool, detail: impl FnOnce() -> String) -> Result<(), LoadError> {
        if sound {
            Ok(())
        } else {
            Err(self
                .gguf
                .damaged(format!("impossible hyperparameters: {}", detail())))
        }
    }

    fn size(&self, key: &str) -> Result<usize, LoadError> {
        self.optional_size(key)?.ok_or_else(|| self.missing(key))
    }

    /// A number of at least 1.
    fn optional_size(&self, key: &str) -> Result<Option<usize>, LoadError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        if value.as_array().is_some() {
            return Err(self.gguf.unsupported(format!(
                "{} differs by layer, which is not supported",
                self.full(key)
            )));
        }
        value
            .as_u64()
            .and_then(|number| usize::try_from(number).ok())
            .filter(|number| *number > 0)
            .map(Some)
            .ok_or_else(|| {
                self.gguf.damaged(format!(
                    "{} is {value:?}; an integer of at least 1 was expected",
                    self.full(key)
                ))
            })
    }

    /// A finite number above 0.
    fn positive(&self, key: &str) -> Result<Option<f32>, LoadError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        value
            .as_f32()
            .filter(|number| number.is_finite() && *number > 0.0)
            .map(Some)
            .ok_or_else(|| {
                self.gguf.damaged(format!(
                    "{} is {value:?}; a finite number above 0 was expected",
                    self.full(key)
                ))
            })
    }
}
