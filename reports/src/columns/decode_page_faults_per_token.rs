//! Page faults of the worker during the decode window over its tokens.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "decode_page_faults_per_token",
    title: "page faults",
    unit: "/token",
    help: "Page faults of the worker during the decode window over its tokens, those that found the page in memory among them.",
    derived: "`major_faults` and `minor_faults` in the `surroundings` of the `decode` sample, added, over `tokens` times the number of `durations_ns` (`disturbance.rs`).",
    section: Section::Speed,
    kind: Kind::Measured {
        decimals: 3,
        spread_shown: false,
    },
    better: Better::Lower,
    rank: None,
    cell,
};

fn cell(row: &Row) -> Cell {
    Cell::measured(row, 1.0, |round| &round.decode_around.faults_per_token)
}
