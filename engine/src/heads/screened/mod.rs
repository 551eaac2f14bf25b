//! The half-precision head's answer at a fraction of its bytes: a 4-bit copy rules out the rows that cannot win, certified.
//!
//! Beside each row `w` in half precision lie two planes of 4 bits. The first gives a coarse row `w1`, both together an 8-bit
//! row `w2`. With the norms of `w - w1` and `w - w2`, which are computed from the actual weights when they are packed and
//! rounded upwards, every logit of the half-precision head is known to lie in an interval. A row whose interval ends below
//! what `k` other rows reach for certain is not among the `k` largest. The first plane is read for all rows, the second for
//! the few rows that are left, and the half-precision rows for the few that are left then: those logits are computed by the
//! half-precision kernel itself, so the answer is that of the `f16` head, equal values included.
//!
//! Why the intervals are right is in `bounds`, the layout in `planes`.

mod bounds;
mod copy;
mod planes;
mod search;
#[cfg(test)]
mod tests;

use super::f16::half_logits;
use super::fixed_point::BLOCK;
use super::isa::{self, Isa};
use super::lanes::{LANES, pack_groups};
use super::select::Candidate;
use super::{Head, HeadChoice, HeadSource, HeadWork, NotFinite, Team};
use crate::buffer::PackedBytes;
use crate::kernels::{PackError, PackedMatrix};
use bounds::{Row, StoredRow};
use copy::Copy;
pub(super) use planes::{BLOCK_BYTES, refined_scale_bytes, refined_stride};
use std::sync::Arc;

pub(super) static CHOICE: HeadChoice = HeadChoice {
    name: "screened",
    bits_per_weight: 4.5 + 4.25,
    keeps_half: true,
    exact: true,
    about: "half precision for the rows that a 4-bit copy cannot rule out: the tokens of f16 at fewer bytes",
    pack,
};

struct Screened {
    isa: Box<dyn Isa>,
    half: Arc<dyn PackedMatrix>,
    half_kernel: &'static str,
    /// The first plane.
    screen: PackedBytes,
    /// The second plane.
    refined: PackedBytes,
    /// `[rows]`, then zeros up to a multiple of eight.
    rows: PackedBytes,
    /// The largest `N`.
    largest_norm: f64,
}

/// Working memory.
#[derive(Debug, Default)]
pub(super) struct ScreenWork {
    /// `[2][rows]`: the sums of the first plane, then the bounds' sums; after that the values and the upper ends.
    screen: Vec<f32>,
    /// `[2][candidates]`: lower and upper ends.
    refined: Vec<f32>,
    /// Of the last token, the rows of which the second plane and the half-precision rows were read.
    pub(super) rescored: [usize; 2],
}

fn pack(source: &HeadSource<'_>) -> Result<Box<dyn Head>, PackError> {
    let weights = source.weights;
    let (rows, cols) = (weights.rows(), weights.cols());
    let blocks = cols.div_ceil(BLOCK);
    let padded = cols.next_multiple_of(2 * BLOCK);
    let stride = refined_stride(cols);
    let parts = [
        blocks * BLOCK_BYTES,
        LANES * stride,
        LANES * size_of::<StoredRow>(),
    ];
    let [screen, refined, known_rows] = pack_groups(
        weights,
        padded,
        parts,
        |first_row, values, [screen, refined, known]| {
            let known: &mut [StoredRow] = bytemuck::cast_slice_mut(known);
            for (lane, row) in values
                .chunks_exact(padded)
                .enumerate()
                .take(rows - first_row)
            {
                let copy = Copy::of(row, cols);
                known[lane] = copy.row.into();
                copy.write_first(lane, screen);
                copy.write_second(&mut refined[lane * stride..][..stride], cols);
            }
        },
    )?;
    let known: &[StoredRow] = bytemuck::cast_slice(known_rows.bytes());
    let norms = known.iter().map(|row| f64::from(Row::from(*row).norm));
    let largest_norm = norms.fold(0.0, f64::max);
    Ok(Box::new(Screened {
        isa: isa::best(source.cpu),
        half: (source.half)()?,
        half_kernel: source.half_kernel,
        screen,
        refined,
        largest_norm,
        rows: known_rows,
    }))
}

impl Head for Screened {
    fn choice(&self) -> &'static HeadChoice {
        &CHOICE
    }

    fn vocab(&self) -> usize {
        self.half.rows()
    }

    fn kernel(&self) -> String {
        format!("screened-{}+{}", self.isa.name(), self.half_kernel)
    }

    fn bytes(&self) -> u64 {
        [&self.screen, &self.refined, &self.rows]
            .iter()
            .map(|plane| plane.bytes().len() as u64)
            .sum()
    }

    fn half(&self) -> Option<&Arc<dyn PackedMatrix>> {
        Some(&self.half)
    }

    fn streams(&self) -> Vec<&[u8]> {
        vec![self.screen.bytes(), self.rows.bytes()]
    }

    fn logits(&self, x: &[f32], team: Team<'_>, work: &mut HeadWork) -> u64 {
        let HeadWork { logits, dense, .. } = work;
        half_logits(&*self.half, x, team, dense, logits)
    }

    fn top(
        &self,
        x: &[f32],
        k: usize,
        team: Team<'_>,
        work: &mut HeadWork,
    ) -> Result<(Vec<Vec<Candidate>>, u64), NotFinite> {
        let mut all = Vec::new();
        let mut bytes = 0;
        for x in x.chunks_exact(self.half.cols()) {
            let (largest, read) = self.largest(x, k, team, work)?;
            all.push(largest);
            bytes += read;
        }
        Ok((all, bytes))
    }
}
