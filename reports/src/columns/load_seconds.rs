//! Load, in s.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "load_seconds",
    title: "load",
    unit: "s",
    help: "Time from the load command until the weights are packed in memory; the page cache may have been warm.",
    derived: "`duration_ns` of the `loaded` line (`round.rs`).",
    section: Section::Speed,
    kind: Kind::Measured {
        decimals: 2,
        spread_shown: true,
    },
    better: Better::Lower,
    rank: Some(24),
    cell,
};

fn cell(row: &Row) -> Cell {
    Cell::measured(row, 1.0, |round| &round.load_seconds)
}
