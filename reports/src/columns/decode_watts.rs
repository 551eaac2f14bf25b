//! Decode power, in W.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "decode_watts",
    title: "decode power",
    unit: "W",
    help: "Energy of the decode window over its length, idle power included.",
    derived: "`energy_uj` of the `domains` of the `decode` sample that are `counted`, added, over `window_ns` (`round.rs`).",
    section: Section::Energy,
    kind: Kind::Measured {
        decimals: 2,
        spread_shown: true,
    },
    better: Better::Neither,
    rank: Some(14),
    cell,
};

fn cell(row: &Row) -> Cell {
    Cell::energy(row, |round| &round.decode_energy.watts)
}
