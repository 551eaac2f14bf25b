//! Energy of a multiplication by a layer, in uJ.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "multiply_uj",
    title: "energy",
    unit: "uJ",
    help: "Energy of one multiplication by the layer by the counters, idle power included (layers alone).",
    derived: "`energy_uj` of the `domains` of the `multiply` sample that are `counted`, added, over its `matrices` times the number of `durations_ns`; missing where one of them has a `fault` (`round.rs`).",
    section: Section::Energy,
    kind: Kind::Measured {
        decimals: 1,
        spread_shown: true,
    },
    better: Better::Lower,
    rank: Some(46),
    cell,
};

fn cell(row: &Row) -> Cell {
    Cell::energy(row, |round| &round.multiply_uj)
}
