//! The program that computed.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "engine",
    title: "engine",
    unit: "",
    help: "Program that computed, with its version as it told it.",
    derived: "`name` and `version` of the `engine` of the job.",
    section: Section::Job,
    kind: Kind::Text,
    better: Better::Neither,
    rank: None,
    cell,
};

fn cell(row: &Row) -> Cell {
    let engine = &row.summary.job.engine;
    Cell::text(format!("{} {}", engine.name, engine.version))
}
