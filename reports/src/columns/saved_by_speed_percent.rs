//! Saving that speed alone would give, in %.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "saved_by_speed_percent",
    title: "saved by speed",
    unit: "%",
    help: "What of the baseline's decode energy per token would be saved at equal power, by being faster alone: the rest of the saving is lower power.",
    derived: "1 less decode_tokens_per_second of the baseline over that of this row in the same round, in percent; only beside a saving of energy (`compare.rs`, `paired.rs`).",
    section: Section::Energy,
    kind: Kind::Ratio { decimals: 1 },
    better: Better::Neither,
    rank: Some(33),
    cell,
};

fn cell(row: &Row) -> Cell {
    Cell::against(&row.comparison.saved_by_speed_percent, 0.0)
}
