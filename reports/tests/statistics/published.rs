//! Estimates, intervals and tests against published tables and worked examples.

use bitbench_reports::stats::*;
use proptest::prelude::*;

/// Hamilton depression scale factor IV of nine patients, second visit less first: example 3.1 of Hollander and Wolfe,
/// "Nonparametric Statistical Methods".
const DEPRESSION: [f64; 9] = [
    -0.952, 0.147, -1.022, -0.430, -0.620, -0.590, -0.490, 0.080, -0.010,
];

fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
}

#[test]
fn the_depression_scores_give_what_hollander_and_wolfe_print() {
    close(hodges_lehmann(&DEPRESSION).unwrap(), -0.46);
    // Their interval of 96.1 %, which is the least that nine values give above 95 %.
    let interval = signed_rank_interval(&DEPRESSION, 0.95).unwrap();
    close(interval.low, -0.786);
    close(interval.high, -0.010);
    close(interval.level, 1.0 - 2.0 * 10.0 / 512.0);
    // P(T+ <= 5) = 0.0195, as R's wilcox.test says for the same data.
    let below: f64 = signed_rank_distribution(9)[..=5].iter().sum();
    close(below, 0.019_531_25);
}

/// Critical values of the signed-rank test, two-sided (McCornack, JASA 60, 1965): the largest rank sum whose probability in
/// both tails together is at most alpha; -1 where not even 0 is.
const CRITICAL: [(usize, [i64; 4]); 16] = [
    // alpha: 0.10, 0.05, 0.02, 0.01
    (5, [0, -1, -1, -1]),
    (6, [2, 0, -1, -1]),
    (7, [3, 2, 0, -1]),
    (8, [5, 3, 1, 0]),
    (9, [8, 5, 3, 1]),
    (10, [10, 8, 5, 3]),
    (11, [13, 10, 7, 5]),
    (12, [17, 13, 9, 7]),
    (13, [21, 17, 12, 9]),
    (14, [25, 21, 15, 12]),
    (15, [30, 25, 19, 15]),
    (16, [35, 29, 23, 19]),
    (17, [41, 34, 27, 23]),
    (18, [47, 40, 32, 27]),
    (19, [53, 46, 37, 32]),
    (20, [60, 52, 43, 37]),
];

#[test]
fn critical_values_are_those_of_the_tables() {
    for (n, expected) in CRITICAL {
        let distribution = signed_rank_distribution(n);
        close(distribution.iter().sum(), 1.0);
        for (alpha, expected) in [0.10, 0.05, 0.02, 0.01].into_iter().zip(expected) {
            let mut below = 0.0;
            let unlikely = distribution.iter().take_while(|p| {
                below += **p;
                2.0 * below <= alpha + 1e-12
            });
            let largest = i64::try_from(unlikely.count()).unwrap() - 1;
            assert_eq!(largest, expected, "{n} values at {alpha}");
            // The ends of the interval are that many Walsh averages from the ends of their row.
            let values: Vec<f64> = (0..n)
                .map(|i| 3_f64.powi(i32::try_from(i).unwrap()))
                .collect();
            let mut averages: Vec<f64> = (0..n)
                .flat_map(|i| (i..n).map(move |j| (i, j)))
                .map(|(i, j)| (values[i] + values[j]) / 2.0)
                .collect();
            averages.sort_by(f64::total_cmp);
            match (
                signed_rank_interval(&values, 1.0 - alpha),
                usize::try_from(expected),
            ) {
                (Ok(interval), Ok(expected)) => {
                    close(interval.low, averages[expected]);
                    close(interval.high, averages[averages.len() - 1 - expected]);
                    assert!(interval.level >= 1.0 - alpha - 1e-12);
                }
                (
                    Err(NoInterval::TooFew {
                        n: few,
                        needed,
                        reachable,
                    }),
                    Err(_),
                ) => {
                    assert!(few == n && needed > n && reachable < 1.0 - alpha);
                }
                (found, _) => panic!("{n} values at {alpha}: {found:?}"),
            }
        }
    }
}

/// Permeability of the human chorioamnion at term and at 12 to 26 weeks: example 4.1 of Hollander and Wolfe.
const TERM: [f64; 10] = [0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46];
const EARLY: [f64; 5] = [1.15, 0.88, 0.90, 0.74, 1.21];

