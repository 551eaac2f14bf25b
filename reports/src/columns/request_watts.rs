//! Power during whole requests, in W.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "request_watts",
    title: "request power",
    unit: "W",
    help: "Mean power of the counted domains over the window of whole requests.",
    derived: "`energy_uj` of the `domains` of the `request` sample that are `counted`, added, over `window_ns` (`round.rs`).",
    section: Section::Energy,
    kind: Kind::Measured {
        decimals: 1,
        spread_shown: true,
    },
    better: Better::Neither,
    rank: None,
    cell,
};

fn cell(row: &Row) -> Cell {
    Cell::energy(row, |round| &round.request_energy.watts)
}
