//! How the job ended.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "status",
    title: "status",
    unit: "",
    help: "How the job ended: measured, failed, skipped, or not run.",
    section: Section::Job,
    kind: Kind::Text,
    better: Better::Neither,
    rank: None,
    cell,
};

fn cell(row: &Row) -> Cell {
    Cell::text(row.summary.status.word())
}
