//! What tokenizer.json must be before the library may see it.
//!
//! The library takes such files for friendly: it panics on some (a merge whose result has no token, a decoder that strips more
//! than there is), draws random numbers for others, and would let a chain of replacements turn a word into gigabytes. So the
//! kinds of steps are limited to those that language models of the supported families have, and their numbers are checked.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;

/// Longest pattern of a step, in bytes; those known have a few hundred.
const LONGEST_PATTERN: usize = 4096;
/// Most steps of a part.
const MOST_STEPS: usize = 64;
/// How much longer all steps together may make a text. Steps of known files make it 12 times as long at worst.
const LARGEST_GROWTH: usize = 1024;
/// Most tokens that are put around a text.
const MOST_AFFIXES: usize = 64;

/// The parts of the file that are checked.
#[derive(Deserialize)]
pub(super) struct Checked {
    model: Model,
    normalizer: Option<Value>,
    pre_tokenizer: Option<Value>,
    post_processor: Option<Value>,
    decoder: Option<Value>,
}

#[derive(Deserialize)]
struct Model {
    #[serde(rename = "type")]
    kind: Option<String>,
    vocab: Option<HashMap<String, u32>>,
    merges: Option<Vec<Merge>>,
    dropout: Option<f64>,
    continuing_subword_prefix: Option<String>,
    end_of_word_suffix: Option<String>,
}

/// Two tokens; files before version 0.20 have a space between them.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Merge {
    Spaced(String),
    Pair(String, String),
}

impl Merge {
    /// The two, if there are two.
    pub(super) fn pair(&self) -> Option<(&str, &str)> {
        match self {
            Merge::Spaced(text) => text.split_once(' '),
            Merge::Pair(left, right) => Some((left, right)),
        }
    }
}

/// What is wrong with a file, or why it is not supported.
pub(super) enum Fault {
    Damaged(String),
    Unsupported(String),
}

impl Fault {
    pub(super) fn detail(self) -> String {
        match self {
            Fault::Damaged(detail) | Fault::Unsupported(detail) => detail,
        }
    }
}

/// Tokens that are put around a text.
#[derive(Debug, Default)]
pub(super) struct Affixes {
    pub(super) before: Vec<u32>,
    pub(super) after: Vec<u32>,
}

impl Checked {
    /// Checks all parts, and gives the tokens around a text, which the library need not put there.
    pub(super) fn affixes(&self) -> Result<Affixes, Fault> {
        self.model.check()?;
        let text = growth(&self.normalizer, "normalizer")?
            .saturating_mul(growth(&self.pre_tokenizer, "pre_tokenizer")?);
        if text.max(growth(&self.decoder, "decoder")?) > LARGEST_GROWTH {
            return Err(Fault::Damaged(format!(
                "its steps could make a text more than {LARGEST_GROWTH} times as long"
            )));
        }
        let mut affixes = Affixes::default();
        for step in steps(&self.post_processor)? {
            match kind(step)? {
                "ByteLevel" => {}
                "TemplateProcessing" => affixes.read(step)?,
                other => return Err(unsupported("post_processor", other)),
            }
        }
        Ok(affixes)
    }
}

impl Model {
    fn check(&self) -> Result<(), Fault> {
        let kind = self.kind.as_deref().unwrap_or("(none)");
        if kind != "BPE" {
            return Err(unsupported("model", kind));
        }
        if self.dropout.is_some_and(|dropout| dropout != 0.0) {
            let detail = "it drops merges at random, so a text has no one list of tokens";
            return Err(Fault::Unsupported(detail.into()));
        }
        let affixes = [&self.continuing_subword_prefix, &self.end_of_word_suffix];
        if affixes
            .iter()
            .any(|affix| affix.as_ref().is_some_and(|text| !text.is_empty()))
        {
            let detail = "marks at the beginning or end of words are not supported";
            return Err(Fault::Unsupported(detail.into()));
        }
        let (Some(vocab), Some(merges)) = (&self.vocab, &self.merges) else {
            return Err(Fault::Damaged("its model has no vocab or no merges".into()));
        };
        let mut joined = String::new();
        for (at, merge) in merges.iter().enumerate() {
            let is_known = merge.pair().is_some_and(|(left, right)| {
                joined.clear();
                joined.extend([left, right]);
                [left, right, &joined]
                    .iter()
                    .all(|token| vocab.contains_key(*token))
            });
            if !is_known {
                return Err(Fault::Damaged(format!(
                    "merge {at} does not join two tokens to a third"
                )));
            }
        }
        Ok(())
    }
}

