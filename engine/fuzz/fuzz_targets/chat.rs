//! A chat template: two messages written with it.
#![no_main]

use bitbench::chat::{Message, render_template};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|template: &str| {
    let messages = [Message::system("Be brief."), Message::user("Who are you? ")];
    if let Ok(text) = render_template(template, &messages, Some("<s>"), None) {
        // Fuel bounds what is written.
        assert!(text.len() < 40_000_000);
    }
});
