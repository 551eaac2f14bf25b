//! The files that a report can be written to: one format a file, one list for the writer, the command line and the tests.
//!
//! To add a format, add a file with a `FORMAT` and a line to [`FORMATS`]; `bitbench report --export` and the tests follow.

use crate::record::Records;
use crate::render::RenderError;
use crate::report::Report;

mod csv;
mod html;
mod json;
mod junit;
mod latex;
mod markdown;
mod samples;
mod sqlite;

pub(crate) use junit::escaped as xml_escaped;

pub use json::{Document, FORMAT_NUMBER};

/// One format of a file.
#[derive(Debug)]
pub struct Format {
    /// Name on the command line, that of its file here.
    pub name: &'static str,
    /// Name of the file that it writes into a results folder.
    pub file: &'static str,
    /// What it holds and who reads it.
    pub about: &'static str,
    /// Whether a run writes it without being asked.
    pub always: bool,
    /// Makes the file. Names, paths and reasons come from outside: they must do no harm where the file is opened.
    pub make: fn(&Records, &Report) -> Result<Vec<u8>, RenderError>,
}

impl Format {
    /// The format of this name.
    pub fn find(name: &str) -> Option<&'static Format> {
        FORMATS.iter().copied().find(|format| format.name == name)
    }
}

/// Every format, those that a run always writes first.
pub static FORMATS: &[&Format] = &[
    &csv::FORMAT,
    &markdown::FORMAT,
    &html::FORMAT,
    &samples::FORMAT,
    &json::FORMAT,
    &latex::FORMAT,
    &junit::FORMAT,
    &sqlite::FORMAT,
];
