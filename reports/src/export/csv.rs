//! One line for each row, every column.

use super::Format;
use crate::render::csv;

pub(super) static FORMAT: Format = Format {
    name: "csv",
    file: "results.csv",
    about: "one line for each row with every column, for spreadsheets and data frames",
    always: true,
    make: |_, report| Ok(csv::render(report).into_bytes()),
};
