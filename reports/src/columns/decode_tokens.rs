//! Length of what is generated.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "decode_tokens",
    title: "generated",
    unit: "tokens",
    help: "Tokens generated (tg).",
    derived: "`decode_tokens` of the job.",
    section: Section::Job,
    kind: Kind::Fact { decimals: 0 },
    better: Better::Neither,
    rank: None,
    cell,
};

fn cell(row: &Row) -> Cell {
    match row.summary.job.layer {
        None => Cell::fact(f64::from(row.summary.job.decode_tokens)),
        Some(_) => Cell::Missing("a layer alone has no generated tokens".to_owned()),
    }
}
