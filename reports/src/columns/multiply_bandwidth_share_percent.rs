//! Of bandwidth of a layer, in %.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "multiply_bandwidth_share_percent",
    title: "of bandwidth",
    unit: "%",
    help: "The packed bytes read a second over the read bandwidth measured on the same copies in the same process (layers alone).",
    derived: "multiply_gb_per_second of a round over its read_bandwidth_gb_per_second, times 100 (`round.rs`).",
    section: Section::Memory,
    kind: Kind::Measured {
        decimals: 1,
        spread_shown: false,
    },
    better: Better::Neither,
    rank: Some(43),
    cell,
};

fn cell(row: &Row) -> Cell {
    Cell::of_window(
        row,
        |round| &round.multiply_bandwidth_share_percent,
        |round| &round.multiply_around,
    )
}
