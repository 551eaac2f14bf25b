//! Prefill of the compute peak, in %.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "prefill_compute_share_percent",
    title: "prefill of compute peak",
    unit: "%",
    help: "Multiply-adds of the linear layers in prefill over the compute peak of the same round: near 100, the multiply-add instruction is the limit; kernels that also look up tables can pass it.",
    derived: "prefill_gop_per_second of a round over its compute_peak_gop_per_second, times 100 (`round.rs`).",
    section: Section::Speed,
    kind: Kind::Measured {
        decimals: 1,
        spread_shown: false,
    },
    better: Better::Neither,
    rank: Some(16),
    cell,
};

fn cell(row: &Row) -> Cell {
    Cell::measured(row, 1.0, |round| &round.prefill_compute_share_percent)
}
