//! Markdown for GitHub.

use super::Format;
use crate::render::markdown;

pub(super) static FORMAT: Format = Format {
    name: "markdown",
    file: "results.md",
    about: "the tables and what must be known of them, for GitHub",
    always: true,
    make: |_, report| Ok(markdown::render(report).into_bytes()),
};
