//! Text from tokens as they come: a character whose bytes are spread over tokens is held back until it is whole.

use super::Tokenizer;

/// Decodes one token after another.
#[derive(Debug)]
pub struct TextStream<'a> {
    tokenizer: &'a Tokenizer,
    held: Vec<u8>,
    at_start: bool,
}

impl<'a> TextStream<'a> {
    pub(super) fn new(tokenizer: &'a Tokenizer) -> Self {
        TextStream {
            tokenizer,
            held: Vec::new(),
            at_start: true,
        }
    }

    /// The text that this token makes complete; empty while a character is not whole.
    pub fn push(&mut self, token: u32) -> String {
        self.held.extend(self.tokenizer.bytes(token, self.at_start));
        self.at_start = self.tokenizer.is_special(token);
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

    /// What was held back: bytes that never became a character, as U+FFFD.
    pub fn finish(self) -> String {
        String::from_utf8_lossy(&self.held).into_owned()
    }
}

/// Whether these bytes could be the beginning of a character.
fn may_go_on(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}
