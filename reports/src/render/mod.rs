//! Reports for a terminal, spreadsheets, GitHub and a browser, all from the one list of columns.

pub mod csv;
pub mod html;
pub mod markdown;
pub mod terminal;

mod bars;
mod layout;
mod page;
mod table;
mod text;
mod write;

pub(crate) use layout::{Layout, Setting, Threads, layouts};
pub(crate) use page::{history_page, history_svg};
pub(crate) use table::energy_lines;
pub(crate) use text::{decimals, plain};
pub use text::{number, wrap};
pub(crate) use write::replace;
pub use write::{WriteError, write, write_all, write_joined};

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
    /// The document could not be encoded.
    #[error("the document could not be encoded: {0}")]
    Json(#[from] serde_json::Error),
    /// The data base could not be made.
    #[error("the data base could not be made: {0}")]
    Sqlite(#[from] rusqlite::Error),
}
