//! Stored bits for each weight of the linear layers.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "bits_per_weight",
    title: "bits/weight",
    unit: "",
    help: "Bits in memory for each weight of the linear layers, padding and scales included; embedding and head are not among them.",
    derived: "`linear_bytes` times 8 over `linear_weights` of the newest `loaded` line.",
    section: Section::Memory,
    kind: Kind::Fact { decimals: 2 },
    better: Better::Lower,
    rank: Some(12),
    cell,
};

fn cell(row: &Row) -> Cell {
    match &row.summary.loaded {
        Some(loaded) if loaded.linear_weights > 0 => {
            Cell::fact(loaded.linear_bytes as f64 * 8.0 / loaded.linear_weights as f64)
        }
        Some(_) => Cell::Missing("the engine does not tell it".to_owned()),
        None => Cell::Missing("not loaded, or no figures".to_owned()),
    }
}
