//! Energy saved, in %.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "energy_saved_percent",
    title: "energy saved",
    unit: "%",
    help: "Share of the baseline's decode energy per token that this row does not take: the Hodges-Lehmann estimate from equal rounds; below zero it takes more.",
    derived: "decode_joules_per_token of a round over that of the baseline in the same round, 1 less that, in percent; missing where energy was simulated or read from other counters (`compare.rs`, `paired.rs`).",
    section: Section::Energy,
    kind: Kind::Ratio { decimals: 1 },
    better: Better::Higher,
    rank: Some(10),
    cell,
};

fn cell(row: &Row) -> Cell {
    Cell::against(&row.comparison.energy_saved_percent, 0.0)
}
