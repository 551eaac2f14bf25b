//! Splitting a text into words before byte-level BPE, by the rule that `tokenizer.ggml.pre` names.
//!
//! The published patterns end in `\s+(?!\S)|\s+`: of a run of spaces before a word, all but the last are a word of their own.
//! Here the patterns end in `\s+`, and [`Splitter`] takes the last space off again: without looking ahead a pattern takes
//! linear time, and no stack, for a text of any length.

use fancy_regex::Regex;

use super::TokenizerError;
use super::gguf::Source;

/// A rule, by all names that files have for it (the families of llama.cpp's `llama-vocab.cpp`).
pub(super) struct PreTokenizer {
    names: &'static [&'static str],
    /// Each splits what the ones before it left.
    patterns: &'static [&'static str],
    /// A vocabulary's word stays whole even where no merges lead to it (`ignore_merges` of tokenizer.json).
    pub(super) whole_words: bool,
    /// Whether BOS comes first where a file does not say.
    pub(super) add_bos: bool,
}

/// GPT-2, `encoder.py`.
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+";

static PRE_TOKENIZERS: &[PreTokenizer] = &[
    PreTokenizer {
        names: &["gpt-2", "phi-2", "olmo", "jais"],
        patterns: &[GPT2],
        whole_words: false,
        add_bos: false,
    },
    // What llama.cpp and bitnet.cpp take for files that name no rule.
    PreTokenizer {
        names: &["default"],
        patterns: &[r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"],
        whole_words: false,
        add_bos: false,
    },
    // Every digit on its own.
    PreTokenizer {
        names: &["smollm", "starcoder", "refact", "codeshell"],
        patterns: &[r"\p{N}", GPT2],
        whole_words: false,
        add_bos: false,
    },
    // Digits by three.
    PreTokenizer {
        names: &[
            "llama-bpe",
            "llama3",
            "llama-v3",
            "falcon3",
            "falcon-h1",
            "falcon_e",
        ],
        patterns: &[concat!(
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}",
            r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+"
        )],
        whole_words: true,
        add_bos: true,
    },
    PreTokenizer {
        names: &["qwen2", "deepseek-r1-qwen", "stablelm2"],
        patterns: &[concat!(
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}",
            r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+"
        )],
        whole_words: false,
        add_bos: false,
    },
];

/// [`GPT2`], as published.
#[cfg(feature = "tokenizer-json")]
pub(super) const GPT2_PUBLISHED: &str =
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

/// The first name of the rule that splits by these patterns, each as published, one after the other.
#[cfg(feature = "tokenizer-json")]
pub(super) fn named(published: &[&str]) -> Option<&'static str> {
    let is_same = |ours: &str, published: &str| {
        let without_spaces = published.strip_suffix(r"|\s+(?!\S)|\s+");
        match without_spaces {
            Some(rest) => ours.strip_suffix(r"|\s+") == Some(rest),
            None => ours == published,
        }
    };
    let rule = PRE_TOKENIZERS.iter().find(|rule| {
        rule.patterns.len() == published.len()
            && rule
                .patterns
                .iter()
                .zip(published)
                .all(|(ours, published)| is_same(ours, published))
    })?;
    rule.names.first().copied()
}

/// The rule that a file names; `default` where it names none.
pub(super) fn of(source: &Source<'_>) -> Result<&'static PreTokenizer, TokenizerError> {
    let name = match source.get("pre") {
        Some(value) => value
            .as_str()
            .ok_or_else(|| source.damaged("tokenizer.ggml.pre is not a string"))?,
        None => "default",
    };
    PRE_TOKENIZERS
        .iter()
        .find(|known| known.names.contains(&name))
        .ok_or_else(|| {
            let known: Vec<&str> = PRE_TOKENIZERS
                .iter()
                .flat_map(|known| known.names)
                .copied()
                .collect();
            source.unsupported(format!(
                "the pre-tokenizer {name} is not supported; supported are {}",
                known.join(", ")
            ))
        })
}

#[derive(Debug)]
pub(super) struct Splitter {
    stages: Vec<Stage>,
}

#[derive(Debug)]
struct Stage {
    pattern: Regex,
    /// Whether lines' ends have an alternative of their own, so that a match of `\s+` never ends in one.
    lines_apart: bool,
}

type Each<'a> = dyn FnMut(&str) -> Result<(), TokenizerError> + 'a;

impl Splitter {
    pub(super) fn new(pre: &PreTokenizer) -> Result<Self, TokenizerError> {
        let stages = pre.patterns.iter().map(|pattern| {
            Ok(Stage {
                pattern: Regex::new(pattern).map_err(Box::new)?,
                lines_apart: pattern.contains(r"\s*[\r\n]+"),
            })
        });
        Ok(Splitter {
            stages: stages.collect::<Result<_, TokenizerError>>()?,
        })
    }

    /// Gives the words of a text to `each`, in order; together they are the text.
    pub(super) fn split(&self, text: &str, each: &mut Each<'_>) -> Result<(), TokenizerError> {
        split(&self.stages, text, each)
    }
}

fn split(stages: &[Stage], text: &str, each: &mut Each<'_>) -> Result<(), TokenizerError> {
    let Some((stage, later)) = stages.split_first() else {
        return each(text);
    };
    let mut at = 0;
    while let Some(found) = stage.pattern.find_from_pos(text, at).map_err(Box::new)? {
        if found.start() > at {
            split(later, &text[at..found.start()], each)?;
        }
        at = found.end() - stage.last_space(found.as_str(), &text[found.end()..]);
        split(later, &text[found.start()..at], each)?;
    }
    if at < text.len() {
        split(later, &text[at..], each)?;
    }
    Ok(())
}

impl Stage {
    /// Bytes of the last space of a match of `\s+` that a word follows; 0 for other matches.
    fn last_space(&self, found: &str, after: &str) -> usize {
        let last = found
            .chars()
            .next_back()
            .filter(|last| last.is_whitespace());
        match last {
            Some('\r' | '\n') if self.lines_apart => 0,
            Some(last) if !after.is_empty() && found.len() > last.len_utf8() => last.len_utf8(),
            _ => 0,
        }
    }
}
