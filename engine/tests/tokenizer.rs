//! The tokenizers against token lists that Hugging Face's `tokenizers` 0.x gives for the same vocabularies and rules, which
//! are made here by hand, and against broken metadata.

mod support;
mod words;

use std::path::PathBuf;

use bitbench_engine::model::gguf::Gguf;
use bitbench_engine::tokenizer::{Tokenizer, TokenizerError};
use support::{GgufWriter, Kv, Random};
use words::{byte_level, scored};

fn try_read(bytes: &[u8]) -> Result<Option<Tokenizer>, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vocabulary.gguf");
    std::fs::write(&path, bytes).unwrap();
    let gguf = Gguf::open(&path).map_err(|error| error.to_string())?;
    let read = Tokenizer::from_gguf(&gguf);
    if let Err(error) = &read {
        assert!(error.to_string().contains("vocabulary.gguf"), "{error}");
    }
    read.map_err(|error| error.to_string())
}

fn read(file: &GgufWriter) -> Tokenizer {
    try_read(&file.bytes()).unwrap().unwrap()
}

fn refused(file: &GgufWriter) -> String {
    try_read(&file.bytes()).unwrap_err()
}

#[test]
fn byte_level_tokens_are_those_of_hugging_face() {
    let cases: [(&str, &str, &[u32]); 20] = [
        ("gpt-2", "hello world", &[259, 264]),
        ("gpt-2", "hello  world", &[259, 32, 264]),
        (
            "gpt-2",
            "the  the   world's\n\nhello",
            &[273, 32, 32, 273, 265, 264, 271, 10, 10, 259],
        ),
        ("gpt-2", "1234 12345", &[269, 32, 269, 53]),
        (
            "gpt-2",
            "Ünïcödé 日本 😀",
            &[
                195, 156, 110, 195, 175, 99, 195, 182, 100, 274, 32, 230, 151, 165, 230, 156, 172,
                32, 240, 159, 152, 128,
            ],
        ),
        ("gpt-2", "'S's", &[39, 83, 271]),
        ("gpt-2", " ", &[32]),
        (
            "gpt-2",
            "a \n b<|e|>>c<|e|><|x|>",
            &[97, 32, 10, 32, 98, 278, 99, 277, 279],
        ),
        ("gpt-2", "iiiii iiiii", &[275, 275, 105, 32, 275, 275, 105]),
        ("gpt-2", "", &[]),
        ("smollm", "hello 1234", &[259, 32, 49, 50, 51, 52]),
        ("smollm", "12 the123", &[49, 50, 32, 273, 49, 50, 51]),
        (
            "llama-bpe",
            "hello\n\nworld 1234567",
            &[259, 270, 119, 261, 263, 32, 268, 52, 53, 54, 55],
        ),
        (
            "llama-bpe",
            "'S's\t\thello \n",
            &[272, 271, 9, 9, 259, 32, 10],
        ),
        ("llama-bpe", "iiiii  iiii  ", &[276, 32, 32, 275, 275, 265]),
        ("llama-bpe", "==> é\r\n", &[61, 61, 62, 32, 274, 13, 10]),
        (
            "qwen2",
            "hello 1234\n\n  world",
            &[259, 32, 49, 50, 51, 52, 270, 32, 264],
        ),
        ("qwen2", "iiiii", &[275, 275, 105]),
        (
            "default",
            "12345 hello!? the",
            &[268, 52, 53, 32, 259, 33, 63, 32, 273],
        ),
        (
            "default",
            "a+b=$12 ==> 'sé",
            &[97, 43, 98, 61, 36, 267, 32, 61, 61, 62, 32, 39, 115, 274],
        ),
    ];
    for (pre, text, expected) in cases {
        let tokenizer = read(&byte_level(Some(pre)));
        assert_eq!(tokenizer.encode(text).unwrap(), expected, "{pre}: {text:?}");
        assert_eq!(tokenizer.decode(expected), text, "{pre}");
    }
    // A file that names no rule is read by the rule that the engines it is made for take then.
    let tokens = read(&byte_level(None)).encode("12345 hello!? the").unwrap();
    assert_eq!(tokens, [268, 52, 53, 32, 259, 33, 63, 32, 273]);
}

