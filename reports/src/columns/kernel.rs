//! The kernel variant.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "kernel",
    title: "kernel",
    unit: "",
    help: "Kernel variant of the linear layers, named by family and instruction set; everything else is the same code in every row.",
    derived: "`kernel` of the job.",
    section: Section::Job,
    kind: Kind::Text,
    better: Better::Neither,
    rank: Some(0),
    cell,
};

fn cell(row: &Row) -> Cell {
    let job = &row.summary.job;
    Cell::Text {
        text: job.kernel.clone(),
        mark: job.model.ternarized.then_some("ternarized"),
    }
}
