//! Cycles of the worker over its CPU time during the decode window.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "decode_effective_mhz",
    title: "clock while decoding",
    unit: "MHz",
    help: "Cycles of the worker over its CPU time during the decode window, from event counters of the CPU: two kernels at different clocks are a comparison of clocks.",
    derived: "`counters` of the `decode` sample: the `count` of cycles over that of task_clock_ns; missing where cycles in the kernel are not counted and the worker spent more than 2 % of its CPU time there (`disturbance.rs`).",
    section: Section::Speed,
    kind: Kind::Measured {
        decimals: 0,
        spread_shown: false,
    },
    better: Better::Neither,
    rank: None,
    cell,
};

fn cell(row: &Row) -> Cell {
    Cell::measured(row, 1.0, |round| &round.decode_around.effective_mhz)
}
