//! Cold load, in s.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "cold_load_seconds",
    title: "cold load",
    unit: "s",
    help: "Time from the load command until the weights are packed where the model file had to come from its disk (--cold-start).",
    derived: "`duration_ns` of the `cold_start` line; missing where `storage_bytes` is below `file_bytes`, for then the start was not cold (`round.rs`).",
    section: Section::Speed,
    kind: Kind::Measured {
        decimals: 2,
        spread_shown: true,
    },
    better: Better::Lower,
    rank: Some(34),
    cell,
};

fn cell(row: &Row) -> Cell {
    Cell::measured(row, 1.0, |round| &round.cold_load_seconds)
}
