//! Saving that speed alone would give, in %.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "saved_by_speed_percent",
    title: "saved by speed",
    unit: "%",
    help: "What of the baseline's decode energy per token would be saved at equal power, by being faster alone: the rest of the saving is lower power.",
    section: Section::Energy,
    kind: Kind::Ratio { decimals: 1 },
    better: Better::Neither,
    rank: Some(33),
    cell,
};

fn cell(row: &Row) -> Cell {
    Cell::against(&row.comparison.saved_by_speed_percent, 0.0)
}
