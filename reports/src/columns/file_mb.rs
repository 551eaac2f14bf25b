//! File pages at end, in MB.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "file_mb",
    title: "file pages at end",
    unit: "MB",
    help: "File pages of the worker (RssFile) after its last window, in 10^6 bytes: not a peak, and shared with the page cache.",
    derived: "`file_bytes` of the `memory` line over 10^6 (`round.rs`).",
    section: Section::Memory,
    kind: Kind::Measured {
        decimals: 1,
        spread_shown: false,
    },
    better: Better::Neither,
    rank: Some(23),
    cell,
};

fn cell(row: &Row) -> Cell {
    Cell::measured(row, 1e6, |round| &round.file_bytes)
}