impl Affixes {
    fn read(&mut self, step: &Value) -> Result<(), Fault> {
        let damaged = || Fault::Damaged("its post_processor is no sound template".into());
        let pieces = step
            .get("single")
            .and_then(Value::as_array)
            .ok_or_else(damaged)?;
        let mut is_before = true;
        for piece in pieces {
            if let Some(token) = piece.get("SpecialToken") {
                let name = token
                    .get("id")
                    .and_then(Value::as_str)
                    .ok_or_else(damaged)?;
                let tokens = step.get("special_tokens").and_then(|all| all.get(name));
                let ids = tokens.and_then(|token| token.get("ids")?.as_array());
                for id in ids.ok_or_else(damaged)? {
                    let id = id.as_u64().and_then(|id| u32::try_from(id).ok());
                    let side = if is_before {
                        &mut self.before
                    } else {
                        &mut self.after
                    };
                    side.push(id.ok_or_else(damaged)?);
                }
            } else {
                let sequence = piece
                    .get("Sequence")
                    .and_then(|sequence| sequence.get("id"));
                if sequence.and_then(Value::as_str) != Some("A") || !is_before {
                    return Err(damaged());
                }
                is_before = false;
            }
        }
        if is_before || self.before.len() + self.after.len() > MOST_AFFIXES {
            return Err(damaged());
        }
        Ok(())
    }
}

fn unsupported(part: &str, kind: &str) -> Fault {
    let kind: String = kind.chars().take(40).collect();
    Fault::Unsupported(format!(
        "a tokenizer with a {part} of type {kind} is not supported"
    ))
}

fn kind(step: &Value) -> Result<&str, Fault> {
    let kind = step.get("type").and_then(Value::as_str);
    kind.ok_or_else(|| Fault::Damaged("one of its steps has no type".into()))
}

/// The steps of a part, those of sequences one by one.
pub(super) fn steps(part: &Option<Value>) -> Result<Vec<&Value>, Fault> {
    let mut open: Vec<&Value> = part.iter().filter(|part| !part.is_null()).collect();
    let mut steps = Vec::new();
    let mut met = 0;
    while let Some(step) = open.pop() {
        met += 1;
        if met > MOST_STEPS {
            return Err(Fault::Damaged(format!(
                "it has more than {MOST_STEPS} steps"
            )));
        }
        if kind(step)? != "Sequence" {
            steps.push(step);
            continue;
        }
        let names = ["normalizers", "pretokenizers", "processors", "decoders"];
        let inner = names.iter().find_map(|name| step.get(*name)?.as_array());
        let inner = inner.ok_or_else(|| Fault::Damaged("a sequence of it has no steps".into()))?;
        open.extend(inner.iter().rev());
    }
    Ok(steps)
}

/// How much longer a part may make a text, in bytes for a byte.
fn growth(part: &Option<Value>, name: &str) -> Result<usize, Fault> {
    let mut growth = 1usize;
    for step in steps(part)? {
        let by = match (name, kind(step)?) {
            ("normalizer", "NFC" | "NFD" | "Lowercase") => 3,
            // U+FDFA has 3 bytes, and 33 when it is taken apart.
            ("normalizer", "NFKC" | "NFKD") => 11,
            ("normalizer", "Strip" | "StripAccents") => 1,
            ("normalizer", "Prepend") => 1 + text(step, "prepend")?.len(),
            ("normalizer" | "decoder", "Replace") => replace(step)?,
            // A byte becomes a character of 2 bytes at most, or a space one of 3.
            ("normalizer" | "pre_tokenizer", "ByteLevel") => 3,
            ("pre_tokenizer", "Metaspace") => 5,
            ("pre_tokenizer", "Split") => {
                pattern(step)?;
                1
            }
            ("pre_tokenizer", "Digits" | "Punctuation" | "Whitespace" | "WhitespaceSplit") => 1,
            ("decoder", "ByteLevel" | "ByteFallback" | "Fuse" | "Metaspace") => 3,
            ("decoder", "Strip") => {
                // The library counts backwards from the end of a token, even of one that is too short.
                let stop = step.get("stop").and_then(Value::as_u64);
                if stop != Some(0) {
                    let detail = "a decoder that strips the ends of tokens is not supported";
                    return Err(Fault::Unsupported(detail.into()));
                }
                1
            }
            (_, other) => return Err(unsupported(name, other)),
        };
        growth = growth.saturating_mul(by.max(1));
    }
    Ok(growth)
}

fn text<'a>(step: &'a Value, key: &str) -> Result<&'a str, Fault> {
    let text = step.get(key).and_then(Value::as_str);
    text.ok_or_else(|| Fault::Damaged(format!("one of its steps has no {key}")))
}

/// The pattern of a step, and whether it is a plain text.
fn pattern(step: &Value) -> Result<(&str, bool), Fault> {
    let pattern = step.get("pattern");
    let plain = pattern.and_then(|pattern| pattern.get("String")?.as_str());
    let regex = pattern.and_then(|pattern| pattern.get("Regex")?.as_str());
    match plain.or(regex) {
        Some(text) if text.len() <= LONGEST_PATTERN => Ok((text, plain.is_some())),
        _ => Err(Fault::Damaged(
            "one of its steps has no pattern, or a very long one".into(),
        )),
    }
}

fn replace(step: &Value) -> Result<usize, Fault> {
    let content = text(step, "content")?.len();
    Ok(match pattern(step)? {
        (plain, true) if !plain.is_empty() => content.div_ceil(plain.len()),
        // It may match between any two bytes.
        _ => content + 1,
    })
}
