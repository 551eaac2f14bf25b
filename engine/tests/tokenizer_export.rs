//! Tokenizers of folders in GGUF files: the same tokens, or none at all.
#![cfg(feature = "tokenizer-json")]

mod json_words;
mod mutate;
mod support;
mod words;

use std::fs;
use std::path::Path;

use bitbench_engine::model::gguf::{Gguf, GgufFile};
use bitbench_engine::tokenizer::{GgufTokenizer, Tokenizer};
use json_words::{byte_level_json, scored_json, text};
use mutate::mutated;
use serde_json::{Value, json};
use support::Random;

/// More than either vocabulary has.
const ROWS: usize = 300;

/// A tokenizer in a folder, and what a file would have of it.
struct Exported {
    folder: Tokenizer,
    written: GgufTokenizer,
    /// Read from a file that was written.
    file: Tokenizer,
}

fn put(folder: &Path, json: &Value, settings: &Value) {
    fs::write(folder.join("tokenizer.json"), json.to_string()).unwrap();
    fs::write(folder.join("tokenizer_config.json"), settings.to_string()).unwrap();
}

fn export(folder: &Path) -> Result<Exported, String> {
    let written = GgufTokenizer::from_folder(folder, ROWS).map_err(|error| error.to_string())?;
    let written = written.expect("a tokenizer");
    let mut file = GgufFile::new();
    file.string("general.architecture", "qwen3");
    written.add_to(&mut file);
    let path = folder.join("tokenizer.gguf");
    file.write(&path, true, &|| true).unwrap();
    Ok(Exported {
        folder: Tokenizer::from_folder(folder).unwrap().unwrap(),
        written,
        file: Tokenizer::from_gguf(&Gguf::open(&path).unwrap())
            .unwrap()
            .unwrap(),
    })
}

fn exported(json: &Value, settings: &Value) -> Exported {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), json, settings);
    export(folder.path()).unwrap_or_else(|error| panic!("{error}"))
}

fn refused(json: &Value, settings: &Value) -> String {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), json, settings);
    match export(folder.path()) {
        Ok(_) => panic!("accepted"),
        Err(error) => error,
    }
}

/// Both kinds of vocabulary, by every rule that splits words.
fn kinds() -> Vec<(&'static str, Value)> {
    let mut kinds: Vec<(&str, Value)> = ["gpt-2", "smollm", "llama-bpe", "qwen2"]
        .map(|rule| (rule, byte_level_json(rule)))
        .into();
    kinds.push(("scores", scored_json()));
    kinds
}

#[test]
fn a_file_has_the_tokens_of_its_folder() {
    let mut random = Random(0xe4);
    let settings =
        json!({"bos_token": "<s>", "eos_token": "<|e|>", "chat_template": "{{ messages }}"});
    for (kind, json) in kinds() {
        let Exported {
            folder,
            written,
            file,
        } = exported(&json, &settings);
        assert!(written.probes() > folder.vocab(), "{kind}");
        assert_eq!(
            written.notes().len(),
            usize::from(kind == "qwen2"),
            "{kind}"
        );
        assert_eq!(file.vocab(), ROWS);
        assert_eq!(file.chat_template(), Some("{{ messages }}"));
        assert_eq!(file.bos(), folder.bos(), "{kind}");
        assert_eq!(file.eos().or(Some(2)), folder.eos().or(Some(2)), "{kind}");
        for token in 0..u32::try_from(ROWS).unwrap() {
            assert_eq!(file.is_end(token), folder.is_end(token), "{kind}: {token}");
        }
        for _ in 0..300 {
            let text = text(&mut random);
            // In a form of its own, which is what the note is about.
            if text.is_empty() || (kind == "qwen2" && text.contains('\u{301}')) {
                continue;
            }
            let tokens = folder.encode(&text).unwrap();
            assert_eq!(file.encode(&text).unwrap(), tokens, "{kind}: {text:?}");
            let rendered = folder.encode_rendered(&text).unwrap();
            assert_eq!(file.encode_rendered(&text).unwrap(), rendered);
        }
    }
}

