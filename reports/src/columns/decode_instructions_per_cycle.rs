//! Instructions over cycles of the worker during the decode window.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "decode_instructions_per_cycle",
    title: "instructions per cycle",
    unit: "",
    help: "Instructions over cycles of the worker during the decode window, from event counters of the CPU.",
    derived: "`counters` of the `decode` sample: the `count` of instructions over that of cycles, each scaled by `enabled_ns` over `running_ns` (`disturbance.rs`).",
    section: Section::Speed,
    kind: Kind::Measured {
        decimals: 2,
        spread_shown: false,
    },
    better: Better::Neither,
    rank: None,
    cell,
};

fn cell(row: &Row) -> Cell {
    Cell::measured(row, 1.0, |round| {
        &round.decode_around.instructions_per_cycle
    })
}
