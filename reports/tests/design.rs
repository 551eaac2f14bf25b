//! The order of a run: what must hold of any, and what one seed gives.

use bitbench_reports::design::{ROUNDS_OF_BLOCK, Schedule, Turn, row};
use bitbench_reports::record::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

fn job(model: &str, kernel: &str, threads: u32) -> Job {
    let json = serde_json::json!({
        "id": format!("{model}/{kernel}/{threads}"),
        "model": {"name": model, "weights": {"synthetic": {"seed": 1}}, "ternarized": false},
        "engine": {"name": "bitbench", "version": "0"},
        "kernel": kernel,
        "precision": "ternary",
        "threads": threads,
        "prefill_tokens": 8,
        "decode_tokens": 4,
        "rounds": 5,
    });
    serde_json::from_value(json).unwrap()
}

/// Rounds that hold a whole square and its mirror image.
fn square(contenders: usize) -> u32 {
    let contenders = u32::try_from(contenders).unwrap();
    contenders * (1 + contenders % 2)
}

#[test]
fn two_contenders_run_abba_or_baab() {
    let mut seen = BTreeSet::new();
    for seed in 0..40 {
        let rows = [row(seed, 0, 0, 2), row(seed, 0, 1, 2)].concat();
        assert!(rows == [0, 1, 1, 0] || rows == [1, 0, 0, 1], "{rows:?}");
        seen.insert(rows);
    }
    assert_eq!(seen.len(), 2, "the first one is drawn");
    let starts =
        |seed: u64| -> Vec<usize> { (0..40).map(|block| row(seed, 0, 2 * block, 2)[0]).collect() };
    assert_ne!(starts(1), starts(2));
    assert!(starts(1).contains(&0) && starts(1).contains(&1));
}

#[test]
fn a_square_is_balanced_for_positions_and_for_neighbours() {
    for contenders in 1..=9 {
        for (seed, start) in [
            (1, 0),
            (2, 0),
            (3, square(contenders)),
            (4, 5 * square(contenders)),
        ] {
            let mut positions: BTreeMap<(usize, usize), u32> = BTreeMap::new();
            let mut neighbours: BTreeMap<(usize, usize), u32> = BTreeMap::new();
            for round in start..start + square(contenders) {
                let row = row(seed, 3, round, contenders);
                for (position, contender) in row.iter().enumerate() {
                    *positions.entry((*contender, position)).or_default() += 1;
                }
                for pair in row.windows(2) {
                    *neighbours.entry((pair[0], pair[1])).or_default() += 1;
                }
            }
            let each = square(contenders) / u32::try_from(contenders).unwrap();
            assert_eq!(positions.len(), contenders * contenders, "{contenders}");
            assert!(
                positions.values().all(|count| *count == each),
                "{contenders}: {positions:?}"
            );
            assert_eq!(
                neighbours.len(),
                contenders * (contenders - 1),
                "{contenders}"
            );
            assert!(
                neighbours.values().all(|count| *count == each),
                "{contenders}: {neighbours:?}"
            );
        }
    }
}

#[test]
fn groups_run_block_by_block_and_nothing_is_forgotten() {
    let mut jobs = Vec::new();
    // As a plan has them: a kernel with all its numbers of threads, then the next.
    for model in ["small", "large"] {
        for kernel in ["a", "b", "c"] {
            jobs.extend([1, 2].map(|threads| job(model, kernel, threads)));
        }
    }
    let schedule = Schedule::of(7, &jobs);
    let mut orders = BTreeSet::new();
    for block in 0..6 {
        let turns = schedule.block(block);
        let all: BTreeSet<(usize, u32)> = turns.iter().map(|t| (t.job, t.round)).collect();
        assert_eq!((turns.len(), all.len()), (24, 24));
        let rounds = [block * ROUNDS_OF_BLOCK, block * ROUNDS_OF_BLOCK + 1];
        for of_group in turns.chunks(6) {
            let group = |turn: &Turn| (&jobs[turn.job].model.name, jobs[turn.job].threads);
            assert!(
                of_group
                    .iter()
                    .all(|turn| group(turn) == group(&of_group[0]))
            );
            for (turn, mirrored) in of_group.iter().zip(of_group.iter().rev()) {
                assert_eq!(
                    turn.job, mirrored.job,
                    "the second round is the first one backwards"
                );
            }
            assert!(of_group[..3].iter().all(|turn| turn.round == rounds[0]));
            assert!(of_group[3..].iter().all(|turn| turn.round == rounds[1]));
        }
        orders.insert(
            turns
                .chunks(6)
                .map(|g| g[0].job % 2 + g[0].job / 6 * 2)
                .collect::<Vec<_>>(),
        );
        assert_eq!(turns, Schedule::of(7, &jobs).block(block));
        assert_ne!(turns, Schedule::of(8, &jobs).block(block));
    }
    assert!(
        orders.len() > 1,
        "groups take turns in other orders: {orders:?}"
    );
    assert!(Schedule::of(7, &[]).block(0).is_empty());
}

/// A record keeps the seed and not the order: this must never change.
#[test]
fn the_order_of_a_seed_is_this() {
    let rows = |contenders: usize| -> Vec<Vec<usize>> {
        (0..6).map(|round| row(42, 1, round, contenders)).collect()
    };
    insta::assert_debug_snapshot!(
        "rows",
        [2, 4, 5].map(|contenders| format!("{:?}", rows(contenders)))
    );
}

proptest! {
    #[test]
    fn a_row_has_every_contender_once(seed: u64, group: u32, round: u32, contenders in 0..40_usize) {
        let mut row = row(seed, group, round, contenders);
        row.sort_unstable();
        prop_assert_eq!(row, (0..contenders).collect::<Vec<_>>());
    }
}
