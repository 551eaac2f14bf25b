//! Length of the prompt.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "prefill_tokens",
    title: "prompt",
    unit: "tokens",
    help: "Tokens of the prompt (pp).",
    derived: "`prefill_tokens` of the job.",
    section: Section::Job,
    kind: Kind::Fact { decimals: 0 },
    better: Better::Neither,
    rank: None,
    cell,
};

fn cell(row: &Row) -> Cell {
    match row.summary.job.layer {
        None => Cell::fact(f64::from(row.summary.job.prefill_tokens)),
        Some(_) => Cell::Missing("a layer alone has no prompt".to_owned()),
    }
}
