//! Of compute peak of a layer, in %.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "multiply_compute_share_percent",
    title: "of compute peak",
    unit: "%",
    help: "The operations a second over the multiply-add peak measured in the same process with the instructions of the kernel (layers alone).",
    derived: "multiply_gop_per_second of a round over its compute_peak_gop_per_second, times 100 (`round.rs`).",
    section: Section::Speed,
    kind: Kind::Measured {
        decimals: 1,
        spread_shown: false,
    },
    better: Better::Neither,
    rank: Some(45),
    cell,
};

fn cell(row: &Row) -> Cell {
    Cell::of_window(
        row,
        |round| &round.multiply_compute_share_percent,
        |round| &round.multiply_around,
    )
}
