//! Peak rate of multiply-adds, in GOP/s.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "compute_peak_gop_per_second",
    title: "compute peak",
    unit: "GOP/s",
    help: "Multiply-adds in registers by all threads in the same process, with the widest multiply-add instruction that the kernel asks for, in 10^9 operations per second; a multiply-add is two.",
    derived: "`operations` of the sample of phase `compute_peak` over the median of its `durations_ns` (`round.rs`).",
    section: Section::Speed,
    kind: Kind::Measured {
        decimals: 1,
        spread_shown: true,
    },
    better: Better::Neither,
    rank: None,
    cell,
};

fn cell(row: &Row) -> Cell {
    Cell::measured(row, 1.0, |round| &round.compute_peak_gop_per_second)
}
