//! Power during prefill, in W.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "prefill_watts",
    title: "prefill power",
    unit: "W",
    help: "Mean power of the counted domains over the prefill window.",
    derived: "`energy_uj` of the `domains` of the `prefill` sample that are `counted`, added, over `window_ns` (`round.rs`).",
    section: Section::Energy,
    kind: Kind::Measured {
        decimals: 1,
        spread_shown: true,
    },
    better: Better::Neither,
    rank: Some(32),
    cell,
};

fn cell(row: &Row) -> Cell {
    Cell::energy(row, |round| &round.prefill_energy.watts)
}
