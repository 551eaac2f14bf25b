//! The pair: one small network trained with ternary weights and with half-precision ones, part of the binary
//! (`suites/pair/README.md`).

use crate::suite::embedded;
use std::path::Path;

/// The ternary model, wherever a model file can be named.
pub const TERNARY: &str = "pair:ternary";
/// The same network in half precision.
pub const F16: &str = "pair:f16";

/// Both, with a line on each.
pub const MODELS: [(&str, &str); 2] = [
    (
        TERNARY,
        "2.6 million weights trained as BitNet b1.58 on the King James Bible",
    ),
    (F16, "the same network trained in half precision"),
];

/// The bytes of the model of this name; `None` where it is the name of a file.
pub fn find(name: &Path) -> Option<&'static [u8]> {
    let file = match name.to_str()? {
        TERNARY => "pair/ternary.gguf",
        F16 => "pair/f16.gguf",
        _ => return None,
    };
    embedded::data(file)
}

/// A text that neither saw in training: chapters of the King James Bible.
///
/// # Panics
/// Never: the text is part of the binary.
pub fn held_out() -> &'static str {
    let text = embedded::data("pair/heldout.txt").and_then(|data| std::str::from_utf8(data).ok());
    text.expect("a text that is part of the binary")
}
