//! tokenizer.json against the tokenizers of GGUF files with the same vocabularies and rules, and against hostile files.
#![cfg(feature = "tokenizer-json")]

mod hostile;
mod json_words;
mod mutate;
mod support;
mod words;

use std::fs;
use std::path::Path;

use bitbench_engine::model::gguf::Gguf;
use bitbench_engine::tokenizer::{Tokenizer, TokenizerError};
use hostile::measured;
use json_words::{byte_level_json, scored_json, text};
use mutate::mutated;
use serde_json::{Value, json};
use support::{GgufWriter, Kv, Random};
use words::{byte_level, scored};

fn try_read(folder: &Path, json: &[u8]) -> Result<Option<Tokenizer>, TokenizerError> {
    fs::write(folder.join("tokenizer.json"), json).unwrap();
    Tokenizer::from_folder(folder)
}

fn read(json: &Value) -> Tokenizer {
    let folder = tempfile::tempdir().unwrap();
    let read = try_read(folder.path(), json.to_string().as_bytes());
    read.unwrap_or_else(|error| panic!("{error}"))
        .expect("a tokenizer")
}

fn refused(json: &Value) -> String {
    let folder = tempfile::tempdir().unwrap();
    match try_read(folder.path(), json.to_string().as_bytes()) {
        Ok(_) => panic!("accepted"),
        Err(error) => error.to_string(),
    }
}

fn native(file: &GgufWriter) -> Tokenizer {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vocabulary.gguf");
    file.write(&path);
    Tokenizer::from_gguf(&Gguf::open(path).unwrap())
        .unwrap()
        .unwrap()
}

#[test]
fn tokens_are_those_of_gguf_files() {
    let mut random = Random(0x70c);
    let rules = ["gpt-2", "smollm", "llama-bpe"];
    let mut both: Vec<(Tokenizer, Tokenizer)> = rules
        .iter()
        .map(|rule| {
            let mut file = byte_level(Some(rule));
            file.kv("tokenizer.ggml.add_bos_token", Kv::Bool(false));
            (native(&file), read(&byte_level_json(rule)))
        })
        .collect();
    both.push((native(&scored()), read(&scored_json())));
    for (gguf, json) in &both {
        assert_eq!(gguf.vocab(), json.vocab());
        for _ in 0..500 {
            let text = text(&mut random);
            // What follows a special token begins with a space in SentencePiece, and with none in the library.
            if json.token("<0x41>").is_some() && text.contains("</s>") {
                continue;
            }
            let tokens = json.encode(&text).unwrap();
            if !text.is_empty() {
                assert_eq!(tokens, gguf.encode(&text).unwrap(), "{text:?}");
            }
            let plain = match json.token("<0x41>") {
                Some(_) => tokens.strip_prefix(&[1]).expect("BOS"),
                None => &tokens,
            };
            assert_eq!(json.decode(plain), text);
            assert_eq!(json.encode_rendered(&text).unwrap(), tokens);
        }
        for token in 0..u32::try_from(json.vocab()).unwrap() {
            let is_control = gguf.is_special(token) && json.is_special(token);
            assert_eq!(json.is_special(token), is_control, "{token}");
        }
    }
}

#[test]
fn bos_comes_once() {
    let mut file = scored();
    file.kv("tokenizer.ggml.add_bos_token", Kv::Bool(true));
    for tokenizer in [native(&file), read(&scored_json())] {
        let hello = tokenizer.encode("hello").unwrap();
        assert_eq!(hello[0], 1);
        assert_eq!(tokenizer.encode_rendered("hello").unwrap(), hello);
        let written = tokenizer.encode_rendered("<s>hello").unwrap();
        assert_eq!(written.iter().filter(|token| **token == 1).count(), 1);
        assert_eq!(tokenizer.encode("<s>hello").unwrap()[..2], [1, 1]);
    }
}

#[test]
fn a_stream_gives_whole_characters() {
    let tokenizer = read(&byte_level_json("gpt-2"));
    let text = "hello 日本 😀 wörld<|e|>";
    let tokens = tokenizer.encode(text).unwrap();
    let mut stream = tokenizer.stream();
    let pieces: Vec<String> = tokens.iter().map(|token| stream.push(*token)).collect();
    assert!(
        pieces
            .iter()
            .all(|piece| !piece.contains(char::REPLACEMENT_CHARACTER)),
        "{pieces:?}"
    );
    assert_eq!(pieces.concat() + &stream.finish(), text);
    // Bytes that never become a character are not held for ever.
    let mut stream = tokenizer.stream();
    let broken: String = (0..8).map(|_| stream.push(0x80)).collect();
    assert_eq!(broken + &stream.finish(), "\u{fffd}".repeat(8));
}

