//! Following the engine by the oracle to the last digits.
//!
//! Single and double precision round a value to different neighbours where it stands near the middle of them: to int8, or to
//! half precision in the cache. Such a step is far larger than what else they differ by, and no fault. So it is known which
//! roundings are open (see [`ties`]), and [`follow`] asks that the engine gives the answer of one way to round them, token
//! after token.

mod ties;

use bitbench_engine::model::Model;
use bitbench_engine::oracle::{Cache, Inputs, Nearest, Oracle};
use ties::{Ties, every_choice};

/// The logits after every token, each value rounded to its nearest neighbour.
pub(crate) fn logits(model: &Model, inputs: Inputs, tokens: &[u32]) -> Vec<f64> {
    let oracle = Oracle::new(model);
    let mut rounding = Nearest::as_engine(inputs);
    oracle.logits(tokens, &mut oracle.empty(), &mut rounding)
}

/// Relative L2 distance.
pub(crate) fn distance(got: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(got.len(), expected.len());
    let difference = got.iter().zip(expected);
    let difference: f64 = difference.map(|(g, e)| (f64::from(*g) - e).powi(2)).sum();
    (difference / expected.iter().map(|e| e * e).sum::<f64>()).sqrt()
}

/// Follows the engine: for each token, the ways to round the values that are open and to give its logits within `tolerance`.
/// Gives the number of tokens that were followed: all of them, or those before the first that no way explains. Where these are
/// not `least`, the right way may be among those that were let go: it looks again and lets fewer go.
pub(crate) fn follow(
    model: &Model,
    rounding: Nearest,
    tokens: &[u32],
    got: &[f32],
    tolerance: f64,
    least: usize,
) -> usize {
    match follow_by(model, rounding, tokens, got, tolerance, 16) {
        followed if followed < least => follow_by(model, rounding, tokens, got, tolerance, 128),
        followed => followed,
    }
}

/// [`follow`] with at most so many ways to have come so far: a key of the cache that is rounded otherwise may show in the logits
/// of later tokens only.
fn follow_by(
    model: &Model,
    rounding: Nearest,
    tokens: &[u32],
    got: &[f32],
    tolerance: f64,
    most: usize,
) -> usize {
    let oracle = Oracle::held(model);
    // The sum of the squared distances so far, and where it led.
    let mut kept = vec![(0.0, oracle.empty())];
    let vocab = got.len() / tokens.len();
    for (position, (token, got)) in tokens.iter().zip(got.chunks_exact(vocab)).enumerate() {
        let mut ends: Vec<(f64, Cache)> = Vec::new();
        for (sum, before) in &kept {
            every_choice(|choices| {
                let (mut cache, mut ties) = (before.clone(), Ties::new(rounding, choices));
                let off = distance(got, &oracle.logits(&[*token], &mut cache, &mut ties));
                if off < tolerance {
                    ends.push((sum + off * off, cache));
                }
                ties.met
            });
        }
        if ends.is_empty() {
            return position;
        }
        ends.sort_by(|a, b| a.0.total_cmp(&b.0));
        ends.truncate(most);
        kept = ends;
    }
    tokens.len()
}
