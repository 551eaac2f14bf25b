//! Accesses of the worker that missed the last cache during the decode window over its tokens.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "decode_cache_misses_per_token",
    title: "cache misses",
    unit: "/token",
    help: "Accesses of the worker that missed the last cache during the decode window over its tokens, from event counters of the CPU.",
    derived: "`counters` of the `decode` sample: the `count` of cache_misses, scaled by `enabled_ns` over `running_ns`, over `tokens` times the number of `durations_ns` (`disturbance.rs`).",
    section: Section::Speed,
    kind: Kind::Measured {
        decimals: 0,
        spread_shown: false,
    },
    better: Better::Lower,
    rank: None,
    cell,
};

fn cell(row: &Row) -> Cell {
    Cell::measured(row, 1.0, |round| {
        &round.decode_around.cache_misses_per_token
    })
}
