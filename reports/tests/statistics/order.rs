//! Order statistics against published figures and against what must hold for any values.

use bitbench_reports::stats::{TREND_LENGTH, flat, mad, max, median, min, quantile};
use proptest::prelude::*;

/// Miles per gallon of 32 cars: the `mtcars` data of R (Henderson and Velleman, Biometrics 37, 1981).
const MTCARS_MPG: [f64; 32] = [
    21.0, 21.0, 22.8, 21.4, 18.7, 18.1, 14.3, 24.4, 22.8, 19.2, 17.8, 16.4, 17.3, 15.2, 10.4, 10.4,
    14.7, 32.4, 30.4, 33.9, 21.5, 15.5, 15.2, 13.3, 19.2, 27.3, 26.0, 30.4, 15.8, 19.7, 15.0, 21.4,
];

fn close(found: Option<f64>, expected: f64) {
    let found = found.expect("the slice has values");
    assert!(
        (found - expected).abs() <= 1e-5 * expected.abs().max(1.0),
        "{found} is not {expected}"
    );
}

#[test]
fn figures_of_the_cars_are_those_that_r_prints() {
    close(min(&MTCARS_MPG), 10.4);
    close(quantile(&MTCARS_MPG, 0.25), 15.425);
    close(median(&MTCARS_MPG), 19.2);
    close(quantile(&MTCARS_MPG, 0.75), 22.8);
    close(max(&MTCARS_MPG), 33.9);
    close(mad(&MTCARS_MPG), 5.41149);
}

#[test]
fn quantiles_are_of_type_seven() {
    let ten: Vec<f64> = (1..=10).map(f64::from).collect();
    for (probability, expected) in [
        (0.0, 1.0),
        (0.25, 3.25),
        (0.5, 5.5),
        (0.9, 9.1),
        (1.0, 10.0),
    ] {
        close(quantile(&ten, probability), expected);
    }
    // The worked example "linear interpolation, C = 1" of the Wikipedia article on percentiles.
    close(quantile(&[15.0, 20.0, 35.0, 40.0, 50.0], 0.40), 29.0);
}

#[test]
fn the_median_of_an_even_count_is_the_mean_of_the_middle_two() {
    close(median(&[4.0, 1.0]), 2.5);
    close(median(&[9.0, 1.0, 3.0, 2.0]), 2.5);
    close(median(&[7.0]), 7.0);
}

#[test]
fn the_deviation_of_the_textbook_example_is_one_median_step() {
    // The worked example of the Wikipedia article on the median absolute deviation: deviations 1 1 0 0 2 4 7, median 1.
    close(mad(&[1.0, 1.0, 2.0, 2.0, 4.0, 6.0, 9.0]), 1.4826);
    close(mad(&[3.0, 3.0, 3.0]), 0.0);
}

#[test]
fn nothing_comes_of_nothing() {
    for figure in [min, max, median, mad] {
        assert_eq!(figure(&[]), None);
        assert_eq!(figure(&[1.0, f64::NAN]), None);
        assert_eq!(figure(&[1.0, f64::INFINITY]), None);
    }
}

proptest! {
    #[test]
    fn the_median_lies_between_the_smallest_and_the_largest(values in prop::collection::vec(-1e300..1e300f64, 1..40)) {
        let middle = median(&values).unwrap();
        prop_assert!(min(&values).unwrap() <= middle);
        prop_assert!(middle <= max(&values).unwrap());
    }

    #[test]
    fn the_order_of_the_values_does_not_matter(
        (values, shuffled) in prop::collection::vec(-1e9..1e9f64, 1..40)
            .prop_flat_map(|values| (Just(values.clone()), Just(values).prop_shuffle()))
    ) {
        prop_assert_eq!(median(&values), median(&shuffled));
        prop_assert_eq!(mad(&values), mad(&shuffled));
        prop_assert_eq!(quantile(&values, 0.3), quantile(&shuffled, 0.3));
    }

    #[test]
    fn half_of_the_values_are_no_larger_than_the_median(values in prop::collection::vec(-1e9..1e9f64, 1..40)) {
        let middle = median(&values).unwrap();
        prop_assert!(values.iter().filter(|v| **v <= middle).count() * 2 >= values.len());
        prop_assert!(values.iter().filter(|v| **v >= middle).count() * 2 >= values.len());
    }

    #[test]
    fn quantiles_rise_with_the_probability(values in prop::collection::vec(-1e9..1e9f64, 1..40), a in 0.0..=1.0f64, b in 0.0..=1.0f64) {
        prop_assert!(quantile(&values, a.min(b)).unwrap() <= quantile(&values, a.max(b)).unwrap());
    }

    #[test]
    fn the_deviation_scales_and_does_not_shift(values in prop::collection::vec(-1e6..1e6f64, 1..40), shift in -1e6..1e6f64) {
        let moved: Vec<f64> = values.iter().map(|v| 2.0 * v + shift).collect();
        let (before, after) = (mad(&values).unwrap(), mad(&moved).unwrap());
        prop_assert!((after - 2.0 * before).abs() <= 1e-6, "{} against {}", after, 2.0 * before);
    }
}

#[test]
fn a_series_is_flat_when_it_is_not_ordered_or_hardly_moves() {
    for (values, expected) in [
        (&[1.0, 2.0, 3.0, 4.0, 5.0][..], false),
        (&[5.0, 4.0, 3.0, 2.0, 1.0], false),
        // One pair out of order: S is 8, two pairs: 6.
        (&[1.0, 2.0, 4.0, 3.0, 5.0], false),
        (&[2.0, 1.0, 4.0, 3.0, 5.0], true),
        // Ordered, by less than 1 % in all, and by more.
        (&[100.0, 100.2, 100.4, 100.6, 100.8], true),
        (&[100.0, 100.3, 100.6, 100.9, 101.2], false),
        (&[7.0; 5], true),
        // What was before the newest five does not count.
        (&[1.0, 2.0, 3.0, 4.0, 9.0, 8.0, 9.0, 8.5, 9.0], true),
        (&[7.0; 4], false),
        (&[], false),
        (&[1.0, 2.0, f64::NAN, 4.0, 5.0], false),
    ] {
        assert_eq!(flat(values), expected, "{values:?}");
    }
}

#[test]
fn of_all_orders_of_five_values_one_in_twelve_has_a_trend() {
    let mut ordered = 0;
    let mut all = 0;
    let mut order = [1.0, 2.0, 3.0, 4.0, 5.0];
    permute(&mut order, TREND_LENGTH, &mut |order| {
        all += 1;
        ordered += u32::from(!flat(order));
    });
    assert_eq!((ordered, all), (10, 120));
}

/// Heap's algorithm.
fn permute(values: &mut [f64; 5], of: usize, seen: &mut impl FnMut(&[f64])) {
    if of == 1 {
        return seen(values);
    }
    for at in 0..of {
        permute(values, of - 1, seen);
        values.swap(if of.is_multiple_of(2) { at } else { 0 }, of - 1);
    }
}
