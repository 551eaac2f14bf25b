//! Decode of the compute peak, in %.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "decode_compute_share_percent",
    title: "decode of compute peak",
    unit: "%",
    help: "Multiply-adds of the linear layers in decode over the compute peak of the same round: what decode would need of the cores if unpacking the weights were free.",
    derived: "2 times `linear_weights` times decode_tokens_per_second of a round over its compute_peak_gop_per_second, in percent (`round.rs`).",
    section: Section::Speed,
    kind: Kind::Measured {
        decimals: 1,
        spread_shown: false,
    },
    better: Better::Neither,
    rank: None,
    cell,
};

fn cell(row: &Row) -> Cell {
    Cell::measured(row, 1.0, |round| &round.decode_compute_share_percent)
}
