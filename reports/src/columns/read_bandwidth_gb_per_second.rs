//! Read bandwidth, in GB/s.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "read_bandwidth_gb_per_second",
    title: "read bandwidth",
    unit: "GB/s",
    help: "Plain read of the packed weights by all threads in the same process, bytes over the median time, in 10^9 bytes per second.",
    derived: "`bytes` of the sample of phase `read_bandwidth` over the median of its `durations_ns` (`round.rs`).",
    section: Section::Memory,
    kind: Kind::Measured {
        decimals: 2,
        spread_shown: true,
    },
    better: Better::Neither,
    rank: Some(21),
    cell,
};

fn cell(row: &Row) -> Cell {
    Cell::measured(row, 1.0, |round| &round.read_bandwidth_gb_per_second)
}
