//! Cores that processes other than the worker and the harness kept busy during the decode window.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "decode_others_cores",
    title: "others while decoding",
    unit: "",
    help: "Cores that processes other than the worker and the harness kept busy during the decode window, from /proc/stat in ticks of 10 ms.",
    derived: "`others_cpu_ns` over `span_ns` in the `surroundings` of the `decode` sample (`disturbance.rs`).",
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
    Cell::measured(row, 1.0, |round| &round.decode_around.others_cores)
}
