//! Steady memory, in MB.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "steady_mb",
    title: "steady memory",
    unit: "MB",
    help: "Resident set of the worker process after its last window, anonymous and file pages together, in 10^6 bytes.",
    derived: "`anonymous_bytes` and `file_bytes` of the `memory` line, added, over 10^6 (`round.rs`).",
    section: Section::Memory,
    kind: Kind::Measured {
        decimals: 1,
        spread_shown: false,
    },
    better: Better::Lower,
    rank: None,
    cell,
};

fn cell(row: &Row) -> Cell {
    Cell::measured(row, 1e6, |round| &round.steady_bytes)
}
