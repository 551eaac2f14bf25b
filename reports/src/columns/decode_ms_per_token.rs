//! Time of a decoded token, in ms.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "decode_ms_per_token",
    title: "token",
    unit: "ms",
    help: "Time from one token of a sequence to its next while decoding: the median duration of a repetition over its steps.",
    derived: "median of `durations_ns` of the sample of phase `decode` over its steps, which are `tokens` over `batch` (`round.rs`).",
    section: Section::Speed,
    kind: Kind::Measured {
        decimals: 2,
        spread_shown: true,
    },
    better: Better::Lower,
    rank: Some(26),
    cell,
};

fn cell(row: &Row) -> Cell {
    Cell::of_window(
        row,
        |round| &round.decode_ms_per_token,
        |round| &round.decode_around,
    )
}
