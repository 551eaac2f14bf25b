//! Energy of a whole request, in J.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "request_joules",
    title: "request energy",
    unit: "J",
    help: "Gross energy of the window of whole requests over their number: prompt and answer of all sequences together.",
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
