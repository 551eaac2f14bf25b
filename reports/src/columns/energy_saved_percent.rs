//! Energy saved, in %.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "energy_saved_percent",
    title: "energy saved",
    unit: "%",
    help: "Share of the baseline's decode energy per token that this row does not take: the Hodges-Lehmann estimate from equal rounds; below zero it takes more.",
    section: Section::Energy,
    kind: Kind::Ratio { decimals: 1 },
    better: Better::Higher,
    rank: Some(10),
    cell,
};

fn cell(row: &Row) -> Cell {
    Cell::against(&row.comparison.energy_saved_percent, 0.0)
}
