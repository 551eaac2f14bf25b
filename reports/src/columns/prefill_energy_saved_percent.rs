//! Prefill energy saved, in %.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "prefill_energy_saved_percent",
    title: "prefill energy saved",
    unit: "%",
    help: "Share of the energy per prompt token of the baseline of prefill that this row does not take: the Hodges-Lehmann estimate from equal rounds; below zero it takes more.",
    derived: "prefill_joules_per_token of a round over that of the row that prefill_speedup is held against in the same round, 1 less that, in percent; missing where energy was simulated or read from other counters (`compare.rs`, `paired.rs`).",
    section: Section::Energy,
    kind: Kind::Ratio { decimals: 1 },
    better: Better::Higher,
    rank: Some(48),
    cell,
};

fn cell(row: &Row) -> Cell {
    Cell::against(&row.comparison.prefill_energy_saved_percent, 0.0)
}
