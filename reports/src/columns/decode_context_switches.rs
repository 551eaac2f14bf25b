//! Times that a thread of the worker left its CPU during the decode window.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "decode_context_switches",
    title: "context switches",
    unit: "",
    help: "Times that a thread of the worker left its CPU during the decode window, of its own accord or not.",
    derived: "`voluntary_switches` and `involuntary_switches` in the `surroundings` of the `decode` sample, added (`disturbance.rs`).",
    section: Section::Speed,
    kind: Kind::Measured {
        decimals: 0,
        spread_shown: false,
    },
    better: Better::Lower,
    rank: None,
    cell,
};

fn cell(row: &Row) -> Cell {
    Cell::measured(row, 1.0, |round| &round.decode_around.switches)
}
