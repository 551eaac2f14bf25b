//! Sequences that go through the network together.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "batch",
    title: "batch",
    unit: "",
    help: "Sequences that are prefilled and decoded together, each with its own prompt; rates count the tokens of all of them. Of a layer alone, the tokens that it is multiplied by together.",
    derived: "`batch` of the job; 1 before format 3.",
    section: Section::Job,
    kind: Kind::Fact { decimals: 0 },
    better: Better::Neither,
    // The heading of its group says it.
    rank: None,
    cell,
};

fn cell(row: &Row) -> Cell {
    Cell::fact(f64::from(row.summary.job.batch))
}
