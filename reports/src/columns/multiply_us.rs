//! Time of a multiplication by a layer, in us.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "multiply_us",
    title: "time",
    unit: "us",
    help: "Median time of one multiplication by the layer, from single-precision activations to single-precision products (layers alone).",
    derived: "median of `durations_ns` of the sample of phase `multiply` over its `matrices` (`round.rs`).",
    section: Section::Speed,
    kind: Kind::Measured {
        decimals: 1,
        spread_shown: true,
    },
    better: Better::Lower,
    rank: Some(40),
    cell,
};

fn cell(row: &Row) -> Cell {
    Cell::of_window(
        row,
        |round| &round.multiply_us,
        |round| &round.multiply_around,
    )
}