#[test]
fn two_samples_give_what_hollander_and_wolfe_print() {
    close(shift(&TERM, &EARLY).unwrap(), 0.305);
    // The probability of 35 or more of 50 pairs, 0.127, in both tails.
    let p = rank_sum(&TERM, &EARLY).unwrap();
    assert!((p - 0.2544).abs() < 5e-5, "{p}");
    let interval = shift_interval(&TERM, &EARLY, 0.95).unwrap();
    close(interval.low, -0.15);
    close(interval.high, 0.76);
    assert!((interval.level - 0.96).abs() < 0.005, "{}", interval.level);
    // The same the other way round.
    close(shift(&EARLY, &TERM).unwrap(), -0.305);
    close(rank_sum(&EARLY, &TERM).unwrap(), p);
}

/// Critical values of the statistic of Mann and Whitney at 5 %, two-sided (Mann and Whitney, 1947, and the tables after them).
const CRITICAL_U: [(usize, usize, usize); 11] = [
    (4, 4, 0),
    (5, 5, 2),
    (6, 6, 5),
    (7, 7, 8),
    (8, 8, 13),
    (9, 9, 17),
    (10, 10, 23),
    (12, 12, 37),
    (15, 15, 64),
    (20, 20, 127),
    (5, 8, 6),
];

#[test]
fn critical_values_of_two_samples_are_those_of_the_tables() {
    for (first, second, critical) in CRITICAL_U {
        let distribution = rank_sum_distribution(first, second);
        assert_eq!(distribution.len(), first * second + 1);
        close(distribution.iter().sum(), 1.0);
        let below: f64 = distribution[..=critical].iter().sum();
        assert!(2.0 * below <= 0.05, "{first} and {second}");
        assert!(
            2.0 * (below + distribution[critical + 1]) > 0.05,
            "{first} and {second}"
        );
    }
}

#[test]
fn equal_values_are_never_a_difference() {
    let same = [2.0; 12];
    close(rank_sum(&same, &same).unwrap(), 1.0);
    let interval = shift_interval(&same, &same, 0.95).unwrap();
    assert_eq!((interval.low, interval.high), (0.0, 0.0));
    // Three and three are never far enough apart, four and four just.
    let (low, high) = ([1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]);
    assert!(shift_interval(&low[..3], &high[..3], 0.95).is_none());
    assert!(shift_interval(&low, &high, 0.95).is_some());
    close(rank_sum(&low, &high).unwrap(), 2.0 / 70.0);
    for wrong in [&[][..], &[f64::NAN], &[1.0; MOST_RANKED + 1]] {
        assert_eq!(shift(wrong, &low), None);
        assert_eq!(rank_sum(&low, wrong), None);
    }
}

#[test]
fn too_few_values_give_no_interval_and_say_how_many_are_needed() {
    assert_eq!(
        [0.80, 0.90, 0.95, 0.99, 0.999].map(fewest_for),
        [4, 5, 6, 8, 11]
    );
    for n in 0..6 {
        let values = vec![1.0; n];
        let error = signed_rank_interval(&values, 0.95).unwrap_err();
        let NoInterval::TooFew { needed, .. } = error else {
            panic!("{error:?}");
        };
        assert_eq!(needed, 6);
        assert!(error.to_string().contains("6 are needed"), "{error}");
    }
    let five = signed_rank_interval(&[1.0, 2.0, 3.0, 4.0, 5.0], 0.95).unwrap_err();
    assert!(five.to_string().contains("93.8 %"), "{five}");
    let six = signed_rank_interval(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 0.95).unwrap();
    assert_eq!((six.low, six.high, six.level), (1.0, 6.0, 0.96875));
    let broken = signed_rank_interval(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, f64::NAN], 0.95);
    assert_eq!(broken, Err(NoInterval::NotFinite));
}

#[test]
fn the_normal_distribution_takes_over_where_it_is_as_good() {
    let values = |n: u32| -> Vec<f64> { (0..n).map(|i| f64::from(i).sqrt()).collect() };
    let exact = signed_rank_interval(&values(200), 0.95).unwrap();
    let normal = signed_rank_interval(&values(201), 0.95).unwrap();
    assert!(
        (exact.level - normal.level).abs() < 1e-3,
        "{exact:?} {normal:?}"
    );
    let width = |interval: Interval| interval.high - interval.low;
    assert!((width(exact) / width(normal) - 1.0).abs() < 0.02);
}

