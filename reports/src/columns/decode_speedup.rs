//! Decode speed-up, in x.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "decode_speedup",
    title: "decode speed-up",
    unit: "x",
    help: "Decode tokens/s over those of the fastest half-precision row of the same model, threads and sizes: the Hodges-Lehmann estimate from the ratios of equal rounds.",
    derived: "decode_tokens_per_second of a round over that of the baseline in the same round, for every round that both have (`compare.rs`, `paired.rs`).",
    section: Section::Speed,
    kind: Kind::Ratio { decimals: 2 },
    better: Better::Higher,
    rank: Some(4),
    cell,
};

fn cell(row: &Row) -> Cell {
    Cell::against(&row.comparison.decode_speedup, 1.0)
}