#[test]
fn files_beside_it_name_tokens_and_template() {
    let folder = tempfile::tempdir().unwrap();
    assert!(Tokenizer::from_folder(folder.path()).unwrap().is_none());
    let json = byte_level_json("gpt-2").to_string();
    let reread = || try_read(folder.path(), json.as_bytes()).unwrap().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let plain = reread();
    assert_eq!(
        (plain.bos(), plain.eos(), plain.chat_template()),
        (None, None, None)
    );
    write(
        "config.json",
        r#"{"bos_token_id": 5, "eos_token_id": [6, 7]}"#,
    );
    let read = reread();
    assert_eq!((read.bos(), read.eos()), (Some(5), Some(6)));
    assert!(read.is_end(6) && read.is_end(7) && !read.is_end(8));
    write("generation_config.json", r#"{"eos_token_id": 8}"#);
    assert!(reread().is_end(8) && !reread().is_end(7));
    write(
        "tokenizer_config.json",
        r#"{"bos_token": "<|x|>", "eos_token": {"content": "<|e|>"}, "chat_template": [
            {"name": "tools", "template": "no"}, {"name": "default", "template": "yes"}]}"#,
    );
    let read = reread();
    assert_eq!((read.bos(), read.eos()), (Some(279), Some(277)));
    assert!(read.is_end(277) && read.is_end(8));
    assert_eq!(read.chat_template(), Some("yes"));
    write("chat_template.jinja", "of its own");
    assert_eq!(reread().chat_template(), Some("of its own"));
    write("tokenizer_config.json", "[]");
    let error = try_read(folder.path(), json.as_bytes()).unwrap_err();
    assert!(
        error.to_string().contains("tokenizer_config.json"),
        "{error}"
    );
}

#[test]
fn what_the_library_would_trip_over_is_refused() {
    let sound = scored_json();
    let changed = |pointer: &str, value: Value| {
        let mut json = sound.clone();
        *json
            .pointer_mut(pointer)
            .unwrap_or_else(|| panic!("no {pointer}")) = value;
        json
    };
    let grown: Vec<Value> = (0..60)
        .map(|_| json!({"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}))
        .collect();
    for (pointer, value, word) in [
        ("/model/type", json!("WordPiece"), "WordPiece"),
        ("/model/dropout", json!(0.1), "random"),
        (
            "/model/continuing_subword_prefix",
            json!("é"),
            "not supported",
        ),
        ("/model/merges", json!([["hello", "hello"]]), "merge 0"),
        (
            "/model/merges",
            json!([["▁hello", "▁hello"], ["h", "e"]]),
            "merge 0",
        ),
        ("/model/merges", json!(["h e l"]), "merge 0"),
        ("/model/vocab", Value::Null, "vocab"),
        ("/normalizer/normalizers", json!(grown), "times as long"),
        (
            "/normalizer/normalizers",
            json!(vec![json!({"type": "NFC"}); 100]),
            "steps",
        ),
        (
            "/normalizer/normalizers",
            json!([{"type": "Precompiled", "precompiled_charsmap": "AAAA"}]),
            "Precompiled",
        ),
        (
            "/pre_tokenizer",
            json!({"type": "FixedLength", "length": 0}),
            "FixedLength",
        ),
        (
            "/pre_tokenizer",
            json!({"type": "Split", "pattern": {"Regex": "(".repeat(5000)}, "behavior": "Isolated", "invert": false}),
            "pattern",
        ),
        (
            "/pre_tokenizer",
            json!({"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated", "invert": false}),
            "damaged",
        ),
        ("/decoder/decoders/3/stop", json!(1), "strips the ends"),
        ("/decoder/type", json!("CTC"), "CTC"),
        (
            "/post_processor/single/0/SpecialToken/id",
            json!("<none>"),
            "template",
        ),
        (
            "/post_processor/single/1/Sequence/id",
            json!("B"),
            "template",
        ),
        ("/post_processor/single", json!([]), "template"),
        ("/post_processor/type", json!("Unknown"), "Unknown"),
    ] {
        let text = refused(&changed(pointer, value));
        assert!(
            text.contains(word) && text.contains("tokenizer.json"),
            "{pointer}: {text}"
        );
    }
}

/// Gives the error, or uses what was read for all it can do.
fn attempt(case: &str, folder: &Path, json: &[u8]) -> bool {
    let (read, peak) = measured(|| try_read(folder, json));
    let bound = 24 * json.len() + (1 << 22);
    assert!(
        peak <= bound,
        "{case}: {peak} bytes held for {}",
        json.len()
    );
    let Ok(Some(tokenizer)) = read else {
        return false;
    };
    let (_, peak) = measured(|| {
        for text in [
            "",
            "hello  world's\n\n12345 日本 😀 </s><|e|>",
            "▁▁  \u{301}\u{fdfa}",
        ] {
            if let Ok(tokens) = tokenizer.encode(text) {
                tokenizer.decode(&tokens);
            }
        }
        let all: Vec<u32> = (0..300).chain([u32::MAX]).collect();
        tokenizer.decode(&all);
    });
    assert!(peak <= bound, "{case}: {peak} bytes held for a text");
    true
}

#[test]
fn mutated_files_never_panic() {
    let folder = tempfile::tempdir().unwrap();
    let kinds = [
        byte_level_json("gpt-2"),
        byte_level_json("llama-bpe"),
        scored_json(),
    ];
    let mut random = Random(0x70ce);
    for (kind, sound) in kinds.iter().enumerate() {
        // All but the vocabulary first, so that half of the damage is in the rules.
        let mut sound = sound.clone();
        let model = sound["model"].take();
        let mut text = sound.to_string();
        assert!(text.contains(r#""model":null"#));
        text = text
            .replace(r#","model":null"#, "")
            .replace(r#""model":null,"#, "");
        text.pop();
        let rules = text.len();
        text += &format!(r#","model":{model}}}"#);
        assert!(attempt("sound", folder.path(), text.as_bytes()));
        let mut accepted = 0;
        for trial in 0..1000 {
            let within = if trial % 2 == 0 { rules } else { text.len() };
            let bytes = mutated(text.as_bytes(), within, &mut random);
            accepted += u32::from(attempt(
                &format!("{kind}, trial {trial}"),
                folder.path(),
                &bytes,
            ));
        }
        println!("{accepted} of 1000 accepted");
        assert!(accepted < 900);
    }
}