#[test]
fn scored_tokens_are_those_of_hugging_face() {
    let cases: [(&str, &[u32]); 6] = [
        ("hello world", &[266, 268]),
        ("hello  world the", &[266, 273, 268, 272]),
        ("   hello", &[269, 273, 266]),
        ("é日", &[273, 198, 172, 233, 154, 168]),
        ("x</s>hello", &[273, 123, 2, 266]),
        ("hello\n", &[266, 13]),
    ];
    let mut file = scored();
    file.kv("tokenizer.ggml.add_bos_token", Kv::Bool(false));
    let tokenizer = read(&file);
    for (text, expected) in cases {
        assert_eq!(tokenizer.encode(text).unwrap(), expected, "{text:?}");
        assert_eq!(tokenizer.decode(expected), text);
    }
    file.kv("tokenizer.ggml.add_space_prefix", Kv::Bool(false));
    assert_eq!(read(&file).encode("hello world").unwrap(), [265, 268]);
}

#[test]
fn the_file_says_what_comes_first_and_last() {
    let text = "hello";
    let mut file = scored();
    assert_eq!(
        read(&file).encode(text).unwrap(),
        [1, 266],
        "BOS by default"
    );
    file.kv("tokenizer.ggml.add_eos_token", Kv::Bool(true));
    assert_eq!(read(&file).encode(text).unwrap(), [1, 266, 2]);

    let mut file = byte_level(Some("llama-bpe"));
    assert_eq!(read(&file).encode(text).unwrap(), [259], "no BOS is named");
    file.kv("tokenizer.ggml.bos_token_id", Kv::U32(279));
    assert_eq!(read(&file).encode(text).unwrap(), [279, 259]);
    file.kv("tokenizer.ggml.add_bos_token", Kv::Bool(false));
    assert_eq!(read(&file).encode(text).unwrap(), [259]);
    file.kv("tokenizer.ggml.eot_token_id", Kv::U32(278));
    let tokenizer = read(&file);
    let ends: Vec<u32> = (0..300).filter(|token| tokenizer.is_end(*token)).collect();
    assert_eq!(ends, [277, 278]);
    assert_eq!((tokenizer.bos(), tokenizer.eos()), (Some(279), Some(277)));
    assert_eq!(tokenizer.token("<|x|>"), Some(279));
    assert_eq!(tokenizer.token("hello"), Some(259));
    assert_eq!(tokenizer.token("world"), None);
    assert_eq!(tokenizer.vocab(), 280);
}

#[test]
fn a_chat_template_is_a_text() {
    let mut file = scored();
    assert_eq!(read(&file).chat_template(), None);
    file.kv("tokenizer.chat_template", Kv::Str("{{ messages }}".into()));
    assert_eq!(read(&file).chat_template(), Some("{{ messages }}"));
    file.kv("tokenizer.chat_template", Kv::U32(1));
    assert!(refused(&file).contains("tokenizer.chat_template"));
}

#[test]
fn a_stream_holds_back_what_is_not_whole() {
    let tokenizer = read(&byte_level(Some("gpt-2")));
    let mut stream = tokenizer.stream();
    let smile: Vec<String> = "😀"
        .bytes()
        .map(|byte| stream.push(u32::from(byte)))
        .collect();
    assert_eq!(smile, ["", "", "", "😀"]);
    assert_eq!(stream.push(0xf0), "");
    assert_eq!(stream.push(u32::from(b'a')), "\u{fffd}a");
    assert_eq!(stream.push(9999), "\u{fffd}");
    assert_eq!(stream.push(0xe6), "");
    assert_eq!(stream.finish(), "\u{fffd}");
}

#[test]
fn texts_come_back_whole() {
    let mut random = Random(23);
    let parts = [
        "hello", " ", "  ", "\n", "\r\n", "\t", "'s", "'LL", "12", "٣", "é", "e\u{301}", "日本",
        "😀", "<|e|>", "<|", "\u{a0}", "\u{3000}", "+=", "x",
    ];
    let tokenizers: Vec<Tokenizer> = ["gpt-2", "smollm", "llama-bpe", "qwen2", "default"]
        .map(|pre| read(&byte_level(Some(pre))))
        .into();
    let scored = read(&scored());
    for trial in 0..500 {
        let text: String = (0..random.below(12))
            .map(|_| parts[random.below(parts.len())])
            .collect();
        for tokenizer in &tokenizers {
            let tokens = tokenizer.encode(&text).unwrap();
            assert_eq!(tokenizer.decode(&tokens), text, "trial {trial}");
        }
        let tokens = scored.encode(&text).unwrap();
        assert_eq!(scored.decode(&tokens[1..]), text, "trial {trial}");
        // Any tokens at all decode to the same text in a stream and by the lossy rule of the standard library.
        let any: Vec<u32> = (0..20)
            .map(|_| u32::try_from(random.below(256)).unwrap())
            .collect();
        let bytes: Vec<u8> = any
            .iter()
            .map(|token| u8::try_from(*token).unwrap())
            .collect();
        assert_eq!(
            tokenizers[0].decode(&any),
            String::from_utf8_lossy(&bytes),
            "trial {trial}"
        );
    }
}

