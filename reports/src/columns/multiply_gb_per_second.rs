//! Weights of a layer, in GB/s.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "multiply_gb_per_second",
    title: "weights",
    unit: "GB/s",
    help: "Packed bytes of the layer over the time of one multiplication, in 10^9 bytes per second (layers alone).",
    derived: "`linear_bytes` of the `loaded` line over multiply_us of the round (`round.rs`).",
    section: Section::Memory,
    kind: Kind::Measured {
        decimals: 2,
        spread_shown: false,
    },
    better: Better::Neither,
    rank: Some(42),
    cell,
};

fn cell(row: &Row) -> Cell {
    Cell::of_window(
        row,
        |round| &round.multiply_gb_per_second,
        |round| &round.multiply_around,
    )
}