#[test]
fn what_comes_around_a_text_is_kept() {
    let template = |before: &[u32], after: &[u32]| {
        let token = |name: &str| json!({"SpecialToken": {"id": name, "type_id": 0}});
        let ids = |name: &str, ids: &[u32]| json!({"id": name, "ids": ids, "tokens": ids.iter().map(|_| name).collect::<Vec<_>>()});
        json!({
            "type": "TemplateProcessing", "pair": [],
            "single": [token("before"), {"Sequence": {"id": "A", "type_id": 0}}, token("after")],
            "special_tokens": {"before": ids("before", before), "after": ids("after", after)},
        })
    };
    let mut json = byte_level_json("llama-bpe");
    let none = json!({});
    for (before, after, settings) in [
        (&[][..], &[][..], json!({"bos_token": "<|x|>"})),
        (&[277], &[], json!({"bos_token": "<|e|>"})),
        (&[277], &[279], json!({"eos_token": "<|x|>"})),
        (&[], &[278], json!({"eos_token": "<|e|>>"})),
    ] {
        json["post_processor"] = template(before, after);
        let Exported { folder, file, .. } = exported(&json, &settings);
        let tokens = file.encode("hello").unwrap();
        assert_eq!(tokens, folder.encode("hello").unwrap());
        assert_eq!(tokens.len(), 1 + before.len() + after.len(), "{tokens:?}");
    }
    for (before, after, settings) in [
        (&[277, 279][..], &[][..], none.clone()),
        (&[277], &[], json!({"bos_token": "<|x|>"})),
        (&[], &[277, 277], none),
    ] {
        json["post_processor"] = template(before, after);
        let text = refused(&json, &settings);
        assert!(text.contains("every text"), "{text}");
    }
}

#[test]
fn a_text_ends_where_it_did() {
    let folder = tempfile::tempdir().unwrap();
    put(
        folder.path(),
        &byte_level_json("gpt-2"),
        &json!({"eos_token": "<|e|>"}),
    );
    let ends = |ids: &[u32]| {
        let settings = json!({"eos_token_id": ids}).to_string();
        fs::write(folder.path().join("generation_config.json"), settings).unwrap();
        export(folder.path())
    };
    let Exported { file, .. } = ends(&[278, 277, 5]).unwrap();
    let all: Vec<u32> = (0..300).filter(|token| file.is_end(*token)).collect();
    assert_eq!((all, file.eos()), (vec![5, 277, 278], Some(277)));
    let error = ends(&[278, 277, 5, 6]).err().expect("too many");
    assert!(
        error.contains("more tokens than a file can name"),
        "{error}"
    );
}

