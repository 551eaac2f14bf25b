//! How the job ended.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "status",
    title: "status",
    unit: "",
    help: "How the job ended: measured, failed, skipped, or not run.",
    derived: "the `outcome` lines and the samples of the job: failed where one failed or rounds gave different tokens, skipped, measured where there is a sample, else not run (`summary.rs`).",
    section: Section::Job,
    kind: Kind::Text,
    better: Better::Neither,
    rank: None,
    cell,
};

fn cell(row: &Row) -> Cell {
    Cell::text(row.summary.status.word())
}
