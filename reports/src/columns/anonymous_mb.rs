//! Anonymous at end, in MB.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "anonymous_mb",
    title: "anonymous at end",
    unit: "MB",
    help: "Anonymous pages of the worker (RssAnon) after its last window, in 10^6 bytes: not a peak.",
    derived: "`anonymous_bytes` of the `memory` line over 10^6 (`round.rs`).",
    section: Section::Memory,
    kind: Kind::Measured {
        decimals: 1,
        spread_shown: false,
    },
    better: Better::Neither,
    rank: Some(22),
    cell,
};

fn cell(row: &Row) -> Cell {
    Cell::measured(row, 1e6, |round| &round.anonymous_bytes)
}
