//! Energy of a whole request, in J.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "request_joules",
    title: "request energy",
    unit: "J",
    help: "Gross energy of the window of whole requests over their number: prompt and answer of all sequences together.",
    derived: "`energy_uj` of the `domains` of the `request` sample that are `counted`, added, over the number of `durations_ns` (`round.rs`).",
    section: Section::Energy,
    kind: Kind::Measured {
        decimals: 3,
        spread_shown: true,
    },
    better: Better::Lower,
    rank: Some(31),
    cell,
};

fn cell(row: &Row) -> Cell {
    Cell::energy(row, |round| &round.request_joules)
}
