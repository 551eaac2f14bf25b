//! Operations of the linear layers in prefill, in GOP/s.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "prefill_gop_per_second",
    title: "prefill rate",
    unit: "GOP/s",
    help: "Multiply-adds of the linear layers (attention and head not counted) over the median time of a prefill, in 10^9 operations per second; a multiply-add is two.",
    derived: "2 times `linear_weights` of the `loaded` line times prefill_tokens_per_second of the round (`round.rs`).",
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
    Cell::measured(row, 1.0, |round| &round.prefill_gop_per_second)
}
