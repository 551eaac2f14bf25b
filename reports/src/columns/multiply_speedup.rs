//! Speed-up of a layer, in x.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "multiply_speedup",
    title: "speed-up",
    unit: "x",
    help: "Multiplications a second over those of the fastest half-precision row of the same layer, tokens and threads: the Hodges-Lehmann estimate from the ratios of equal rounds.",
    derived: "multiply_gop_per_second of a round over that of the baseline in the same round, for every round that both have (`compare.rs`, `paired.rs`).",
    section: Section::Speed,
    kind: Kind::Ratio { decimals: 2 },
    better: Better::Higher,
    rank: Some(41),
    cell,
};

fn cell(row: &Row) -> Cell {
    Cell::against(&row.comparison.multiply_speedup, 1.0)
}
