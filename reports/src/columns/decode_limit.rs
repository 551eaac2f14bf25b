//! What binds decode: memory or compute.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "decode_limit",
    title: "decode bound by",
    unit: "",
    help: "Which takes longer for a token, reading its bytes at the read bandwidth or its multiply-adds at the compute peak, both of the same rounds; how near decode comes to that limit is its share.",
    derived: "memory where bandwidth_share_percent is at least decode_compute_share_percent, else compute: medians of both.",
    section: Section::Memory,
    kind: Kind::Text,
    better: Better::Neither,
    rank: Some(17),
    cell,
};

fn cell(row: &Row) -> Cell {
    let memory = row.summary.figure(|round| &round.bandwidth_share_percent);
    let compute = row
        .summary
        .figure(|round| &round.decode_compute_share_percent);
    match (memory, compute) {
        // Both are shares of the same time, so the larger share is the longer time.
        (Ok(memory), Ok(compute)) if memory.median >= compute.median => Cell::text("memory"),
        (Ok(_), Ok(_)) => Cell::text("compute"),
        (Err(reason), _) | (_, Err(reason)) => Cell::Missing(reason),
    }
}
