//! Which of the tokenizers that GGUF files name the steps of a tokenizer.json are.

use serde_json::Value;

use crate::tokenizer::json::Parts;
use crate::tokenizer::pre;

/// What stands for a space in SentencePiece's vocabularies.
const SPACE: &str = "\u{2581}";

/// The tokenizer that a file is to name.
pub(super) struct Rule {
    pub(super) method: Method,
    /// Whether texts are brought to NFC first, which no file can say.
    pub(super) normal_form: bool,
}

pub(super) enum Method {
    /// `gpt2`, with the name of the rule that splits words.
    ByteLevel { pre: &'static str },
    /// `llama`, and whether a text gets a space before it.
    Scored { space_prefix: bool },
}

/// The rule of a file, or why there is none.
pub(super) fn of(parts: &Parts) -> Result<Rule, String> {
    let normalizer = parts.normalizer_steps()?;
    let splitters = parts.splitting_steps()?;
    let is = |step: &Value, kind: &str| step["type"] == kind;
    if let Some((last, before)) = splitters.split_last()
        && is(last, "ByteLevel")
    {
        let normal_form = match normalizer[..] {
            [] => false,
            [step] if is(step, "NFC") => true,
            _ => return Err("it changes texts in ways that GGUF files have no word for".into()),
        };
        let pre = byte_level(last, before)?;
        return Ok(Rule {
            method: Method::ByteLevel { pre },
            normal_form,
        });
    }
    Ok(Rule {
        method: Method::Scored {
            space_prefix: space_prefix(&normalizer, &splitters)?,
        },
        normal_form: false,
    })
}

/// The rule that splits words as these steps do.
fn byte_level(last: &Value, before: &[&Value]) -> Result<&'static str, String> {
    if last["add_prefix_space"] == true {
        return Err("it puts a space before a text of byte-level tokens".into());
    }
    let mut patterns = Vec::new();
    for step in before {
        patterns.push(match step["type"].as_str() {
            Some("Digits") if step["individual_digits"] == true => r"\p{N}",
            Some("Split") if step["behavior"] == "Isolated" && step["invert"] != true => {
                let pattern = step["pattern"]["Regex"].as_str();
                pattern.ok_or("it splits words at a fixed text")?
            }
            _ => return Err("it splits words in ways that GGUF files have no word for".into()),
        });
    }
    // Where it does not say, it splits.
    if step_splits(last) {
        patterns.push(pre::GPT2_PUBLISHED);
    }
    pre::named(&patterns).ok_or_else(|| {
        let patterns: String = patterns.join(", then ").chars().take(200).collect();
        format!("no rule that GGUF files name splits words by {patterns}")
    })
}

fn step_splits(byte_level: &Value) -> bool {
    byte_level["use_regex"] != false
}

/// Whether a text gets a space before it, of a tokenizer that writes U+2581 for spaces and does nothing else.
fn space_prefix(normalizer: &[&Value], splitters: &[&Value]) -> Result<bool, String> {
    let replaces = |step: &Value| {
        step["type"] == "Replace" && step["pattern"]["String"] == " " && step["content"] == SPACE
    };
    let prepends = |step: &Value| step["type"] == "Prepend" && step["prepend"] == SPACE;
    match (normalizer, splitters) {
        ([first, second], []) if prepends(first) && replaces(second) => Ok(true),
        ([only], []) if replaces(only) => Ok(false),
        ([], [only]) if only["type"] == "Metaspace" && only["replacement"] == SPACE => {
            let scheme = only["prepend_scheme"].as_str();
            // Files before version 0.15 have a truth value.
            let earlier = only["add_prefix_space"] != false;
            Ok(scheme.map_or(earlier, |scheme| scheme != "never"))
        }
        _ => Err("its steps are neither byte-level nor those of SentencePiece".into()),
    }
}
