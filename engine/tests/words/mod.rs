//! Two small vocabularies, as GGUF files have them.

use crate::support::{GgufWriter, Kv};

pub(crate) const MERGES: [&str; 20] = [
    "h e",
    "l l",
    "he ll",
    "hell o",
    "Ġ w",
    "o r",
    "Ġw or",
    "l d",
    "Ġwor ld",
    "Ġ Ġ",
    "ĠĠ ĠĠ",
    "1 2",
    "12 3",
    "123 4",
    "Ċ Ċ",
    "' s",
    "' S",
    "t he",
    "Ã ©",
    "i i",
];

/// Token b is the byte b; the results of the merges follow, then a word that no merge makes and three control tokens.
pub(crate) fn byte_level(pre: Option<&str>) -> GgufWriter {
    let mut unprintable = 0x100u32..;
    let mut tokens: Vec<String> = (0..=255u8)
        .map(|byte| match byte {
            0..=32 | 127..=160 | 173 => char::from_u32(unprintable.next().unwrap()).unwrap(),
            _ => char::from(byte),
        })
        .map(String::from)
        .collect();
    tokens.extend(MERGES.map(|merge| merge.replace(' ', "")));
    tokens.extend(["iiiii", "<|e|>", "<|e|>>", "<|x|>"].map(String::from));
    let mut kinds = vec![1; tokens.len() - 3];
    kinds.extend([3, 3, 4]);
    let mut file = GgufWriter::new();
    file.kv("tokenizer.ggml.model", Kv::Str("gpt2".into()));
    if let Some(pre) = pre {
        file.kv("tokenizer.ggml.pre", Kv::Str(pre.into()));
    }
    file.kv("tokenizer.ggml.tokens", Kv::Strs(tokens));
    file.kv("tokenizer.ggml.token_type", Kv::I32s(kinds));
    file.kv(
        "tokenizer.ggml.merges",
        Kv::Strs(MERGES.map(String::from).into()),
    );
    file.kv("tokenizer.ggml.eos_token_id", Kv::U32(277));
    file
}

/// Three control tokens, 256 of a byte each, then pieces by score.
pub(crate) fn scored() -> GgufWriter {
    let pieces = "he ll ld ▁w or hell hello ▁hello ▁wor ▁world ▁▁ ▁▁▁▁ ▁t ▁the ▁ h e l o w r d t";
    let mut tokens: Vec<String> = ["<unk>", "<s>", "</s>"].map(String::from).into();
    tokens.extend((0..256).map(|byte| format!("<0x{byte:02X}>")));
    let mut kinds = vec![2, 3, 3];
    kinds.resize(tokens.len(), 6);
    let mut scores = vec![0.0; tokens.len()];
    for (rank, piece) in (0u8..).zip(pieces.split(' ')) {
        tokens.push(piece.into());
        kinds.push(1);
        scores.push(-f32::from(rank));
    }
    let mut file = GgufWriter::new();
    file.kv("tokenizer.ggml.model", Kv::Str("llama".into()));
    file.kv("tokenizer.ggml.tokens", Kv::Strs(tokens));
    file.kv("tokenizer.ggml.token_type", Kv::I32s(kinds));
    file.kv("tokenizer.ggml.scores", Kv::F32s(scores));
    file
}
