//! Whether a worker computes the right thing: its logits against those of the portable variant.

use super::{Runner, Stop, What, expect_done, layer, tokens};
use crate::journal::JournalError;
use crate::plan::{CHECK_PROMPT, PlannedJob, check_continuation};
use crate::worker::{Process, Request};
use bitbench_engine::kernels::{self, Agreement};
use bitbench_reports::record::{ModelInfo, Precision};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Relative L2 distance from the reference that a half-precision variant may have: it adds in another order, in single
/// precision, through every layer. A wrong weight or a skipped layer is orders of magnitude above it.
const HALF_TOLERANCE: f64 = 1e-3;
/// The same where a variant rounds activations to bfloat16: each of some two hundred linear layers adds about 2^-10 of its
/// input, in no common direction, so about the root of two hundred times that in the end.
const BF16_TOLERANCE: f64 = 2e-2;

/// A worker that was killed while it computed a reference costs one row, not all rows of its model: the next one tries again.
const REFERENCE_TRIES: u32 = 2;

/// A model, the portable variant and the head that compute its reference, and the sequences that are run together.
pub(super) type ReferenceKey = (ModelInfo, &'static str, &'static str, u32);

impl Runner<'_> {
    /// Logits of the portable variant for the same weights and a head of the same logits, computed once for each model,
    /// precision, head and number of sequences.
    pub(super) fn reference(&mut self, planned: &PlannedJob, limit: Duration) -> Result<(), Stop> {
        let key = reference_key(planned);
        if self.references.contains_key(&key) {
            return Ok(());
        }
        let no_reference =
            |reason: &str| Stop::Failed(format!("no reference answer from {}: {reason}", key.1));
        if let Some((REFERENCE_TRIES.., reason)) = self.vain.get(&key) {
            return Err(no_reference(reason));
        }
        // All cores: the result does not depend on the number of threads.
        let threads = self
            .plan
            .jobs
            .iter()
            .filter(|j| j.skip.is_none())
            .map(|j| j.job.threads)
            .max()
            .unwrap_or(1);
        let what = What {
            kernel: planned.reference_kernel,
            head: planned.reference_head,
            portable_head: true,
            threads,
            cpus: &[],
        };
        let computed = self
            .start_worker(planned, &what, limit, |_| {})
            .and_then(|(mut worker, _)| self.answer(&mut worker, planned, limit));
        match computed {
            Ok(logits) => {
                self.references.insert(key, logits);
                Ok(())
            }
            Err(Stop::Failed(reason)) => {
                let stop = no_reference(&reason);
                let vain = self.vain.entry(key).or_default();
                *vain = (vain.0 + 1, reason);
                Err(stop)
            }
            Err(other) => Err(other),
        }
    }

    /// What a worker computes that is held against the portable variant: logits, or the products of a layer.
    pub(super) fn answer(
        &mut self,
        worker: &mut Process,
        planned: &PlannedJob,
        limit: Duration,
    ) -> Result<Vec<f32>, Stop> {
        match planned.job.layer {
            None => self.check(worker, planned, limit),
            Some(_) => self.products(worker, planned, limit),
        }
    }

    /// Has a worker run the check and reads the logits it wrote.
    fn check(
        &mut self,
        worker: &mut Process,
        planned: &PlannedJob,
        limit: Duration,
    ) -> Result<Vec<f32>, Stop> {
        let batch = planned.job.batch;
        let continuation = check_continuation(batch);
        let mut prompts = tokens(planned, CHECK_PROMPT + continuation, 2);
        let continuations = prompts
            .iter_mut()
            .map(|all| all.split_off(CHECK_PROMPT as usize))
            .collect();
        let path = self.scratch.join("check.f32");
        let expected = ((1 + continuation) * batch) as usize * planned.vocab as usize;
        let request = Request::Check {
            prompts,
            continuations,
            logits: path.clone(),
        };
        self.checked(worker, &request, &path, expected, limit)
    }

    /// Has a worker write so many numbers to a file, and reads them.
    pub(super) fn checked(
        &mut self,
        worker: &mut Process,
        request: &Request,
        path: &Path,
        expected: usize,
        limit: Duration,
    ) -> Result<Vec<f32>, Stop> {
        match worker.ask(request, limit) {
            Ok(reply) => expect_done(reply)?,
            Err(error) => {
                self.scratch_has_room(path, expected * 4)?;
                return Err(error.into());
            }
        }
        let numbers = read_numbers(path).map_err(Stop::Failed)?;
        if numbers.len() != expected {
            return Err(Stop::Failed(format!(
                "the check gave {} numbers, not {expected}",
                numbers.len()
            )));
        }
        Ok(numbers)
    }

    /// Tells a worker that failed from a disk that is full, which is no fault of the job and ends the run.
    fn scratch_has_room(&self, path: &Path, bytes: usize) -> Result<(), JournalError> {
        fs::write(path, vec![1; bytes]).map_err(|source| JournalError::Scratch {
            path: path.to_owned(),
            source,
        })
    }

    /// A wrong answer is a failure, not a figure.
    pub(super) fn compare(&self, planned: &PlannedJob, logits: &[f32]) -> Result<(), Stop> {
        let reference_kernel = planned.reference_kernel;
        let Some(reference) = self.references.get(&reference_key(planned)) else {
            return Err(Stop::Failed(format!(
                "no reference answer from {reference_kernel}"
            )));
        };
        if planned.job.layer.is_some() {
            return layer::agree(planned, logits, reference).map_err(Stop::Failed);
        }
        let distance = relative_distance(logits, reference);
        let tolerance = match kernels::find(&planned.job.kernel).map(|k| k.agreement) {
            Some(Agreement::RoundedToBf16(_)) => BF16_TOLERANCE,
            _ => HALF_TOLERANCE,
        };
        match planned.job.precision {
            Precision::Ternary
                if logits
                    .iter()
                    .zip(reference)
                    .all(|(a, b)| a.to_bits() == b.to_bits()) =>
            {
                Ok(())
            }
            Precision::Ternary => Err(Stop::Failed(format!(
                "wrong answer: the logits differ from those of {reference_kernel} (relative distance {distance:.1e}), and \
                 ternary kernels must agree bit for bit"
            ))),
            Precision::Half if distance <= tolerance => Ok(()),
            Precision::Half => Err(Stop::Failed(format!(
                "wrong answer: the logits differ from those of {reference_kernel} by a relative distance of \
                 {distance:.1e}, more than {tolerance:.0e}"
            ))),
        }
    }
}

