//! `report.html`: see the module `page`.

use super::{RenderError, page};
use crate::report::Report;
use std::slice;

/// Renders the page of one run.
///
/// # Errors
/// See [`RenderError`].
pub fn render(report: &Report) -> Result<String, RenderError> {
    page::render(slice::from_ref(report))
}

/// Renders one page of several runs, a section for each, with what they have in common side by side before.
///
/// # Errors
/// See [`RenderError`].
pub fn render_joined(reports: &[Report]) -> Result<String, RenderError> {
    page::render(reports)
}
