//! Prefill energy, in J/token.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "prefill_joules_per_token",
    title: "prefill energy",
    unit: "J/token",
    help: "Energy of the prefill window by the counters, idle power included, over the prompt tokens processed in it.",
    derived: "`energy_uj` of the `domains` of the `prefill` sample that are `counted`, added, over `tokens` times the number of `durations_ns`; missing where one of them has a `fault` (`round.rs`).",
    section: Section::Energy,
    kind: Kind::Measured {
        decimals: 4,
        spread_shown: true,
    },
    better: Better::Lower,
    rank: Some(20),
    cell,
};

fn cell(row: &Row) -> Cell {
    Cell::energy(row, |round| &round.prefill_energy.joules_per_token)
}
