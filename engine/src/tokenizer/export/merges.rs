//! Merges as GGUF files have them: a list for byte-level vocabularies, scores for those of SentencePiece.

use std::collections::HashSet;

/// The lines of a list of merges.
///
/// # Errors
/// Where a reader would not find the two tokens of a line again, or take another line first.
pub(super) fn lines(merges: &[(&str, &str)]) -> Result<Vec<String>, String> {
    let mut seen = HashSet::new();
    let mut lines = Vec::with_capacity(merges.len());
    for (left, right) in merges {
        if left.contains(' ') || right.contains(' ') || left.is_empty() || right.is_empty() {
            return Err(format!(
                "it merges {left:?} and {right:?}, tokens with spaces in them"
            ));
        }
        if !seen.insert((left, right)) {
            return Err(format!("it merges {left:?} and {right:?} twice"));
        }
        lines.push(format!("{left} {right}"));
    }
    Ok(lines)
}

/// The score of each token of a vocabulary: the higher, the earlier it is made. `tokens` are those made of characters, none where
/// a token is of another kind.
///
/// SentencePiece joins any two neighbours that make a token, the token of the highest score first, and knows no list of merges. So
/// the list must have every pair that makes a token, and its order must be one of tokens.
///
/// # Errors
/// Where it is not so.
pub(super) fn scores(merges: &[(&str, &str)], tokens: &[Option<&str>]) -> Result<Vec<f32>, String> {
    let known: HashSet<&str> = tokens.iter().flatten().copied().collect();
    let mut order = std::collections::HashMap::new();
    let mut last = String::new();
    let mut pairs = HashSet::new();
    for pair in merges {
        let joined = [pair.0, pair.1].concat();
        if joined != last {
            let next = order.len();
            if order.insert(joined.clone(), next).is_some() {
                return Err(format!(
                    "its merges come in an order that scores cannot give: {joined:?} comes twice"
                ));
            }
            last = joined;
        }
        pairs.insert(*pair);
    }
    for token in &known {
        for (at, _) in token.char_indices().skip(1) {
            let (left, right) = token.split_at(at);
            let may_be = |part: &str| known.contains(part) || part.chars().count() == 1;
            if may_be(left) && may_be(right) && !pairs.contains(&(left, right)) {
                return Err(format!(
                    "it has the token {token:?} and does not merge {left:?} and {right:?} to it, as readers of scores do"
                ));
            }
        }
    }
    let unmade = order.len();
    Ok(tokens
        .iter()
        .map(|token| {
            let place = token.and_then(|token| order.get(token));
            score(*place.unwrap_or(&unmade))
        })
        .collect())
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a file of the largest size that is read has fewer than 2^24 merges of its own tokens"
)]
fn score(place: usize) -> f32 {
    -(place as f32)
}
