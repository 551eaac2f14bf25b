//! First token, in ms.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "first_token_ms",
    title: "first token",
    unit: "ms",
    help: "Median time from the start of prefill to the choice of the first token.",
    derived: "median of `durations_ns` of the sample of phase `prefill` (`round.rs`).",
    section: Section::Speed,
    kind: Kind::Measured {
        decimals: 1,
        spread_shown: true,
    },
    better: Better::Lower,
    rank: Some(11),
    cell,
};

fn cell(row: &Row) -> Cell {
    Cell::of_window(
        row,
        |round| &round.first_token_ms,
        |round| &round.prefill_around,
    )
}
