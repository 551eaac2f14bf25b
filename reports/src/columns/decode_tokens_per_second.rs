//! Decode, in tok/s.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "decode_tokens_per_second",
    title: "decode",
    unit: "tok/s",
    help: "Tokens generated one after the other over the median time a repetition takes; the prompt is processed outside this window.",
    derived: "`tokens` of the sample of phase `decode` over the median of its `durations_ns`; of several windows of a round the last one of the newest process (`round.rs`).",
    section: Section::Speed,
    kind: Kind::Measured {
        decimals: 2,
        spread_shown: true,
    },
    better: Better::Higher,
    rank: Some(3),
    cell,
};

fn cell(row: &Row) -> Cell {
    Cell::of_window(
        row,
        |round| &round.decode_tokens_per_second,
        |round| &round.decode_around,
    )
}
