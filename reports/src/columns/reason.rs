//! Why there are no figures.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "reason",
    title: "reason",
    unit: "",
    help: "Why a job that is not measured has no figures.",
    derived: "`reason` of the `outcome` line that failed, else of the one that was skipped; or that rounds gave different `digest`s, or that the run ended before (`summary.rs`).",
    section: Section::Job,
    kind: Kind::Text,
    better: Better::Neither,
    rank: None,
    cell,
};

fn cell(row: &Row) -> Cell {
    match row.summary.status.reason() {
        Some(reason) => Cell::text(reason),
        None => Cell::Missing("measured".to_owned()),
    }
}
