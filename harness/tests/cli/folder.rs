//! Hugging Face folders on the command line: logits, text, chat, runs.

use crate::support::{Bench, Ran, Suite, fixture};
use serde_json::{Value, json};
use std::fs;

/// The folder of the fixtures, copied to `net.v1`, with a tokenizer that knows bytes only.
fn folder(bench: &Bench) {
    fs::create_dir(bench.path().join("net.v1")).unwrap();
    for name in ["config.json", "model.safetensors"] {
        let from = fixture("hf-tiny-offline").join(name);
        fs::copy(from, bench.path().join("net.v1").join(name)).unwrap();
    }
}

/// A token for each byte, in the characters that byte-level vocabularies have for them, and two control tokens.
fn add_tokenizer(bench: &Bench) {
    let mut unprintable = 0x100u32..;
    let character = |byte: u8| match byte {
        0..=32 | 127..=160 | 173 => char::from_u32(unprintable.next().unwrap()).unwrap(),
        _ => char::from(byte),
    };
    let mut vocab: serde_json::Map<String, Value> = (0..=255u8)
        .map(character)
        .zip(0..)
        .map(|(character, id)| (character.to_string(), json!(id)))
        .collect();
    vocab.insert("<s>".into(), json!(256));
    vocab.insert("</s>".into(), json!(257));
    let added = |id: u32, content: &str| {
        json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
            "special": true})
    };
    let step = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null,
        "added_tokens": [added(256, "<s>"), added(257, "</s>")],
        "pre_tokenizer": step, "decoder": step,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [], "special_tokens": {"<s>": {"id": "<s>", "ids": [256], "tokens": ["<s>"]}},
        },
        "model": {"type": "BPE", "vocab": vocab, "merges": []},
    });
    bench.file("net.v1/tokenizer.json", tokenizer.to_string());
}

fn generated(ran: &Ran) -> Value {
    serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {}", ran.out))
}

#[test]
fn logits_of_a_folder_have_the_promised_size() {
    let bench = Bench::beside();
    folder(&bench);
    bench
        .run("logits --model net.v1 --tokens 1,11,35 --out out.f32")
        .expect(0);
    let bytes = fs::read(bench.path().join("out.f32")).unwrap();
    assert_eq!(bytes.len(), 3 * 320 * 4);
    fs::remove_file(bench.path().join("net.v1/model.safetensors")).unwrap();
    bench
        .run("logits --model net.v1 --tokens 1 --out other.f32")
        .expect(2)
        .says(&["net.v1", "safetensors"]);
}

#[test]
#[cfg(feature = "tokenizer-json")]
fn text_and_chat_come_from_a_folder() {
    let bench = Bench::beside();
    folder(&bench);
    let run = |options: &str| {
        bench.run(&format!(
            "generate --model net.v1 --max-tokens 4 --json --prompt Hi {options}"
        ))
    };
    run("").expect(2).says(&["net.v1", "no tokenizer"]);
    add_tokenizer(&bench);
    let plain = generated(&run("").expect(0));
    assert_eq!(plain["prompt_ids"], json!([256, 72, 105]));
    run("--chat")
        .expect(2)
        .says(&["net.v1", "no chat template"]);
    run("--system Be").expect(2).says(&["--chat"]);

    let template = "{% for m in messages %}{{ bos_token if loop.first }}{{ m.role[0] }}{{ m.content }}{% endfor %}a";
    bench.file(
        "net.v1/tokenizer_config.json",
        json!({"bos_token": "<s>", "chat_template": template}).to_string(),
    );
    let chat = generated(&run("--chat").expect(0));
    assert_eq!(chat["prompt_ids"], json!([256, 117, 72, 105, 97]));
    let chat = generated(&run("--chat --system Be").expect(0));
    assert_eq!(
        chat["prompt_ids"],
        json!([256, 115, 66, 101, 117, 72, 105, 97])
    );
    bench.file(
        "net.v1/chat_template.jinja",
        "{{ raise_exception('nothing to say') }}",
    );
    run("--chat").expect(2).says(&["net.v1", "nothing to say"]);
    bench.file("net.v1/tokenizer.json", "{}");
    run("").expect(2).says(&["tokenizer.json", "damaged"]);
}

#[test]
#[cfg(feature = "tokenizer-json")]
fn a_converted_folder_keeps_its_tokenizer_if_a_file_can_hold_it() {
    let bench = Bench::beside();
    folder(&bench);
    add_tokenizer(&bench);
    let template = "{% for m in messages %}{{ m.role[0] }}{{ m.content }}{% endfor %}a";
    bench.file(
        "net.v1/tokenizer_config.json",
        json!({"bos_token": "<s>", "eos_token": "</s>", "chat_template": template}).to_string(),
    );
    let convert = || {
        bench
            .run("model convert net.v1 net.gguf --to i2_s --force")
            .expect(0)
    };
    let ran = convert();
    assert!(
        ran.out.contains("the tokenizer of the folder"),
        "{}",
        ran.out
    );
    for options in [
        "--prompt Hi",
        "--prompt Hi</s>é",
        "--prompt Hi --chat --system Be",
    ] {
        let [folder, file] = ["net.v1", "net.gguf"].map(|model| {
            let run = format!("generate --model {model} --max-tokens 4 --json {options}");
            let found = generated(&bench.run(&run).expect(0));
            [
                found["prompt_ids"].clone(),
                found["ids"].clone(),
                found["text"].clone(),
            ]
        });
        assert_eq!(folder, file, "{options}");
    }

    // This one finds a token only where a space is before it, of which a file has no word.
    let tokenizer = bench.read("net.v1/tokenizer.json");
    let tokenizer = tokenizer.replace("\"single_word\":false", "\"single_word\":true");
    bench.file("net.v1/tokenizer.json", tokenizer);
    let ran = convert().says(&["the tokenizer is left out", "tokenizer.json", "</s>"]);
    assert!(ran.out.contains("it has no tokenizer"), "{}", ran.out);
    bench
        .run("generate --model net.gguf --prompt Hi")
        .expect(2)
        .says(&["no tokenizer"]);
    bench.file("net.v1/tokenizer.json", "{");
    convert().says(&["the tokenizer is left out", "damaged"]);
}

#[test]
fn a_folder_runs_under_its_whole_name_and_the_hash_of_its_files() {
    let bench = Bench::beside();
    folder(&bench);
    bench.suite(&Suite::default());
    let hashes = ["out", "again", "other"].map(|out| {
        if out == "other" {
            let config = bench.read("net.v1/config.json");
            bench.file("net.v1/config.json", config + " ");
        }
        let ran = bench.run(&format!(
            "run --suite mine.toml --quick --out {out} --model net.v1"
        ));
        ran.expect(0);
        let records = bench.read(&format!("{out}/records.jsonl"));
        assert!(records.contains("\"net.v1\""), "{records}");
        let mut hashes: Vec<String> = records
            .match_indices("blake3:")
            .map(|(at, _)| records[at..at + 71].to_owned())
            .collect();
        hashes.sort_unstable();
        hashes.dedup();
        hashes
    });
    assert_eq!(hashes[0], hashes[1]);
    assert_ne!(hashes[0], hashes[2]);
}