/// Quadratic work would take hours.
#[test]
fn a_word_of_a_megabyte_takes_no_time() {
    let word = "hello".repeat(200_000);
    for file in [byte_level(Some("llama-bpe")), scored()] {
        let tokens = read(&file).encode(&word).unwrap();
        assert!((200_000..200_002).contains(&tokens.len()));
    }
    let spaces = " ".repeat(1 << 20) + "x";
    assert_eq!(read(&byte_level(Some("gpt-2"))).decode(&[]), "");
    let tokens = read(&byte_level(Some("gpt-2"))).encode(&spaces).unwrap();
    assert!(tokens.len() < 1 << 19);
}

#[test]
fn files_without_a_vocabulary_have_no_tokenizer() {
    let fixture = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-I2_S.gguf");
    let gguf = Gguf::open(fixture).unwrap();
    assert!(Tokenizer::from_gguf(&gguf).unwrap().is_none());
    assert!(try_read(&GgufWriter::new().bytes()).unwrap().is_none());
}

#[test]
fn what_contradicts_itself_is_refused() {
    let with = |mut file: GgufWriter, key: &str, value: Kv| {
        file.kv(&format!("tokenizer.ggml.{key}"), value);
        refused(&file)
    };
    let bytes = || byte_level(Some("gpt-2"));
    let unknown = with(bytes(), "pre", Kv::Str("mystery".into()));
    assert!(
        unknown.contains("mystery") && unknown.contains("llama-bpe"),
        "{unknown}"
    );
    assert!(with(bytes(), "model", Kv::Str("bert".into())).contains("bert"));
    with(bytes(), "model", Kv::U32(1));
    with(bytes(), "pre", Kv::U32(1));
    with(bytes(), "tokens", Kv::U32(1));
    with(bytes(), "tokens", Kv::Strs(vec![]));
    with(bytes(), "token_type", Kv::I32s(vec![1]));
    with(bytes(), "token_type", Kv::I32s(vec![-1; 280]));
    with(bytes(), "merges", Kv::Strs(vec!["he".into()]));
    with(bytes(), "merges", Kv::Strs(vec!["q z".into()]));
    with(bytes(), "merges", Kv::Strs(vec![" ".into(), String::new()]));
    with(bytes(), "eos_token_id", Kv::U32(280));
    with(bytes(), "bos_token_id", Kv::Str("x".into()));
    with(bytes(), "add_bos_token", Kv::U32(1));
    assert!(with(bytes(), "add_bos_token", Kv::Bool(true)).contains("BOS"));
    with(scored(), "scores", Kv::F32s(vec![0.0]));
    with(scored(), "scores", Kv::Str("none".into()));
    with(scored(), "unknown_token_id", Kv::U32(1 << 20));

    let mut file = byte_level(Some("gpt-2"));
    file.kv("tokenizer.ggml.tokens", Kv::Strs(vec!["a".into()]));
    file.kv("tokenizer.ggml.token_type", Kv::I32s(vec![1]));
    file.kv("tokenizer.ggml.merges", Kv::Strs(vec![]));
    file.kv("tokenizer.ggml.eos_token_id", Kv::U32(0));
    let error = read(&file).encode("aab").unwrap_err();
    assert!(
        matches!(error, TokenizerError::NoToken { byte: b'b' }),
        "{error}"
    );
}

#[test]
fn flipped_bits_never_panic() {
    let mut random = Random(29);
    for file in [byte_level(Some("llama-bpe")), scored()] {
        let sound = file.bytes();
        for _ in 0..600 {
            let mut bytes = sound.clone();
            for _ in 0..1 + random.below(4) {
                bytes[random.below(sound.len())] ^= 1 << random.below(8);
            }
            if let Ok(Some(tokenizer)) = try_read(&bytes)
                && let Ok(tokens) = tokenizer.encode("hello  world's\n <|e|> 1234 é日😀</s>")
            {
                tokenizer.decode(&tokens);
            }
        }
    }
}
