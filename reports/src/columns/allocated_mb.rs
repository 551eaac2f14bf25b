//! Allocator high water, in MB.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "allocated_mb",
    title: "allocated",
    unit: "MB",
    help: "The most that the allocator of the worker process had handed out at a time, in 10^6 bytes; most of it while it loaded.",
    derived: "`allocated_peak_bytes` of the `memory` line over 10^6 (`round.rs`).",
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
    Cell::measured(row, 1e6, |round| &round.allocated_bytes)
}
