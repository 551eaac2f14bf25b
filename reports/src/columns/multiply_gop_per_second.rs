//! Operations a second of a layer, in GOP/s.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "multiply_gop_per_second",
    title: "rate",
    unit: "GOP/s",
    help: "Two operations for each weight and token over the time of one multiplication, in 10^9 per second (layers alone).",
    derived: "2 times `linear_weights` of the `loaded` line times `tokens` of the `multiply` sample over multiply_us (`round.rs`).",
    section: Section::Speed,
    kind: Kind::Measured {
        decimals: 1,
        spread_shown: false,
    },
    better: Better::Higher,
    rank: Some(44),
    cell,
};

fn cell(row: &Row) -> Cell {
    Cell::of_window(
        row,
        |round| &round.multiply_gop_per_second,
        |round| &round.multiply_around,
    )
}
