//! What the weights are.

use super::{Better, Cell, Column, Kind, Row, Section};
use crate::record::Precision;

pub(super) static COLUMN: Column = Column {
    id: "precision",
    title: "precision",
    unit: "",
    help: "What the weights of the linear layers are: ternary, or half precision, which is the baseline.",
    derived: "`precision` of the job.",
    section: Section::Job,
    kind: Kind::Text,
    better: Better::Neither,
    rank: None,
    cell,
};

fn cell(row: &Row) -> Cell {
    Cell::text(match row.summary.job.precision {
        Precision::Ternary => "ternary",
        Precision::Half => "half",
    })
}
