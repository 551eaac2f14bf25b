//! CPU time of the worker over the length of the decode window.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "decode_worker_cores",
    title: "cores while decoding",
    unit: "",
    help: "CPU time of the worker over the length of the decode window; below the number of threads where they waited.",
    derived: "`worker_cpu_ns` over `span_ns` in the `surroundings` of the `decode` sample (`disturbance.rs`).",
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
    Cell::measured(row, 1.0, |round| &round.decode_around.worker_cores)
}
