//! Prefill, in tok/s.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "prefill_tokens_per_second",
    title: "prefill",
    unit: "tok/s",
    help: "Tokens of the prompt over the median time to process it as one batch, up to and with the choice of the first token.",
    derived: "`tokens` of the sample of phase `prefill` over the median of its `durations_ns`; of several windows of a round the last one of the newest process (`round.rs`).",
    section: Section::Speed,
    kind: Kind::Measured {
        decimals: 2,
        spread_shown: true,
    },
    better: Better::Higher,
    rank: Some(6),
    cell,
};

fn cell(row: &Row) -> Cell {
    Cell::of_window(
        row,
        |round| &round.prefill_tokens_per_second,
        |round| &round.prefill_around,
    )
}