fn reference_key(planned: &PlannedJob) -> ReferenceKey {
    (
        planned.job.model.clone(),
        planned.reference_kernel,
        planned.reference_head,
        planned.job.batch,
    )
}

fn read_numbers(path: &Path) -> Result<Vec<f32>, String> {
    let bytes = fs::read(path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
    Ok(bytes
        .as_chunks::<4>()
        .0
        .iter()
        .map(|b| f32::from_le_bytes(*b))
        .collect())
}

/// |a - b| / |b|
fn relative_distance(a: &[f32], b: &[f32]) -> f64 {
    let square = |v: f64| v * v;
    let difference: f64 = a
        .iter()
        .zip(b)
        .map(|(a, b)| square(f64::from(*a) - f64::from(*b)))
        .sum();
    let size: f64 = b.iter().map(|b| square(f64::from(*b))).sum();
    if difference == 0.0 {
        0.0
    } else {
        (difference / size).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_is_relative_and_zero_for_equal() {
        assert_eq!(relative_distance(&[0.0, 0.0], &[0.0, 0.0]), 0.0);
        assert!((relative_distance(&[3.0, 4.5], &[3.0, 4.0]) - 0.1).abs() < 1e-9);
        assert!(
            relative_distance(&[f32::NAN], &[1.0]).is_nan(),
            "and so within no tolerance"
        );
    }
}
