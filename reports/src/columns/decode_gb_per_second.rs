//! Decode reads, in GB/s.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "decode_gb_per_second",
    title: "decode reads",
    unit: "GB/s",
    help: "Weights, and keys and values of the mean position attended, that each token has to read, times decode tokens/s, in 10^9 bytes per second: computed from sizes, not counted.",
    derived: "decode_tokens_per_second of a round times the bytes of a token: `weights_bytes_per_token`, `rescored_bytes` over the steps, and for each sequence `kv_bytes_per_position` times `prefill_tokens` and half of what it decodes, all that over `batch` (`round.rs`).",
    section: Section::Memory,
    kind: Kind::Measured {
        decimals: 2,
        spread_shown: true,
    },
    better: Better::Neither,
    rank: Some(18),
    cell,
};

fn cell(row: &Row) -> Cell {
    Cell::measured(row, 1.0, |round| &round.decode_gb_per_second)
}
