//! Absmean quantisation (arXiv 2402.17764, equations 1-3): weights become {-1, 0, +1} times their mean magnitude.

use rayon::prelude::*;

/// Smallest scale, so that a tensor of zeros has one (the reference code of the paper clamps to it).
const SMALLEST_SCALE: f64 = 1e-5;

/// The mean magnitude of a matrix of `rows` x `cols`, at least 1e-5; none where it is not finite.
///
/// `each_span(row, f)` gives the weights of a row to `f`, in any number of pieces. The sum is taken in double precision, row
/// by row, so it does not depend on the number of threads.
pub(super) fn absmean(
    rows: usize,
    cols: usize,
    each_span: impl Fn(usize, &mut dyn FnMut(&[f32])) + Sync,
) -> Option<f32> {
    let sums: Vec<f64> = (0..rows)
        .into_par_iter()
        .map(|row| {
            let mut sum = 0.0;
            each_span(row, &mut |weights| {
                sum += weights.iter().map(|w| f64::from(w.abs())).sum::<f64>();
            });
            sum
        })
        .collect();
    let mean = sums.iter().sum::<f64>() / (rows as f64 * cols as f64);
    #[expect(clippy::cast_possible_truncation, reason = "nearest f32 is meant")]
    mean.is_finite().then(|| mean.max(SMALLEST_SCALE) as f32)
}

#[cfg(test)]
mod tests {
    use super::absmean;

    fn of(rows: &[&[f32]]) -> Option<f32> {
        absmean(rows.len(), rows[0].len(), |row, each| each(rows[row]))
    }

    #[test]
    fn is_the_mean_magnitude() {
        assert_eq!(of(&[&[1.0, -3.0], &[0.0, 4.0]]), Some(2.0));
    }

    #[test]
    fn of_zeros_is_the_smallest_scale() {
        assert_eq!(of(&[&[0.0; 4]]), Some(1e-5));
    }

    #[test]
    fn of_what_is_not_finite_is_none() {
        assert_eq!(of(&[&[1.0, f32::NAN]]), None);
        assert_eq!(of(&[&[f32::INFINITY]]), None);
    }
}
