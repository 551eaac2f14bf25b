//! Whether half-precision layers were made ternary.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "ternarized",
    title: "ternarized",
    unit: "",
    help: "Whether half-precision layers were made ternary by absmean: the speed is that of a ternary model, the quality is destroyed.",
    derived: "`ternarized` of the `model` of the job.",
    section: Section::Job,
    kind: Kind::Text,
    better: Better::Neither,
    rank: None,
    cell,
};

fn cell(row: &Row) -> Cell {
    Cell::text(if row.summary.job.model.ternarized {
        "yes"
    } else {
        "no"
    })
}
