//! Of bandwidth, in %.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "bandwidth_share_percent",
    title: "of bandwidth",
    unit: "%",
    help: "Bytes per second that decode has to read over the read bandwidth of the same round: near 100, memory is the limit; above it, caches help.",
    derived: "decode_gb_per_second of a round over its read_bandwidth_gb_per_second, times 100 (`round.rs`).",
    section: Section::Memory,
    kind: Kind::Measured {
        decimals: 1,
        spread_shown: false,
    },
    better: Better::Neither,
    rank: Some(15),
    cell,
};

fn cell(row: &Row) -> Cell {
    Cell::measured(row, 1.0, |round| &round.bandwidth_share_percent)
}
