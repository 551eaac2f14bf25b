//! Text from tokens as they come: a character whose bytes are spread over tokens is held back until it is whole.

use super::Words;
use super::gguf::Native;
#[cfg(feature = "tokenizer-json")]
use super::json::Window;

/// Decodes one token after another.
#[derive(Debug)]
pub struct TextStream<'a> {
    stream: Stream<'a>,
}

#[derive(Debug)]
enum Stream<'a> {
    Native(Bytes<'a>),
    #[cfg(feature = "tokenizer-json")]
    Json(Window<'a>),
}

impl<'a> TextStream<'a> {
    pub(super) fn new(words: &'a Words) -> Self {
        let stream = match words {
            Words::Native(words) => Stream::Native(Bytes {
                words,
                held: Vec::new(),
                at_start: true,
            }),
            #[cfg(feature = "tokenizer-json")]
            Words::Json(library) => Stream::Json(Window::new(library)),
        };
        TextStream { stream }
    }

    /// The text that this token makes complete; empty while a character is not whole.
    pub fn push(&mut self, token: u32) -> String {
        match &mut self.stream {
            Stream::Native(bytes) => bytes.push(token),
            #[cfg(feature = "tokenizer-json")]
            Stream::Json(window) => window.push(token),
        }
    }

    /// What was held back: bytes that never became a character, as U+FFFD.
    pub fn finish(self) -> String {
        match self.stream {
            Stream::Native(bytes) => String::from_utf8_lossy(&bytes.held).into_owned(),
            #[cfg(feature = "tokenizer-json")]
            Stream::Json(window) => window.rest(),
        }
    }
}

/// The bytes of tokens, those of a character that is not whole yet.
#[derive(Debug)]
struct Bytes<'a> {
    words: &'a Native,
    held: Vec<u8>,
    at_start: bool,
}

impl Bytes<'_> {
    fn push(&mut self, token: u32) -> String {
        self.held.extend(self.words.bytes(token, self.at_start));
        self.at_start = self.words.is_special(token);
        let mut text = String::new();
        let mut whole = 0;
        for chunk in self.held.utf8_chunks() {
            text += chunk.valid();
            whole += chunk.valid().len();
            let invalid = chunk.invalid();
            if whole + invalid.len() == self.held.len() && may_go_on(invalid) {
                break;
            }
            if !invalid.is_empty() {
                text.push(char::REPLACEMENT_CHARACTER);
            }
            whole += invalid.len();
        }
        self.held.drain(..whole);
        text
    }
}

/// Whether these bytes could be the beginning of a character.
fn may_go_on(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}
