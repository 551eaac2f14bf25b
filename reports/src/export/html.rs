//! The page.

use super::Format;
use crate::render::html;

pub(super) static FORMAT: Format = Format {
    name: "html",
    file: "report.html",
    about: "one self-contained page",
    always: true,
    make: |_, report| Ok(html::render(report)?.into_bytes()),
};
