//! Error of the net decode energy, in %.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "decode_net_error_percent",
    title: "net error",
    unit: "%",
    help: "Standard error of net decode energy: half the difference of the idle powers before and after, for as long as the window, in percent of the net energy.",
    derived: "half the difference of the powers of the `idle` windows of the process times `window_ns` of the `decode` sample, over its net energy, in percent (`round.rs`).",
    section: Section::Energy,
    kind: Kind::Measured {
        decimals: 1,
        spread_shown: false,
    },
    better: Better::Lower,
    rank: None,
    cell,
};

fn cell(row: &Row) -> Cell {
    Cell::energy(row, |round| &round.decode_energy.net_error_percent)
}
