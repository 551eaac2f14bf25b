//! Hyperparameters from config.json.
//!
//! Keys and defaults are those of the configuration classes in transformers (`models/llama`, `models/bitnet`, `models/qwen3`)
//! and of the code that the 1bitLLM models come with. Every key must be known: one that is not may change what the network computes.

use serde_json::Value;

use super::json::{Keys, quote};
use super::quantization::{Linear, Quantization};
use super::rope;
use crate::model::{Architecture, Config, LoadError, RopePairing};

/// More positions than any model has; beyond it the number is damage.
const LONGEST_CONTEXT: usize = 1 << 30;

/// Keys that the network, or a part of this loader, is made from.
const USED: [&str; 19] = [
    "architectures",
    "model_type",
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "hidden_act",
    "rms_norm_eps",
    "max_position_embeddings",
    "rope_theta",
    "rope_scaling",
    "rope_parameters",
    "partial_rotary_factor",
    "tie_word_embeddings",
    "quantization_config",
    "layer_types",
];

/// Keys that say nothing about what the network computes: how it was trained, saved, or would be sampled from.
const INERT: [&str; 50] = [
    "attention_dropout",
    "attn_implementation",
    "auto_map",
    "bad_words_ids",
    "begin_suppress_tokens",
    "chunk_size_feed_forward",
    "diversity_penalty",
    "do_sample",
    "dtype",
    "early_stopping",
    "encoder_no_repeat_ngram_size",
    "exponential_decay_length_penalty",
    "finetuning_task",
    "gradient_checkpointing",
    "hidden_dropout",
    "id2label",
    "initializer_range",
    "is_decoder",
    "is_llama_config",
    "label2id",
    "length_penalty",
    "max_length",
    "min_length",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_return_sequences",
    "output_attentions",
    "output_hidden_states",
    "output_scores",
    "prefix",
    "pretraining_tp",
    "problem_type",
    "remove_invalid_values",
    "repetition_penalty",
    "return_dict",
    "return_dict_in_generate",
    "suppress_tokens",
    "task_specific_params",
    "temperature",
    "tf_legacy_loss",
    "tie_encoder_decoder",
    "tokenizer_class",
    "top_k",
    "top_p",
    "torch_dtype",
    "torchscript",
    "transformers.js_config",
    "typical_p",
    "use_cache",
];

/// Keys that are known with these values only.
const FIXED: [(&str, i64); 2] = [("input_bits", 8), ("weight_bits", 1)];

/// What config.json says, apart from how linear layers are quantised.
pub(super) struct Read<'a> {
    pub(super) config: Config,
    pub(super) quantization: Quantization<'a>,
    pub(super) rope_factors: Option<Vec<f32>>,
    /// Whether the embedding serves as head.
    pub(super) tied: bool,
    /// Whether the class is one that stops before the head.
    pub(super) headless: bool,
    /// Names of the norms before the output and down projections, within a layer.
    pub(super) sub_norms: [&'static str; 2],
}

/// Which code the folder is for.
struct Family {
    /// With squared ReLU, with SiLU.
    architectures: [Option<Architecture>; 2],
    usual_rope_base: f64,
    sub_norms: [&'static str; 2],
    /// Whether master weights are rounded at load with no `quantization_config` to say so.
    rounds_masters: bool,
    /// Keys that must be there: where they are not, transformers takes the numbers of one published model.
    stated: &'static [&'static str],
    /// Keys that say nothing, since a key that would give them a meaning is refused.
    idle: &'static [&'static str],
}

/// transformers' `BitNetForCausalLM`.
static BITNET: Family = Family {
    architectures: [Some(Architecture::BitnetB158), Some(Architecture::Bitnet)],
    usual_rope_base: 500_000.0,
    sub_norms: ["self_attn.attn_sub_norm", "mlp.ffn_sub_norm"],
    rounds_masters: false,
    stated: &[],
    idle: &[],
};

/// 1bitLLM's `BitnetForCausalLM`, which calls its model type `llama`.
static ONE_BIT_LLM: Family = Family {
    architectures: [Some(Architecture::BitnetB158), Some(Architecture::Bitnet)],
    usual_rope_base: 10_000.0,
    sub_norms: ["self_attn.inner_attn_ln", "mlp.ffn_layernorm"],
    rounds_masters: true,
    stated: &[],
    idle: &[],
};

static LLAMA: Family = Family {
    architectures: [None, Some(Architecture::Llama)],
    usual_rope_base: 10_000.0,
    sub_norms: ["", ""],
    rounds_masters: false,
    stated: &[],
    idle: &[],
};

static QWEN3: Family = Family {
    architectures: [None, Some(Architecture::Qwen3)],
    usual_rope_base: 10_000.0,
    sub_norms: ["", ""],
    rounds_masters: false,
    stated: &["head_dim", "num_key_value_heads"],
    // Without `use_sliding_window`, no layer has a window.
    idle: &["sliding_window", "max_window_layers"],
};

