//! Decode energy, in J/token.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "decode_joules_per_token",
    title: "decode energy",
    unit: "J/token",
    help: "Energy of the decode window by the counters, idle power included, over the tokens decoded in it.",
    derived: "`energy_uj` of the `domains` of the `decode` sample that are `counted`, added, over `tokens` times the number of `durations_ns`; missing where one of them has a `fault` (`round.rs`).",
    section: Section::Energy,
    kind: Kind::Measured {
        decimals: 4,
        spread_shown: true,
    },
    better: Better::Lower,
    rank: Some(7),
    cell,
};

fn cell(row: &Row) -> Cell {
    Cell::energy(row, |round| &round.decode_energy.joules_per_token)
}
