//! How transformers would quantise the linear layers of a folder: `quantization_config`.

use super::json::{Keys, quote};
use crate::model::LoadError;

/// What a linear layer computes from its stored weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Linear {
    /// `BitLinear`: codes in bytes, divided by `weight_scale`.
    Divided,
    /// `AutoBitLinear` offline: codes in bytes, or weights in floating point, multiplied by `weight_scale`.
    Multiplied,
    /// `AutoBitLinear` online, and 1bitLLM's own `BitLinear`: master weights that are rounded at load to their mean magnitude.
    Online,
    /// Weights as stored, and nothing rounded.
    Plain,
}

/// The class of most linear layers, and which of them are left plain.
pub(super) struct Quantization<'a> {
    linear: Linear,
    /// Names or patterns of modules; none where the file has no list, and only the head is left.
    plain: Option<Vec<&'a str>>,
}

impl<'a> Quantization<'a> {
    pub(super) fn everywhere(linear: Linear) -> Self {
        let plain = None;
        Quantization { linear, plain }
    }

    /// Reads `quantization_config`, with the defaults that transformers has for its keys.
    pub(super) fn read(keys: Keys<'a>) -> Result<Self, LoadError> {
        let Some(keys) = keys.object("quantization_config", "quantization_config.")? else {
            return Ok(Self::everywhere(Linear::Plain));
        };
        let method = keys.text("quant_method")?.unwrap_or("(none)");
        if method != "bitnet" {
            return Err(keys.unsupported(format!(
                "quantization of method {} is not supported; bitnet is",
                quote(&method)
            )));
        }
        if keys.flag("use_rms_norm")? == Some(true) {
            return Err(keys.unsupported(
                "quantization_config.use_rms_norm: linear layers with norms of their own are not supported",
            ));
        }
        let known = [
            "quant_method",
            "use_rms_norm",
            "rms_norm_eps",
            "linear_class",
            "quantization_mode",
            "modules_to_not_convert",
        ];
        super::config::refuse_unknown(keys, |key| known.contains(&key))?;
        let class = keys.text("linear_class")?.unwrap_or("bitlinear");
        let mode = keys.text("quantization_mode")?.unwrap_or("offline");
        let linear = match (class, mode) {
            // This class has no other mode, whatever the file says.
            ("bitlinear", "offline" | "online") => Linear::Divided,
            ("autobitlinear", "offline") => Linear::Multiplied,
            ("autobitlinear", "online") => Linear::Online,
            _ => {
                return Err(keys.unsupported(format!(
                    "linear class {} in mode {} is not supported; bitlinear and autobitlinear, offline and online are",
                    quote(&class),
                    quote(&mode)
                )));
            }
        };
        let plain = keys.texts("modules_to_not_convert")?;
        let is_pattern = |name: &&&str| name.contains(|c: char| "^$*+?{}[]()|\\".contains(c));
        if let Some(pattern) = plain.iter().flatten().find(is_pattern) {
            return Err(keys.unsupported(format!(
                "quantization_config.modules_to_not_convert has the pattern {}; names of modules are supported",
                quote(pattern)
            )));
        }
        let quantization = Quantization { linear, plain };
        if quantization.plain.is_some() && quantization.of("lm_head") != Linear::Plain {
            return Err(keys.unsupported(
                "quantization_config.modules_to_not_convert leaves lm_head out, and a quantised head is not supported",
            ));
        }
        Ok(quantization)
    }

    /// What the linear layer of this name is. A name in the list is the beginning of a path of modules, or the end of it.
    pub(super) fn of(&self, module: &str) -> Linear {
        let is_plain = self.plain.iter().flatten().any(|name| {
            let begins = module.strip_prefix(name).is_some_and(|rest| {
                rest.is_empty() || rest.starts_with('.') || name.ends_with('.')
            });
            begins || module.ends_with(name)
        });
        if is_plain { Linear::Plain } else { self.linear }
    }
}