/// Reads config.json; `tensors` is the number of all tensors.
pub(super) fn read<'a>(keys: Keys<'a>, tensors: usize) -> Result<Read<'a>, LoadError> {
    let (family, headless) = family(keys)?;
    refuse_unknown(keys, |key| {
        USED.contains(&key) || family.idle.contains(&key)
    })?;
    let left_out = family.stated.iter().find(|key| keys.get(key).is_none());
    if let Some(key) = left_out {
        return Err(keys.missing(key));
    }
    let activation = keys
        .text("hidden_act")?
        .ok_or_else(|| keys.missing("hidden_act"))?;
    let [squared, silu] = family.architectures;
    let architecture = match activation {
        "relu2" => squared,
        "silu" => silu,
        _ => None,
    };
    let architecture = architecture.ok_or_else(|| {
        keys.unsupported(format!(
            "hidden_act {} is not supported for this family",
            quote(&activation)
        ))
    })?;
    let quantization = match family.rounds_masters {
        true if keys.get("quantization_config").is_some() => {
            return Err(keys.unsupported(
                "BitnetForCausalLM rounds its own weights, and has no quantization_config beside it",
            ));
        }
        true => Quantization::everywhere(Linear::Online),
        false => Quantization::read(keys)?,
    };
    let (config, rope_factors) = hyperparameters(keys, architecture, family, tensors)?;
    Ok(Read {
        config,
        quantization,
        rope_factors,
        tied: keys.flag("tie_word_embeddings")?.unwrap_or(false),
        headless,
        sub_norms: family.sub_norms,
    })
}

/// The family, and whether its class stops before the head.
fn family(keys: Keys<'_>) -> Result<(&'static Family, bool), LoadError> {
    let architectures = keys.texts("architectures")?.unwrap_or_default();
    let kind = keys
        .text("model_type")?
        .ok_or_else(|| keys.missing("model_type"))?;
    match (&architectures[..], kind) {
        (["BitnetForCausalLM"], "llama" | "bitnet") => Ok((&ONE_BIT_LLM, false)),
        (["BitNetForCausalLM"] | [], "bitnet") => Ok((&BITNET, false)),
        (["LlamaForCausalLM"] | [], "llama") => Ok((&LLAMA, false)),
        (["Qwen3ForCausalLM"] | [], "qwen3") => Ok((&QWEN3, false)),
        (["Qwen3Model"], "qwen3") => Ok((&QWEN3, true)),
        (names, kind) => Err(keys.unsupported(format!(
            "architectures {} of model type {} are not supported; BitNetForCausalLM and BitnetForCausalLM of bitnet, \
             LlamaForCausalLM of llama, and Qwen3ForCausalLM and Qwen3Model of qwen3 are",
            quote(&names.join(", ")),
            quote(&kind)
        ))),
    }
}

/// Refuses keys of which nobody knows what they do, unless their value is nothing.
pub(super) fn refuse_unknown(
    keys: Keys<'_>,
    is_used: impl Fn(&str) -> bool,
) -> Result<(), LoadError> {
    for (key, value) in keys.map {
        let is_inert = INERT.contains(&key.as_str())
            || key.starts_with('_')
            || key.ends_with("_token_id")
            || key.ends_with("_version");
        let is_fixed = FIXED
            .iter()
            .any(|(fixed, only)| key == fixed && value.as_i64() == Some(*only));
        if !is_used(key) && !is_inert && !is_fixed && !is_nothing(value) {
            return Err(keys.unsupported(format!(
                "{}{} is {}, and a network with it is not supported; if it does not change what the network computes, \
                 remove it from the file",
                keys.within,
                quote(key),
                quote(value)
            )));
        }
    }
    Ok(())
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(truth) => !truth,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

fn hyperparameters(
    keys: Keys<'_>,
    architecture: Architecture,
    family: &Family,
    tensors: usize,
) -> Result<(Config, Option<Vec<f32>>), LoadError> {
    let check = |sound: bool, detail: String| match sound {
        true => Ok(()),
        false => Err(keys.damaged(format!("impossible hyperparameters: {detail}"))),
    };
    let hidden = keys.size("hidden_size")?;
    let layers = keys.size("num_hidden_layers")?;
    let heads = keys.size("num_attention_heads")?;
    let kv_heads = keys.optional_size("num_key_value_heads")?.unwrap_or(heads);
    let head_dim = match keys.optional_size("head_dim")? {
        Some(head_dim) => head_dim,
        None => {
            let divides = hidden.is_multiple_of(heads);
            check(
                divides,
                format!("{heads} heads do not divide a width of {hidden}"),
            )?;
            hidden / heads
        }
    };
    let context_length = keys.size("max_position_embeddings")?;
    check(
        layers <= tensors,
        format!("{layers} layers, but {tensors} tensors"),
    )?;
    check(
        heads.is_multiple_of(kv_heads),
        format!("{kv_heads} key and value heads do not divide {heads} query heads"),
    )?;
    // The loader compares widths with the shapes of tensors before it allocates anything of their size, but for frequencies.
    check(
        head_dim.is_multiple_of(2) && head_dim <= 1 << 16,
        format!("heads of {head_dim} dimensions, which must be even"),
    )?;
    check(
        heads.checked_mul(head_dim).is_some(),
        format!("{heads} heads of {head_dim} are beyond all bounds"),
    )?;
    check(
        context_length <= LONGEST_CONTEXT,
        format!("a context of {context_length} positions is beyond all bounds"),
    )?;
    let kinds = keys.texts("layer_types")?.unwrap_or_default();
    if let Some(other) = kinds.iter().find(|kind| **kind != "full_attention") {
        return Err(keys.unsupported(format!(
            "layers of type {} are not supported; full_attention is",
            quote(other)
        )));
    }
    let rope = rope::read(keys, head_dim, family.usual_rope_base)?;
    #[expect(clippy::cast_possible_truncation, reason = "nearest f32 is meant")]
    let rms_epsilon = keys.positive("rms_norm_eps")? as f32;
    let config = Config {
        architecture,
        vocab: keys.size("vocab_size")?,
        hidden,
        ffn: keys.size("intermediate_size")?,
        layers,
        heads,
        kv_heads,
        head_dim,
        rms_epsilon,
        rope_base: rope.base,
        rope_dims: head_dim,
        rope_pairing: RopePairing::Halves,
        rope_linear_factor: rope.linear_factor,
        context_length,
    };
    Ok((config, rope.factors))
}
