//! The model.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "model",
    title: "model",
    unit: "",
    help: "Name of the model shape, or of the model file.",
    derived: "`name` of the `model` of the job.",
    section: Section::Job,
    kind: Kind::Text,
    better: Better::Neither,
    rank: None,
    cell,
};

fn cell(row: &Row) -> Cell {
    Cell::text(&row.summary.job.model.name)
}
