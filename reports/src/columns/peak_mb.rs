//! Peak memory, in MB.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "peak_mb",
    title: "peak memory",
    unit: "MB",
    help: "Largest resident set of the worker process (VmHWM) in 10^6 bytes, weights, cache and program included.",
    derived: "`peak_bytes` of the `memory` line over 10^6 (`round.rs`).",
    section: Section::Memory,
    kind: Kind::Measured {
        decimals: 1,
        spread_shown: false,
    },
    better: Better::Lower,
    rank: Some(8),
    cell,
};

fn cell(row: &Row) -> Cell {
    Cell::measured(row, 1e6, |round| &round.peak_bytes)
}
