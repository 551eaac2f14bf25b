//! Texts that two tokenizers must agree on.

use rayon::prelude::*;

use crate::tokenizer::Tokenizer;
use crate::tokenizer::json::Library;

/// Texts of several scripts and kinds; what splits words differently in rules that are alike, and what is rare.
const TEXTS: [&str; 36] = [
    "Hello, world! It's a test; isn't it? I'm sure they'd've said we'll see.",
    "HELLO WORLD'S END. YOU'RE WRONG, I'D SAY, AND THEY'VE GONE.",
    "a  b   c    d     e\tf\t\tg \t h",
    " leading",
    "  two leading",
    "trailing ",
    "trailing  ",
    "line\nline\n\nline\n\n\nline\r\nline\r\n\r\n  indented\n\tindented\n",
    "\n",
    "\n\n  \n",
    " ",
    "   ",
    "0 1 12 123 1234 12345 123456 1234567 3.14159 1,000,000 0x1F 2e-10 007",
    "year2024month12 v1.2.3-beta4 x86_64 H2O",
    "fn main() { let x: Vec<u8> = vec![0; 16]; println!(\"{:?}\", x); } // done",
    "def f(x):\n    return x ** 2 if x > 0 else -x\n\n\nclass A:\n\tpass\n",
    "{\"key\": [1, 2.5, null, true], \"other\": \"a\\nb\"}",
    "https://example.org/a/b?c=d&e=f#g user@example.org #tag @name $5.00 50% C++ C#",
    "!!! ??? ... --- *** === >>> <<< ((())) [[]] {} || && ~~ `code` ```",
    "«Où êtes-vous ?» demanda-t-il. Größe, naïveté, façade, œuvre, ¿qué?",
    "Привет, мир! Как дела?  Ёжик, щука, объём.",
    "Γειά σου Κόσμε. Καλημέρα!",
    "日本語のテキスト、漢字とカタカナ。東京タワー",
    "中文文本，简体与繁體。你好，世界！１２３",
    "안녕하세요 세계! 한국어 텍스트",
    "مرحبا بالعالم، كيف حالك؟ ١٢٣",
    "שלום עולם",
    "नमस्ते दुनिया, कैसे हैं आप? १२३",
    "สวัสดีชาวโลก",
    "😀 😀😀 👩‍👩‍👧‍👦 🇩🇪 👍🏽 ❤️ ✓ → ∑ ∞ ½ ² ™ €",
    "a\u{a0}b\u{3000}c\u{2003}d\u{200b}e\u{feff}f\u{85}g\u{2028}h",
    "\u{0}\u{1}\u{7f}\u{1b}[0m",
    "e\u{301} o\u{308} \u{301} \u{fdfa} \u{212b} \u{1e9b}\u{323}",
    "\u{2581}\u{2581}a\u{2581} b",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "                                                                                x",
];
/// Tokens of a text that is made of tokens.
const TOGETHER: u32 = 8;
/// In how many such texts each token is.
const TIMES: u32 = 4;

/// The number of texts, on all of which both agree; or how they differ on one. With `normal_form`, texts are brought to the form
/// that the library would bring them to.
pub(super) fn agree(
    source: &Tokenizer,
    library: &Library,
    written: &Tokenizer,
    normal_form: bool,
) -> Result<usize, String> {
    let mut texts = texts(library, written);
    if normal_form {
        texts
            .iter_mut()
            .for_each(|text| *text = library.normalized(text));
    }
    let differing = texts
        .par_iter()
        .find_map_first(|text| difference(text, source, library, written));
    match differing {
        None => Ok(texts.len()),
        Some(difference) => Err(difference),
    }
}

/// How the two differ on a text.
fn difference(
    text: &str,
    source: &Tokenizer,
    library: &Library,
    written: &Tokenizer,
) -> Option<String> {
    let ours = source.encode(text);
    let theirs = written.encode(text);
    let shown: String = text.chars().take(60).collect();
    let (Ok(ours), Ok(theirs)) = (ours, theirs) else {
        return Some(format!("one of the two has no tokens for {shown:?}"));
    };
    if ours != theirs {
        let at = ours.iter().zip(&theirs).take_while(|(a, b)| a == b).count();
        let next = |tokens: &[u32]| {
            tokens
                .get(at..)
                .unwrap_or_default()
                .iter()
                .take(8)
                .copied()
                .collect::<Vec<u32>>()
        };
        return Some(format!(
            "in {shown:?}, {at} tokens in, it has {:?} where a reader of the file has {:?}",
            next(&ours),
            next(&theirs)
        ));
    }
    let alone = source.encode_alone(text).ok()?;
    // Decoding by the library leaves open what is a broken character and what is the sign for one, and where spaces belong
    // beside an added token.
    let is_open = text.contains(char::REPLACEMENT_CHARACTER);
    if is_open || alone.iter().any(|token| library.is_added(*token)) {
        return None;
    }
    let (ours, theirs) = (source.decode(&alone), written.decode(&alone));
    (ours != theirs).then(|| {
        let shown = |text: &str| text.chars().take(60).collect::<String>();
        format!(
            "the tokens of {text:?} are the text {:?}, and for a reader of the file {:?}",
            shown(&ours),
            shown(&theirs)
        )
    })
}

/// All texts.
fn texts(library: &Library, written: &Tokenizer) -> Vec<String> {
    let mut texts: Vec<String> = TEXTS.map(str::to_owned).into();
    let mut added: Vec<&str> = library.added().map(|(_, text, _)| text).collect();
    added.sort_unstable();
    texts.extend(
        added
            .iter()
            .map(|text| format!("a{text}b {text} c  {text}\n {text}{text}")),
    );
    texts.extend(added.iter().map(|text| format!("{text}Hello")));
    let count = u32::try_from(written.vocab()).unwrap_or(u32::MAX);
    for token in 0..count {
        let piece = written.decode(&[token]);
        if !piece.is_empty() && !piece.contains(char::REPLACEMENT_CHARACTER) {
            texts.push(format!("x {piece} y"));
            texts.push(piece);
        }
    }
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..count.div_ceil(TOGETHER) * TIMES {
        let together = (0..TOGETHER).map(|_| random.below(count));
        texts.push(written.decode(&together.collect::<Vec<u32>>()));
    }
    texts
}

/// xorshift64*: the same texts every time.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        u32::try_from(number % u64::from(bound.max(1))).unwrap_or(0)
    }
}