/// What a file cannot say, with a word of the reason.
#[test]
fn another_tokenizer_is_never_written() {
    let changed = |json: Value, changes: &[(&str, Value)]| {
        let mut json = json;
        for (pointer, value) in changes {
            *json
                .pointer_mut(pointer)
                .unwrap_or_else(|| panic!("no {pointer}")) = value.clone();
        }
        json
    };
    let bytes = || byte_level_json("gpt-2");
    let metaspace = |scheme: &str| {
        changed(
            scored_json(),
            &[
                ("/normalizer", Value::Null),
                (
                    "/pre_tokenizer",
                    json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": false}),
                ),
            ],
        )
    };
    let merges = scored_json()["model"]["merges"].as_array().unwrap().clone();
    let mut twice = merges.clone();
    twice.push(merges[0].clone());
    let fewer = merges[1..].to_vec();
    let digits = json!({"type": "Split", "pattern": {"Regex": r"\d{1,2}"}, "behavior": "Isolated", "invert": false});
    let step = bytes()["pre_tokenizer"].clone();
    for (json, word) in [
        (
            changed(bytes(), &[("/model/ignore_merges", json!(true))]),
            "\"iiiii\"",
        ),
        (
            changed(bytes(), &[("/normalizer", json!({"type": "Lowercase"}))]),
            "changes texts",
        ),
        (
            changed(bytes(), &[("/pre_tokenizer/add_prefix_space", json!(true))]),
            "a space before",
        ),
        (
            changed(bytes(), &[("/pre_tokenizer/use_regex", json!(false))]),
            "no rule",
        ),
        (
            changed(
                bytes(),
                &[(
                    "/pre_tokenizer",
                    json!({"type": "Sequence", "pretokenizers": [digits, step]}),
                )],
            ),
            r"\d{1,2}",
        ),
        (
            changed(
                bytes(),
                &[("/pre_tokenizer", json!({"type": "Whitespace"}))],
            ),
            "neither byte-level",
        ),
        (
            changed(bytes(), &[("/added_tokens/0/lstrip", json!(true))]),
            "<|e|>",
        ),
        (
            changed(bytes(), &[("/added_tokens/2/rstrip", json!(true))]),
            "<|x|>",
        ),
        (
            changed(bytes(), &[("/added_tokens/1/single_word", json!(true))]),
            "<|e|>>",
        ),
        (
            changed(scored_json(), &[("/model/merges", json!(twice))]),
            "in an order",
        ),
        (
            changed(scored_json(), &[("/model/merges", json!(fewer))]),
            "does not merge",
        ),
        (
            changed(scored_json(), &[("/model/byte_fallback", json!(false))]),
            "reader of the file",
        ),
        (
            changed(scored_json(), &[("/decoder/decoders/3/start", json!(0))]),
            "are the text",
        ),
        // A space before a text that begins with one, by readers of files.
        (metaspace("always"), "reader of the file"),
        (metaspace("first"), "reader of the file"),
    ] {
        let text = refused(&json, &json!({}));
        println!("{text}");
        assert!(
            text.contains(word) && text.contains("tokenizer.json"),
            "{word}: {text}"
        );
    }
    let never = metaspace("never");
    let decoders = never["decoder"]["decoders"].as_array().unwrap();
    let unstripped = json!(decoders[..3]);
    exported(
        &changed(never, &[("/decoder/decoders", unstripped)]),
        &json!({}),
    );

    let folder = tempfile::tempdir().unwrap();
    assert!(
        GgufTokenizer::from_folder(folder.path(), ROWS)
            .unwrap()
            .is_none()
    );
    put(folder.path(), &bytes(), &json!({}));
    let error = GgufTokenizer::from_folder(folder.path(), 279).unwrap_err();
    assert!(error.to_string().contains("no row"), "{error}");
    assert!(GgufTokenizer::from_folder(folder.path(), 280).is_ok());
    fs::write(folder.path().join("tokenizer.json"), "{").unwrap();
    let error = GgufTokenizer::from_folder(folder.path(), ROWS).unwrap_err();
    assert!(error.to_string().contains("damaged"), "{error}");
}

#[test]
fn damaged_files_give_errors_or_the_same_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(0xbad);
    for (kind, mut sound) in kinds() {
        // The rules first, where half of the damage is.
        let model = sound["model"].take();
        let text_of = sound
            .to_string()
            .replace(r#","model":null"#, "")
            .replace(r#""model":null,"#, "");
        let rules = text_of.len() - 1;
        let sound = format!(r#"{},"model":{model}}}"#, &text_of[..rules]);
        let mut accepted = 0;
        for trial in 0..150 {
            let within = if trial % 2 == 0 { rules } else { sound.len() };
            let bytes = mutated(sound.as_bytes(), within, &mut random);
            fs::write(folder.path().join("tokenizer.json"), bytes).unwrap();
            let Ok(Exported {
                folder,
                file,
                written,
            }) = export(folder.path())
            else {
                continue;
            };
            accepted += 1;
            for _ in 0..20 {
                let text = text(&mut random);
                let is_other_form = !written.notes().is_empty() && text.contains('\u{301}');
                if text.is_empty() || is_other_form {
                    continue;
                }
                let (theirs, ours) = (folder.encode(&text), file.encode(&text));
                assert_eq!(ours.ok(), theirs.ok(), "{kind}, trial {trial}: {text:?}");
            }
        }
        println!("{kind}: {accepted} of 150 written");
        assert!(accepted < 130);
    }
}
