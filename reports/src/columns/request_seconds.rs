//! Whole request, in s.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "request_seconds",
    title: "whole request",
    unit: "s",
    help: "Median time of a whole request: the prompts from empty caches and all tokens after them, in a window of its own.",
    derived: "median of `durations_ns` of the sample of phase `request` (`round.rs`).",
    section: Section::Speed,
    kind: Kind::Measured {
        decimals: 3,
        spread_shown: true,
    },
    better: Better::Lower,
    rank: Some(30),
    cell,
};

fn cell(row: &Row) -> Cell {
    Cell::measured(row, 1.0, |round| &round.request_seconds)
}
