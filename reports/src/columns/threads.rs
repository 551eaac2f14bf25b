//! Worker threads.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "threads",
    title: "threads",
    unit: "",
    help: "Worker threads, the same for prefill and decode.",
    derived: "`threads` of the job.",
    section: Section::Job,
    kind: Kind::Fact { decimals: 0 },
    better: Better::Neither,
    rank: Some(1),
    cell,
};

fn cell(row: &Row) -> Cell {
    Cell::fact(f64::from(row.summary.job.threads))
}
