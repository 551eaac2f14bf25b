//! Prefill speed-up, in x.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "prefill_speedup",
    title: "prefill speed-up",
    unit: "x",
    help: "Prefill tokens/s over those of the fastest half-precision row of the same model, threads and sizes: the Hodges-Lehmann estimate from the ratios of equal rounds.",
    derived: "prefill_tokens_per_second of a round over that of the baseline in the same round, for every round that both have (`compare.rs`, `paired.rs`).",
    section: Section::Speed,
    kind: Kind::Ratio { decimals: 2 },
    better: Better::Higher,
    rank: Some(9),
    cell,
};

fn cell(row: &Row) -> Cell {
    Cell::against(&row.comparison.prefill_speedup, 1.0)
}
