//! Cores that the hypervisor kept from this machine during the decode window (steal).

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "decode_stolen_cores",
    title: "steal while decoding",
    unit: "",
    help: "Cores that the hypervisor kept from this machine during the decode window (steal), from /proc/stat.",
    derived: "`steal_ns` over `span_ns` in the `surroundings` of the `decode` sample (`disturbance.rs`).",
    section: Section::Speed,
    kind: Kind::Measured {
        decimals: 2,
        spread_shown: false,
    },
    better: Better::Lower,
    rank: None,
    cell,
};

fn cell(row: &Row) -> Cell {
    Cell::measured(row, 1.0, |round| &round.decode_around.stolen_cores)
}
