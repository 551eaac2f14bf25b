//! An 8-bit head: blocks of 32 weights with a scale in half precision, as ggml's Q8_0.
//!
//! A block stands for `d * q`, `q` in -127..=127. Here `d` is rounded upwards to half precision, so that no weight is further
//! than `d / 2` from what stands for it. The hidden state is in 16-bit fixed point, finer than the int8 blocks that ggml
//! multiplies by.
//!
//! Layout: groups of eight rows, blocks of 32 columns. Two columns of eight rows are 16 bytes, which widen to one vector of
//! 16-bit pairs and meet a pair of columns of the hidden state in one multiply-add (`vpmaddwd`, `vpdpwssd`, `smlal`).
//!
//! ```text
//! group, block k   | d of 8 rows, f16: 16 B | columns 0 1 of 8 rows: 16 B | columns 2 3 | ... | columns 30 31 |   272 bytes
//! 16 bytes         row 0: c0 c1 | row 1: c0 c1 | ... | row 7: c0 c1
//! ```
//!
//! A row is `scale * sum over blocks of d * (sum of q * value)`: the inner sums are integers below 2^27, the outer one is in
//! single precision, block after block, multiplied and added without fusing.

use super::fixed_point::{BLOCK, set_all};
use super::isa::{self, Isa};
use super::lanes::{LANES, half_up, pack_groups, piece_rows};
use super::{Head, HeadChoice, HeadSource, HeadWork, Team};
use crate::buffer::PackedBytes;
use crate::kernels::PackError;
use crate::pieces::Pieces;

pub(super) static CHOICE: HeadChoice = HeadChoice {
    name: "q8_0",
    bits_per_weight: 8.5,
    keeps_half: false,
    exact: false,
    about: "8-bit blocks of 32 with a half-precision scale (ggml's Q8_0), 16-bit hidden state: an approximation",
    pack,
};

/// Bytes of a block of eight rows.
pub(super) const BLOCK_BYTES: usize = LANES * (2 + BLOCK);
/// Bytes of the scales at its beginning.
pub(super) const SCALE_BYTES: usize = 2 * LANES;

struct Q8 {
    isa: Box<dyn Isa>,
    rows: usize,
    cols: usize,
    bytes: PackedBytes,
}

fn pack(source: &HeadSource<'_>) -> Result<Box<dyn Head>, PackError> {
    let weights = source.weights;
    let (rows, cols) = (weights.rows(), weights.cols());
    let blocks = cols.div_ceil(BLOCK);
    let [bytes] = pack_groups(
        weights,
        blocks * BLOCK,
        [blocks * BLOCK_BYTES],
        |_, values, [bytes]| {
            for (lane, row) in values.chunks_exact(blocks * BLOCK).enumerate() {
                for (weights, block) in row
                    .as_chunks::<BLOCK>()
                    .0
                    .iter()
                    .zip(bytes.as_chunks_mut::<BLOCK_BYTES>().0)
                {
                    pack_block(weights, lane, block);
                }
            }
        },
    )?;
    Ok(Box::new(Q8 {
        isa: isa::best(source.cpu),
        rows,
        cols,
        bytes,
    }))
}

fn pack_block(weights: &[f32; BLOCK], lane: usize, block: &mut [u8; BLOCK_BYTES]) {
    let largest = weights
        .iter()
        .fold(0.0f32, |largest, w| largest.max(w.abs()));
    let d = half_up(largest / 127.0);
    block[2 * lane..][..2].copy_from_slice(&d.to_le_bytes());
    let d = d.to_f32();
    if d == 0.0 {
        return;
    }
    for (column, weight) in weights.iter().enumerate() {
        #[expect(clippy::cast_possible_truncation, reason = "clamped to a byte")]
        let q = (weight / d).round_ties_even().clamp(-127.0, 127.0) as i8;
        block[SCALE_BYTES + column / 2 * 2 * LANES + 2 * lane + column % 2] = q.cast_unsigned();
    }
}

impl Head for Q8 {
    fn choice(&self) -> &'static HeadChoice {
        &CHOICE
    }

    fn vocab(&self) -> usize {
        self.rows
    }

    fn kernel(&self) -> String {
        format!("q8_0-{}", self.isa.name())
    }

    fn bytes(&self) -> u64 {
        self.bytes.bytes().len() as u64
    }

    fn streams(&self) -> Vec<&[u8]> {
        vec![self.bytes.bytes()]
    }

    fn logits(&self, x: &[f32], team: Team<'_>, work: &mut HeadWork) -> u64 {
        let HeadWork { logits, fixed, .. } = work;
        let fixed = set_all(fixed, x, self.cols);
        logits.resize(fixed.len() * self.rows, 0.0);
        let group_bytes = self.cols.div_ceil(BLOCK) * BLOCK_BYTES;
        let threads = team.pool.threads();
        let pieces = Pieces::new(logits, self.rows, piece_rows(group_bytes), threads);
        team.pool.run(&|thread| {
            while let Some(mut tile) = pieces.next(thread) {
                let groups = &self.bytes.bytes()[tile.cols().start / LANES * group_bytes..];
                // A piece stays in the cache for all tokens.
                for (token, fixed) in fixed.iter().enumerate() {
                    self.isa.q8_0(groups, fixed, tile.token(token));
                }
            }
        });
        self.bytes()
    }
}
