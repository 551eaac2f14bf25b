//! Bytes of all weights in memory.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "weights_mb",
    title: "weights",
    unit: "MB",
    help: "All weights in memory (linear layers, embedding, head, norms) in 10^6 bytes, as the engine tells it.",
    derived: "`weights_bytes` of the newest `loaded` line over 10^6.",
    section: Section::Memory,
    kind: Kind::Fact { decimals: 1 },
    better: Better::Lower,
    rank: Some(13),
    cell,
};

fn cell(row: &Row) -> Cell {
    match &row.summary.loaded {
        Some(_) if row.summary.job.layer.is_some() => {
            Cell::Missing("a layer is packed as often as no cache holds".to_owned())
        }
        Some(loaded) if loaded.weights_bytes > 0 => Cell::fact(loaded.weights_bytes as f64 / 1e6),
        Some(_) => Cell::Missing("the engine does not tell it".to_owned()),
        None => Cell::Missing("not loaded, or no figures".to_owned()),
    }
}
