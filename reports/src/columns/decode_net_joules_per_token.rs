//! Net decode energy, in J/token.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "decode_net_joules_per_token",
    title: "net decode energy",
    unit: "J/token",
    help: "Decode energy less the power of the idle worker in the same round times the length of the window, over the tokens decoded in it.",
    derived: "as decode_joules_per_token, less the mean power of the `idle` windows of the same process times `window_ns` (`round.rs`).",
    section: Section::Energy,
    kind: Kind::Measured {
        decimals: 4,
        spread_shown: true,
    },
    better: Better::Lower,
    rank: Some(19),
    cell,
};

fn cell(row: &Row) -> Cell {
    Cell::energy(row, |round| &round.decode_energy.net_joules_per_token)
}
