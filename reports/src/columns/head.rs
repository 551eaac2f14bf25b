//! How the LM head is kept.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "head",
    title: "head",
    unit: "",
    help: "How the LM head is kept: f16 in half precision; screened gives the tokens of f16 and reads less; q8_0 and q6_k are approximations of it.",
    derived: "`head` of the job; f16 before format 2.",
    section: Section::Job,
    kind: Kind::Text,
    better: Better::Neither,
    rank: Some(2),
    cell,
};

fn cell(row: &Row) -> Cell {
    match row.summary.job.layer {
        None => Cell::text(&row.summary.job.head),
        Some(_) => Cell::Missing("a layer alone has no head".to_owned()),
    }
}
