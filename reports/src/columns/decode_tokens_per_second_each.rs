//! Decode of one sequence of a batch, in tok/s.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "decode_tokens_per_second_each",
    title: "each sequence",
    unit: "tok/s",
    help: "Decode tokens/s over the number of sequences that are decoded together: what one of them sees. Missing where there is one.",
    derived: "decode_tokens_per_second over `batch` of the job.",
    section: Section::Speed,
    kind: Kind::Measured {
        decimals: 2,
        spread_shown: false,
    },
    better: Better::Higher,
    rank: Some(5),
    cell,
};

fn cell(row: &Row) -> Cell {
    let batch = row.summary.job.batch;
    if batch == 1 {
        return Cell::Missing("there is one sequence".to_owned());
    }
    Cell::measured(row, f64::from(batch), |round| {
        &round.decode_tokens_per_second
    })
}
