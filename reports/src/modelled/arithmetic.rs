//! Energy of additions and multiplications alone, as the BitNet papers count it (arXiv 2310.11453 table 1, arXiv 2504.12285
//! table 1).
//!
//! The papers state the energy of an operation and 512 tokens; that attention is counted without a causal mask, and that the
//! scales of a ternary layer are one multiplication for each input and output, was found by fitting: with both, all six rows
//! of arXiv 2504.12285 come out to the printed digit.

use super::{EnergyModel, ModelledJoules, Subject};

pub(super) static MODEL: EnergyModel = EnergyModel {
    name: "arithmetic",
    about: "additions and multiplications of linear layers and attention at 7 nm; no memory traffic, no leakage, no LM head",
    per: "a pass of 512 tokens",
    source: "arXiv 2504.12285 tables 1 and 4, arXiv 2310.11453 table 2",
    evaluate,
};

/// Tokens of the pass.
const TOKENS: f64 = 512.0;
/// Energy of an operation at 7 nm, in joules.
const ADD_FP16: f64 = 0.16e-12;
const MUL_FP16: f64 = 0.34e-12;
const ADD_INT8: f64 = 0.007e-12;

fn evaluate(subject: &Subject) -> Result<ModelledJoules, String> {
    let shape = &subject.shape;
    let additions = shape.linear_weights() as f64 * TOKENS;
    // Queries times keys, and weights times values.
    let attention = 2.0 * TOKENS * TOKENS * (shape.heads * shape.head_dim * shape.layers) as f64;
    let attention = attention * (ADD_FP16 + MUL_FP16);
    let joules = if subject.ternary {
        let matrices = shape.matrices();
        let ends = matrices.iter().map(|(inputs, outputs)| inputs + outputs);
        let scales = (ends.sum::<u64>() * shape.layers) as f64 * TOKENS;
        additions * ADD_INT8 + attention + scales * MUL_FP16
    } else {
        additions * (ADD_FP16 + MUL_FP16) + attention
    };
    Ok(ModelledJoules {
        low: joules,
        high: joules,
    })
}
