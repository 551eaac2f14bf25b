//! The head in half precision: the reference of all others, and the default.

use super::{Head, HeadChoice, HeadSource, HeadWork, Team};
use crate::activations::Activations;
use crate::kernels::{PackError, PackedMatrix};
use crate::linear::linear;
use std::sync::Arc;

pub(super) static CHOICE: HeadChoice = HeadChoice {
    name: "f16",
    bits_per_weight: 0.0,
    keeps_half: true,
    exact: true,
    about: "half precision, shared with the embedding where the model ties them",
    pack,
};

struct F16 {
    half: Arc<dyn PackedMatrix>,
    /// Name of the variant that computes it.
    kernel: &'static str,
}

fn pack(source: &HeadSource<'_>) -> Result<Box<dyn Head>, PackError> {
    Ok(Box::new(F16 {
        half: (source.half)()?,
        kernel: source.half_kernel,
    }))
}

impl Head for F16 {
    fn choice(&self) -> &'static HeadChoice {
        &CHOICE
    }

    fn vocab(&self) -> usize {
        self.half.rows()
    }

    fn kernel(&self) -> String {
        self.kernel.to_owned()
    }

    fn bytes(&self) -> u64 {
        0
    }

    fn half(&self) -> Option<&Arc<dyn PackedMatrix>> {
        Some(&self.half)
    }

    fn streams(&self) -> Vec<&[u8]> {
        vec![self.half.bytes()]
    }

    fn logits(&self, x: &[f32], team: Team<'_>, work: &mut HeadWork) -> u64 {
        let HeadWork { logits, dense, .. } = work;
        half_logits(&*self.half, x, team, dense, logits)
    }
}

/// All logits by the rows in half precision, `[tokens][vocab]`; gives the bytes of these rows.
pub(super) fn half_logits(
    half: &dyn PackedMatrix,
    x: &[f32],
    team: Team<'_>,
    dense: &mut Activations,
    logits: &mut Vec<f32>,
) -> u64 {
    dense.prepare(x, half.cols(), team.pool, team.isa);
    logits.resize(x.len() / half.cols() * half.rows(), 0.0);
    linear(team.pool, dense, &mut [(half, logits)]);
    half.bytes().len() as u64
}
