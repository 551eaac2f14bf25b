//! Reports for a terminal, spreadsheets, GitHub and a browser, all from the one list of columns.

pub mod csv;
pub mod html;
pub mod markdown;
pub mod terminal;

mod bars;
mod page;
mod table;
mod text;
mod write;

pub(crate) use text::{plain, wrap};
pub use write::{WriteError, write_all, write_joined};

/// Why a page could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RenderError {
    /// The template of the page failed.
    #[error("the page template failed: {0}")]
    Template(#[from] minijinja::Error),
    /// A chart could not be drawn.
    #[error("a chart could not be drawn: {0}")]
    Chart(String),
    /// The table could not be encoded.
    #[error("the table could not be encoded: {0}")]
    Csv(#[from] ::csv::Error),
}
