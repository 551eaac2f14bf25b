//! KV cache of a token, in kB.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "kv_kb_per_token",
    title: "KV cache",
    unit: "kB/token",
    help: "Keys and values of one position of one sequence in 10^3 bytes, as the engine tells it.",
    derived: "`kv_bytes_per_position` of the newest `loaded` line over 10^3.",
    section: Section::Memory,
    kind: Kind::Fact { decimals: 1 },
    better: Better::Lower,
    rank: None,
    cell,
};

fn cell(row: &Row) -> Cell {
    match &row.summary.loaded {
        Some(loaded) if loaded.kv_bytes_per_position > 0 => {
            Cell::fact(loaded.kv_bytes_per_position as f64 / 1e3)
        }
        Some(_) => Cell::Missing("the engine does not tell it".to_owned()),
        None => Cell::Missing("not loaded, or no figures".to_owned()),
    }
}
