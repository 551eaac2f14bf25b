//! Change points of made-up series: those that are there are found where they are, and those that are not are seldom seen.

use bitbench_reports::stats::{ChangePoint, change_points};
use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::Rng;

/// Values around levels, each held for so many values, with noise of a share (triangular, so that it has no outliers) and one
/// value in fifteen slow by a tenth where `strays`.
fn series(levels: &[(usize, f64)], noise: f64, strays: bool, seed: u64) -> Vec<f64> {
    let mut random = Pcg64Mcg::new(u128::from(seed) << 1 | 1);
    let mut share = || (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
    let mut values = Vec::new();
    for (length, level) in levels {
        for _ in 0..*length {
            let jitter = (share() + share() - 1.0) * noise;
            let stray = if strays && share() < 1.0 / 15.0 {
                0.9
            } else {
                1.0
            };
            values.push(level * (1.0 + jitter) * stray);
        }
    }
    values
}

fn places(changes: &[ChangePoint]) -> Vec<usize> {
    changes.iter().map(|change| change.at).collect()
}

#[test]
fn a_clear_change_is_found_where_it_is() {
    for (seed, ratio) in [(1, 1.1), (2, 0.9), (3, 1.05), (4, 0.8)] {
        let values = series(&[(20, 50.0), (15, 50.0 * ratio)], 0.01, false, seed);
        let changes = change_points(&values, 0.02, seed);
        assert_eq!(places(&changes), [20], "{ratio}");
        let change = changes[0];
        assert!(
            (change.after / change.before / ratio - 1.0).abs() < 0.01,
            "{change:?}"
        );
        assert!(change.p <= 0.002, "{change:?}");
    }
}

#[test]
fn several_changes_are_found_and_stray_values_are_none() {
    type Case = (&'static [(usize, f64)], &'static [usize]);
    let cases: [Case; 3] = [
        (&[(20, 10.0), (20, 11.0), (20, 12.5)], &[20, 40]),
        (&[(15, 10.0), (15, 12.0), (15, 10.0)], &[15, 30]),
        (
            &[(12, 9.0), (12, 10.0), (12, 8.0), (12, 11.0)],
            &[12, 24, 36],
        ),
    ];
    let mut more = 0;
    for (levels, expected) in cases {
        for seed in 0..10 {
            let found = places(&change_points(
                &series(levels, 0.02, true, seed),
                0.03,
                seed,
            ));
            // A stray value beside a change can move it by one or two.
            let near = |place: &usize| found.iter().any(|at| at.abs_diff(*place) <= 2);
            assert!(
                expected.iter().all(near),
                "seed {seed}: {found:?}, not {expected:?}"
            );
            assert!(found.len() <= expected.len() + 2, "seed {seed}: {found:?}");
            more += usize::from(found.len() > expected.len());
        }
    }
    // Each of three or four levels has its own chance of one in twenty.
    println!("{more} of 30 series have a change too many");
    assert!(more <= 10, "{more}");
}

/// Twenty series out of four hundred are allowed, and three standard errors of that.
#[test]
fn without_a_change_one_series_in_twenty_has_one() {
    const SERIES: u64 = 400;
    for (length, strays) in [(12, false), (30, true), (60, true)] {
        let any = |seed: &u64| {
            let values = series(&[(length, 20.0)], 0.02, strays, 1000 + seed);
            !change_points(&values, 0.0, *seed).is_empty()
        };
        let count = (0..SERIES).filter(any).count() as f64;
        let expected = 0.05 * SERIES as f64;
        let error = (expected * 0.95).sqrt();
        println!("{length} values, strays {strays}: {count} of {SERIES}");
        assert!(count <= expected + 3.0 * error, "{length}: {count}");
        // The test is not idle either: of long series it is nearly exact.
        assert!(
            length < 30 || count >= expected - 3.0 * error,
            "{length}: {count}"
        );
    }
}

#[test]
fn what_is_certain_and_small_is_no_change() {
    let values = series(&[(30, 10.0), (30, 10.1)], 0.001, false, 5);
    assert_eq!(places(&change_points(&values, 0.0, 5)), [30]);
    assert_eq!(change_points(&values, 0.02, 5), []);
    // Between two large changes, a small one does not hide them.
    let values = series(
        &[(20, 10.0), (20, 12.0), (20, 12.1), (20, 9.0)],
        0.001,
        false,
        6,
    );
    assert_eq!(places(&change_points(&values, 0.02, 6)), [20, 60]);
}

#[test]
fn few_equal_or_impossible_values_have_none() {
    for values in [
        vec![],
        vec![1.0],
        vec![1.0, 1.0, 1.0, 2.0, 2.0, 2.0],
        vec![1.0, 1.1, 1.2, 9.0, 9.1, 9.2, 9.3],
        vec![3.0; 50],
        vec![0.0; 50],
        vec![f64::NAN; 50],
        [-1.0, 1.0].repeat(20),
    ] {
        assert_eq!(change_points(&values, 0.02, 1), [], "{values:?}");
    }
    // Of eight, only a split in the middle is rare enough.
    let values = [1.0, 1.01, 1.02, 1.03, 2.0, 2.01, 2.02, 2.03];
    assert_eq!(places(&change_points(&values, 0.02, 1)), [4]);
    // The same values and seed give the same changes.
    assert_eq!(
        change_points(&values, 0.02, 1),
        change_points(&values, 0.02, 1)
    );
}
