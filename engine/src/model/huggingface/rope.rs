//! Rotary frequencies of config.json: `rope_theta` and `rope_scaling`, or `rope_parameters` with both in it.

use std::f64::consts::TAU;

use super::json::Keys;
use crate::model::LoadError;

const KNOWN: [&str; 8] = [
    "rope_theta",
    "rope_type",
    "type",
    "factor",
    "low_freq_factor",
    "high_freq_factor",
    "original_max_position_embeddings",
    "partial_rotary_factor",
];

/// Turns of the pairs of dimensions of a head.
pub(super) struct Rope {
    pub(super) base: f32,
    /// Positions are divided by this.
    pub(super) linear_factor: f32,
    /// What the frequency of each pair is divided by.
    pub(super) factors: Option<Vec<f32>>,
}

/// `usual_base` is what transformers takes for this family where the file has none.
pub(super) fn read(keys: Keys<'_>, head_dim: usize, usual_base: f64) -> Result<Rope, LoadError> {
    let parameters = keys.object("rope_parameters", "rope_parameters.")?;
    let older = keys.object("rope_scaling", "rope_scaling.")?;
    if parameters.is_some() && older.is_some() {
        return Err(keys.unsupported("it has both rope_parameters and rope_scaling; one is meant"));
    }
    let scaling = parameters.or(older);
    let base = match parameters {
        Some(parameters) => parameters.optional_positive("rope_theta")?,
        None => None,
    };
    let base = match base {
        Some(base) => base,
        None => keys.optional_positive("rope_theta")?.unwrap_or(usual_base),
    };
    for keys in [Some(keys), scaling].into_iter().flatten() {
        let part = keys.optional_positive("partial_rotary_factor")?;
        if let Some(part) = part.filter(|part| *part != 1.0) {
            return Err(keys.unsupported(format!(
                "{}partial_rotary_factor is {part}; heads rotated in part are not supported",
                keys.within
            )));
        }
    }
    let mut rope = Rope {
        base: narrow(base),
        linear_factor: 1.0,
        factors: None,
    };
    let Some(scaling) = scaling else {
        return Ok(rope);
    };
    super::config::refuse_unknown(scaling, |key| KNOWN.contains(&key))?;
    // Files before transformers 4.43 say `type`.
    let kind = match scaling.text("rope_type")? {
        Some(kind) => kind,
        None => scaling.text("type")?.unwrap_or("default"),
    };
    match kind {
        "default" => {}
        "linear" => rope.linear_factor = narrow(scaling.positive("factor")?),
        "llama3" => rope.factors = Some(llama3(scaling, keys, base, head_dim)?),
        other => {
            return Err(scaling.unsupported(format!(
                "rope scaling of type {} is not supported; default, linear and llama3 are",
                super::json::quote(&other)
            )));
        }
    }
    Ok(rope)
}

/// Divisors of Llama 3.1: long waves are stretched by `factor`, short ones are left, and what lies between is blended.
fn llama3(
    scaling: Keys<'_>,
    keys: Keys<'_>,
    base: f64,
    head_dim: usize,
) -> Result<Vec<f32>, LoadError> {
    let factor = scaling.positive("factor")?;
    let low = scaling.positive("low_freq_factor")?;
    let high = scaling.positive("high_freq_factor")?;
    let key = "original_max_position_embeddings";
    let context = match scaling.optional_positive(key)? {
        Some(context) => context,
        None => keys.positive("max_position_embeddings")?,
    };
    if high <= low {
        return Err(scaling.damaged(format!(
            "rope scaling has a high_freq_factor of {high} and a low_freq_factor of {low}, which must be less"
        )));
    }
    let divisor = |pair: usize| {
        let frequency = base.powf(-((2 * pair) as f64) / head_dim as f64);
        let wave = TAU / frequency;
        if wave < context / high {
            1.0
        } else if wave > context / low {
            factor
        } else {
            let blend = (context / wave - low) / (high - low);
            1.0 / ((1.0 - blend) / factor + blend)
        }
    };
    let divisors: Vec<f32> = (0..head_dim / 2)
        .map(|pair| narrow(divisor(pair)))
        .collect();
    // A base or factors beyond all reason.
    if divisors.iter().any(|d| !d.is_finite() || *d <= 0.0) {
        return Err(scaling.damaged("rope scaling gives frequencies that are not finite"));
    }
    Ok(divisors)
}

#[expect(clippy::cast_possible_truncation, reason = "nearest f32 is meant")]
fn narrow(number: f64) -> f32 {
    number as f32
}
