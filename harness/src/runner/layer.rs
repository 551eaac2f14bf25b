//! Answers of single layers: products in the place of logits.

use super::{Runner, Stop};
use crate::plan::PlannedJob;
use crate::worker::{Process, Request};
use bitbench_engine::kernels::{self, Agreement};
use bitbench_reports::record::Precision;
use std::time::Duration;

/// How far a product of a half-precision variant may be from that of the portable one, over the root of the mean square of all
/// products: sums in single precision in another order are some 1e-6 apart, and a wrong weight moves its row by 1e-2.
const HALF_TOLERANCE: f64 = 1e-4;
/// The same where a variant rounds activations to bfloat16: each product is off by at most 2^-9 of itself, which is 1.1e-3 of a
/// sum in the mean, and five times that in the worst of 10^6.
const BF16_TOLERANCE: f64 = 1e-2;

impl Runner<'_> {
    /// Has a worker multiply once and gives its products, `[tokens][rows]`.
    pub(super) fn products(
        &mut self,
        worker: &mut Process,
        planned: &PlannedJob,
        limit: Duration,
    ) -> Result<Vec<f32>, Stop> {
        let rows = planned.job.layer.map_or(0, |layer| layer.rows);
        let expected = usize::try_from(rows).unwrap_or(0) * planned.job.batch as usize;
        let path = self.scratch.join("check.f32");
        let request = Request::CheckProducts {
            products: path.clone(),
        };
        self.checked(worker, &request, &path, expected, limit)
    }
}

/// Whether the products of a variant are those of the portable one.
///
/// # Errors
/// What differs, and by how much.
pub(super) fn agree(
    planned: &PlannedJob,
    products: &[f32],
    reference: &[f32],
) -> Result<(), String> {
    let equal = |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits();
    let distance = largest_distance(products, reference);
    let portable = planned.reference_kernel;
    let tolerance = match kernels::find(&planned.job.kernel).map(|k| k.agreement) {
        Some(Agreement::RoundedToBf16(_)) => BF16_TOLERANCE,
        _ => HALF_TOLERANCE,
    };
    match planned.job.precision {
        Precision::Ternary if products.iter().zip(reference).all(equal) => Ok(()),
        Precision::Ternary => Err(format!(
            "wrong answer: the products differ from those of {portable} (by {distance:.1e} of their size), and ternary kernels \
             must agree bit for bit"
        )),
        Precision::Half if distance <= tolerance => Ok(()),
        Precision::Half => Err(format!(
            "wrong answer: a product differs from that of {portable} by {distance:.1e} of their size, more than {tolerance:.0e}"
        )),
    }
}

/// The largest difference, over the root of the mean square of `b`; not a number where anything is.
fn largest_distance(a: &[f32], b: &[f32]) -> f64 {
    let mut largest: f64 = 0.0;
    let mut squares = 0.0;
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (f64::from(*a), f64::from(*b));
        if a.is_nan() || b.is_nan() {
            return f64::NAN;
        }
        largest = largest.max((a - b).abs());
        squares += b * b;
    }
    if largest == 0.0 {
        return 0.0;
    }
    #[expect(clippy::cast_precision_loss, reason = "a count of products")]
    let size = (squares / b.len() as f64).sqrt();
    largest / size
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wrong_product_among_many_is_seen() {
        let reference = vec![1.0f32; 10_000];
        let mut products = reference.clone();
        assert_eq!(largest_distance(&products, &reference), 0.0);
        products[77] = 1.01;
        let distance = largest_distance(&products, &reference);
        assert!((distance - 0.01).abs() < 1e-6, "{distance}");
        products[78] = f32::NAN;
        assert!(largest_distance(&products, &reference).is_nan());
        assert!(largest_distance(&[1.0], &[0.0]).is_infinite());
    }
}
