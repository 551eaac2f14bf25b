//! Bytes of the LM head that a decoded token reads.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "head_mb_per_token",
    title: "head read",
    unit: "MB/token",
    help: "Weights of the LM head that decode read for each token, in 10^6 bytes: counted by the engine, the mean of the window where it depends on the token.",
    derived: "`head_bytes_per_token` of the `loaded` line and `rescored_bytes` of the `decode` sample over its steps, together over `batch`, over 10^6 (`round.rs`).",
    section: Section::Memory,
    kind: Kind::Measured {
        decimals: 1,
        spread_shown: false,
    },
    better: Better::Lower,
    rank: Some(25),
    cell,
};

fn cell(row: &Row) -> Cell {
    Cell::measured(row, 1e6, |round| &round.head_bytes_per_token)
}
