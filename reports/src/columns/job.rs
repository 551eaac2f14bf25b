//! Id of the job.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "job",
    title: "job",
    unit: "",
    help: "Id of the job: model, kernel and threads as the plan names them.",
    derived: "`id` of the job.",
    section: Section::Job,
    kind: Kind::Text,
    better: Better::Neither,
    rank: None,
    cell,
};

fn cell(row: &Row) -> Cell {
    Cell::text(&row.summary.job.id)
}
