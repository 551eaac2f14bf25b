//! tokenizer.json of the vocabularies in [`crate::words`], as the library of such files writes them.

use crate::support::{GgufWriter, Kv, Random};
use crate::words::{MERGES, byte_level, scored};
use serde_json::{Value, json};

/// The pattern of Llama 3, as its tokenizer.json has it.
const LLAMA_3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// That of Qwen 2 and 3.
const QWEN_2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

fn strings(file: &GgufWriter, key: &str) -> Vec<String> {
    let found = file.entries().find(|entry| entry.0 == key);
    match found {
        Some((_, Kv::Strs(strings))) => strings.clone(),
        _ => panic!("no strings {key}"),
    }
}

fn integers(file: &GgufWriter, key: &str) -> Vec<i32> {
    let found = file.entries().find(|entry| entry.0 == key);
    match found {
        Some((_, Kv::I32s(integers))) => integers.clone(),
        _ => panic!("no integers {key}"),
    }
}

/// tokenizer.json of a file's vocabulary, with these merges and steps.
fn json_of(file: &GgufWriter, merges: &[(String, String)]) -> Value {
    let tokens = strings(file, "tokenizer.ggml.tokens");
    let kinds = integers(file, "tokenizer.ggml.token_type");
    let vocab: serde_json::Map<String, Value> = (0..)
        .zip(&tokens)
        .map(|(id, token)| (token.clone(), json!(id)))
        .collect();
    // Control tokens and those of users are found in any text.
    let added = (0..)
        .zip(tokens.iter().zip(&kinds))
        .filter(|(_, (_, kind))| [2, 3, 4].contains(*kind));
    let added: Vec<Value> = added
        .map(|(id, (token, kind)): (u32, _)| {
            json!({
                "id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": *kind == 3,
            })
        })
        .collect();
    json!({
        "version": "1.0",
        "truncation": {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0},
        "padding": {"strategy": {"Fixed": 50}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "!"},
        "added_tokens": added,
        "normalizer": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "post_processor": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": false, "use_regex": true},
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocab, "merges": merges,
        },
    })
}

fn pairs() -> Vec<(String, String)> {
    let pair = |merge: &&str| {
        merge
            .split_once(' ')
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
    };
    MERGES.iter().filter_map(pair).collect()
}

pub(crate) fn byte_level_json(rule: &str) -> Value {
    let mut json = json_of(&byte_level(Some(rule)), &pairs());
    let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false});
    match rule {
        "gpt-2" => {}
        "smollm" => {
            let words = json["pre_tokenizer"].clone();
            let digits = json!({"type": "Digits", "individual_digits": true});
            json["pre_tokenizer"] = json!({"type": "Sequence", "pretokenizers": [digits, words]});
        }
        "llama-bpe" => {
            let split = json!({"type": "Split", "pattern": {"Regex": LLAMA_3}, "behavior": "Isolated", "invert": false});
            json["pre_tokenizer"] = json!({"type": "Sequence", "pretokenizers": [split, bytes]});
            json["model"]["ignore_merges"] = json!(true);
        }
        "qwen2" => {
            let split = json!({"type": "Split", "pattern": {"Regex": QWEN_2}, "behavior": "Isolated", "invert": false});
            json["pre_tokenizer"] = json!({"type": "Sequence", "pretokenizers": [split, bytes]});
            json["normalizer"] = json!({"type": "NFC"});
        }
        other => panic!("no rule {other}"),
    }
    json
}

/// The scored vocabulary as merges: pairs that make a piece, best pieces first.
pub(crate) fn scored_json() -> Value {
    let file = scored();
    let tokens = strings(&file, "tokenizer.ggml.tokens");
    let pieces = &tokens[3 + 256..];
    let mut merges = Vec::new();
    for piece in pieces {
        for (at, _) in piece.char_indices().skip(1) {
            let (left, right) = piece.split_at(at);
            if [left, right]
                .iter()
                .all(|part| pieces.iter().any(|piece| piece == part))
            {
                merges.push((left.to_owned(), right.to_owned()));
            }
        }
    }
    let mut json = json_of(&file, &merges);
    json["normalizer"] = json!({"type": "Sequence", "normalizers": [
        {"type": "Prepend", "prepend": "▁"},
        {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
    ]});
    json["pre_tokenizer"] = Value::Null;
    json["post_processor"] = json!({
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}},
    });
    json["decoder"] = json!({"type": "Sequence", "decoders": [
        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
        {"type": "Strip", "content": " ", "start": 1, "stop": 0},
    ]});
    json["model"]["byte_fallback"] = json!(true);
    json["model"]["fuse_unk"] = json!(true);
    json["model"]["unk_token"] = json!("<unk>");
    json
}

/// Random texts of pieces that try the rules.
pub(crate) fn text(random: &mut Random) -> String {
    const PIECES: [&str; 24] = [
        "hello", "world", " ", "  ", "\n", "\n\n", "the", "1234", "7", "'s", "'S", "é", "日本",
        "😀", "<|e|>", "<|e|>>", "<|x|>", "!?", "\t", "\r\n", "iiiii", "x", "</s>", "\u{301}",
    ];
    (0..random.below(12))
        .map(|_| PIECES[random.below(PIECES.len())])
        .collect()
}