#[test]
fn flipped_signs_are_counted_by_hand() {
    // Sums of the eight sign combinations of 1, 2 and 4: 7 5 3 1 -1 -3 -5 -7.
    let p = |values: &[f64], tail| sign_flip(values, tail, 0).unwrap();
    assert_eq!(
        p(&[1.0, 2.0, 4.0], Tail::Both),
        SignFlip {
            p: 2.0 / 8.0,
            exhaustive: true
        }
    );
    close(p(&[-1.0, 2.0, 4.0], Tail::Both).p, 4.0 / 8.0);
    close(p(&[-1.0, 2.0, 4.0], Tail::Upper).p, 2.0 / 8.0);
    close(p(&[-1.0, 2.0, 4.0], Tail::Lower).p, 7.0 / 8.0);
    // Ties: of 0.1, 0.2 and 0.3 two combinations add up to 0, each in another order of rounding.
    close(p(&[0.1, 0.2, -0.3], Tail::Both).p, 1.0);
    close(p(&[0.1, 0.2, 0.3], Tail::Upper).p, 1.0 / 8.0);
    close(p(&[0.0; 4], Tail::Both).p, 1.0);
    assert_eq!(sign_flip(&[], Tail::Both, 0), None);
    assert_eq!(sign_flip(&[1.0, f64::NAN], Tail::Both, 0), None);
}

/// Differences in height of cross- and self-fertilised plants in eighths of an inch: Darwin's Zea mays, the data of Fisher's
/// "The Design of Experiments" (1935), section 21.
const DARWIN: [f64; 15] = [
    49.0, -67.0, 8.0, 16.0, 6.0, 23.0, 28.0, 41.0, 14.0, 29.0, 56.0, 24.0, 75.0, 60.0, -48.0,
];

#[test]
fn darwins_plants_give_what_fisher_counted() {
    // "In 863 cases out of 32 768 the total is as great or greater", and as many on the other side.
    close(
        sign_flip(&DARWIN, Tail::Upper, 0).unwrap().p,
        863.0 / 32_768.0,
    );
    close(
        sign_flip(&DARWIN, Tail::Both, 0).unwrap().p,
        1726.0 / 32_768.0,
    );
}

#[test]
fn beyond_the_bound_signs_are_drawn_and_that_is_said() {
    let values: Vec<f64> = (0..21_u32).map(|i| f64::from(i % 5) - 1.2).collect();
    let found = sign_flip(&values, Tail::Both, 7).unwrap();
    assert!(!found.exhaustive);
    assert_eq!(sign_flip(&values, Tail::Both, 7), Some(found));
    // The exact share, by counting the sums of the smaller differences.
    let twenty = sign_flip(&values[..20], Tail::Both, 7).unwrap();
    assert!(twenty.exhaustive);
    assert!((found.p - twenty.p).abs() < 0.05, "{found:?} {twenty:?}");
    // It is never 0: the values themselves are one of the combinations.
    let sure = sign_flip(&[1.0; 40], Tail::Both, 7).unwrap();
    close(sure.p, 1.0 / f64::from(DRAWN));
}

#[test]
fn holm_adjusts_as_the_worked_examples() {
    let same = |found: Vec<f64>, expected: &[f64]| {
        assert_eq!(found.len(), expected.len());
        found.iter().zip(expected).for_each(|(f, e)| close(*f, *e));
    };
    // The worked example of the Wikipedia article on Holm's method: at 0.05 the first and the last are rejected.
    same(holm(&[0.01, 0.04, 0.03, 0.005]), &[0.03, 0.06, 0.06, 0.02]);
    // p.adjust(c(0.01, 0.02, 0.03, 0.04, 0.05), "holm") of R.
    same(
        holm(&[0.01, 0.02, 0.03, 0.04, 0.05]),
        &[0.05, 0.08, 0.09, 0.09, 0.09],
    );
    same(holm(&[0.9, 0.8]), &[1.0, 1.0]);
    same(holm(&[]), &[]);
}

