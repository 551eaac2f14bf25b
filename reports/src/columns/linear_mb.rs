//! Bytes of the packed linear layers.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "linear_mb",
    title: "linear layers",
    unit: "MB",
    help: "The packed linear layers in 10^6 bytes, padding and scales included: all weights but those of embedding, head and norms.",
    derived: "`linear_bytes` of the newest `loaded` line over 10^6.",
    section: Section::Memory,
    kind: Kind::Fact { decimals: 1 },
    better: Better::Lower,
    rank: Some(27),
    cell,
};

fn cell(row: &Row) -> Cell {
    match &row.summary.loaded {
        Some(loaded) if loaded.linear_bytes > 0 => Cell::fact(loaded.linear_bytes as f64 / 1e6),
        Some(_) => Cell::Missing("the engine does not tell it".to_owned()),
        None => Cell::Missing("not loaded, or no figures".to_owned()),
    }
}
