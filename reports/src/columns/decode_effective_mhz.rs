//! Cycles of the worker over its CPU time during the decode window.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "decode_effective_mhz",
    title: "clock while decoding",
    unit: "MHz",
    help: "Cycles of the worker over its CPU time during the decode window, from event counters of the CPU: two kernels at different clocks are a comparison of clocks.",
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