#[test]
fn tukeys_fences_mark_and_keep() {
    // Quartiles 3 and 7: fences at -3 and 13, outer ones at -9 and 19.
    let values = [1.0, 3.0, 5.0, 7.0, 13.0];
    assert_eq!(tukey(&values), Some(vec![Mark::Inside; 5]));
    let marks = tukey(&[3.0, 3.0, 5.0, 7.0, 13.5]).unwrap();
    assert_eq!(marks[4], Mark::Outside);
    let marks = tukey(&[3.0, 3.0, 5.0, 7.0, 19.5]).unwrap();
    assert_eq!(marks[..4], [Mark::Inside; 4]);
    assert_eq!(marks[4], Mark::FarOutside);
    assert_eq!(tukey(&[1.0, 1.0, 99.0]), Some(vec![Mark::Inside; 3]));
    assert_eq!(tukey(&[]), None);
    assert_eq!(tukey(&[f64::INFINITY]), None);
}

#[test]
fn the_bootstrap_is_seeded_and_covers_the_ratio() {
    let own = [4.1, 4.0, 4.2, 4.1, 3.9, 4.0, 4.3, 4.1];
    let other = [2.0, 2.1, 2.0, 1.9, 2.0, 2.1, 2.0, 2.0];
    let found = ratio_of_medians(&own, &other, 1, 0.95, 3).unwrap();
    close(found.ratio, 4.1 / 2.0);
    assert!(
        found.interval.low < 2.05 && 2.05 < found.interval.high,
        "{found:?}"
    );
    assert!(found.interval.low > 3.9 / 2.1 - 1e-12 && found.interval.high < 4.3 / 1.9);
    assert_eq!(ratio_of_medians(&own, &other, 1, 0.95, 3), Some(found));
    assert_ne!(ratio_of_medians(&own, &other, 1, 0.95, 4), Some(found));
    // One block of everything, wherever it starts, is everything.
    let whole = ratio_of_medians(&own, &other, 8, 0.95, 3).unwrap();
    assert_eq!(
        (whole.interval.low, whole.interval.high),
        (whole.ratio, whole.ratio)
    );
    // Blocks longer than the row are cut, and keep pairs together.
    let pairs = ratio_of_medians(&[2.0, 20.0], &[1.0, 10.0], 1, 0.95, 3).unwrap();
    assert_eq!((pairs.interval.low, pairs.interval.high), (2.0, 2.0));
    for broken in [&own[..7], &[0.0; 8], &[f64::NAN; 8]] {
        assert_eq!(ratio_of_medians(broken, &other, 1, 0.95, 3), None);
    }
    assert_eq!(ratio_of_medians(&[], &[], 1, 0.95, 3), None);
}

proptest! {
    #[test]
    fn the_estimate_moves_with_the_values_and_lies_within_the_interval(
        values in prop::collection::vec(-1e3..1e3f64, 6..30), shift in -1e3..1e3f64,
    ) {
        let moved: Vec<f64> = values.iter().map(|v| v + shift).collect();
        let (before, after) = (hodges_lehmann(&values).unwrap(), hodges_lehmann(&moved).unwrap());
        prop_assert!((after - before - shift).abs() < 1e-9);
        let mirrored: Vec<f64> = values.iter().map(|v| -v).collect();
        prop_assert!((hodges_lehmann(&mirrored).unwrap() + before).abs() < 1e-9);
        let interval = signed_rank_interval(&values, 0.95).unwrap();
        prop_assert!(interval.low <= before && before <= interval.high);
        prop_assert!(min(&values).unwrap() <= interval.low && interval.high <= max(&values).unwrap());
        prop_assert!(interval.level >= 0.95);
    }

    #[test]
    fn holm_keeps_the_order_and_never_makes_a_p_value_smaller(p in prop::collection::vec(0.0..=1.0f64, 1..40)) {
        let adjusted = holm(&p);
        for (i, a) in adjusted.iter().enumerate() {
            prop_assert!(*a >= p[i] && *a <= 1.0);
            for (j, b) in adjusted.iter().enumerate() {
                prop_assert!(p[i] > p[j] || a <= b);
            }
        }
        let smallest = min(&p).unwrap();
        let bonferroni = (smallest * p.len() as f64).min(1.0);
        prop_assert!((min(&adjusted).unwrap() - bonferroni).abs() < 1e-12);
    }

    #[test]
    fn both_tails_are_the_two_together(values in prop::collection::vec(-10.0..10.0f64, 1..10)) {
        let p = |tail| sign_flip(&values, tail, 0).unwrap().p;
        let smaller = p(Tail::Upper).min(p(Tail::Lower));
        prop_assert!((p(Tail::Both) - (2.0 * smaller).min(1.0)).abs() < 1e-9);
    }
}
