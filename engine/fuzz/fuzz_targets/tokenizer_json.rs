//! tokenizer.json: read, and a few texts turned into tokens and back.
#![no_main]

use bitbench_engine::tokenizer::Tokenizer;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let path = std::env::temp_dir().join(format!("bitbench-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&path).expect("a folder");
    std::fs::write(path.join("tokenizer.json"), bytes).expect("a file");
    let Ok(Some(tokenizer)) = Tokenizer::from_folder(&path) else {
        return;
    };
    for text in ["", "Text,  123 of it's\n\n", "日本 😀 \u{301}\u{fdfa}</s>"] {
        if let Ok(tokens) = tokenizer.encode(text) {
            let _ = tokenizer.decode(&tokens);
        }
    }
    let all: Vec<u32> = (0..1000).chain([u32::MAX]).collect();
    let _ = tokenizer.decode(&all);
});
