//! A 6-bit head: ggml's Q6_K, 256 weights in 6.5625 bits each.
//!
//! A block of 256 has a scale `d` in half precision and sixteen signed 8-bit scales `s`, one for 16 weights; a code `c`
//! (0..=63) stands for `d * s * (c - 32)`. Rows that a file holds as Q6_K are taken over code by code. Others are quantised:
//! each 16 weights would like the step `largest / 31.5`, which keeps every weight within half a step; `d` is the largest of
//! these over 127, rounded upwards, and each `s` is rounded upwards, so no weight is further than `d * s / 2` from its code.
//! A row that is no multiple of 256 ends with a shorter block of whole 32 columns.
//!
//! Layout: groups of eight rows, blocks of 256 columns, parts of 32. Four columns of eight rows are a step of 32 bytes, which
//! is what byte multiply-adds take (`vpmaddubsw`, `vpdpbusd`, `usdot`); a part has eight steps.
//!
//! ```text
//! group, block   | d of 8 rows, f16: 16 B | part 0 | part 1 | ... | part 7 |                                    1680 bytes
//! part           | s of columns 0-15: 8 rows | s of 16-31: 8 rows | high 0: 32 B | high 1 | low 0: 32 B | ... | low 3 |
//! byte 4 r + c of low j     bits 7-4: lower half of the code of row r, column 16 + 4 j + c; bits 3-0: column 4 j + c
//! byte 4 r + c of high i    bits 2 p + 1, 2 p: upper half of the code of row r, column 16 i + 4 p + c
//! ```
//!
//! A row is `scale * sum over blocks of d * (sum over 16 columns of s * (sum of (c - 32) * value))`: the innermost sums are
//! integers below 2^24 and so exact in single precision; the others are added one after the other without fusing.

use super::fixed_point::{BLOCK, set_all};
use super::isa::{self, Isa};
use super::lanes::{LANES, half_up, pack_groups, piece_rows};
use super::{Head, HeadChoice, HeadSource, HeadWork, Team};
use crate::buffer::PackedBytes;
use crate::kernels::PackError;
use crate::model::formats::q6_k as file;
use crate::pieces::Pieces;

pub(super) static CHOICE: HeadChoice = HeadChoice {
    name: "q6_k",
    bits_per_weight: 6.5625,
    keeps_half: false,
    exact: false,
    about: "6-bit blocks of 256 with sixteen 8-bit scales (ggml's Q6_K), 16-bit hidden state: an approximation",
    pack,
};

/// Columns of a block.
const COLUMNS: usize = file::ELEMENTS;
/// Parts of a block.
pub(super) const PARTS: usize = COLUMNS / BLOCK;
/// Columns that share a scale.
const SUB: usize = 16;
/// Bytes of the scales d of a block.
pub(super) const D_BYTES: usize = 2 * LANES;
/// Bytes of a vector: four columns of eight rows.
const STEP: usize = 4 * LANES;
/// Bytes of the scales s of a part.
pub(super) const S_BYTES: usize = 2 * LANES;
/// Bytes of a part.
pub(super) const PART_BYTES: usize = S_BYTES + 6 * STEP;

/// Bytes of eight rows of so many columns.
pub(super) fn group_bytes(cols: usize) -> usize {
    cols.div_ceil(COLUMNS) * D_BYTES + cols.div_ceil(BLOCK) * PART_BYTES
}

struct Q6 {
    isa: Box<dyn Isa>,
    rows: usize,
    cols: usize,
    bytes: PackedBytes,
}

fn pack(source: &HeadSource<'_>) -> Result<Box<dyn Head>, PackError> {
    let weights = source.weights;
    let (rows, cols) = (weights.rows(), weights.cols());
    let padded = cols.next_multiple_of(BLOCK);
    let [bytes] = pack_groups(
        weights,
        padded,
        [group_bytes(cols)],
        |first_row, values, [bytes]| {
            for (lane, row) in values.chunks_exact(padded).enumerate() {
                let stored = (first_row + lane < rows)
                    .then(|| weights.stored(first_row + lane, file::FORMAT.name))
                    .flatten();
                let mut blocks = stored
                    .unwrap_or_default()
                    .as_chunks::<{ file::BYTES }>()
                    .0
                    .iter();
                let mut start = 0;
                for weights in row.chunks(COLUMNS) {
                    let codes = match blocks.next() {
                        Some(block) => file::codes(block),
                        None => quantise(weights),
                    };
                    let length = D_BYTES + weights.len() / BLOCK * PART_BYTES;
                    write_block(&codes, lane, &mut bytes[start..start + length]);
                    start += length;
                }
            }
        },
    )?;
    Ok(Box::new(Q6 {
        isa: isa::best(source.cpu),
        rows,
        cols,
        bytes,
    }))
}

/// The codes of up to 256 weights.
fn quantise(weights: &[f32]) -> file::Codes {
    let mut codes = file::Codes {
        d: half::f16::ZERO,
        scales: [0; 16],
        codes: [32; COLUMNS],
    };
    let mut steps = [0.0f32; COLUMNS / SUB];
    for (step, weights) in steps.iter_mut().zip(weights.chunks(SUB)) {
        *step = weights
            .iter()
            .fold(0.0f32, |largest, w| largest.max(w.abs()))
            / 31.5;
    }
    codes.d = half_up(steps.iter().fold(0.0f32, |a, b| a.max(*b)) / 127.0);
    let d = codes.d.to_f32();
    if d == 0.0 {
        return codes;
    }
    for (index, weights) in weights.chunks(SUB).enumerate() {
        #[expect(clippy::cast_possible_truncation, reason = "0 to 127")]
        let scale = (steps[index] / d).ceil().min(127.0) as i8;
        codes.scales[index] = scale;
        let step = d * f32::from(scale);
        for (code, weight) in codes.codes[index * SUB..].iter_mut().zip(weights) {
            if step > 0.0 {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "clamped to 0 to 63"
                )]
                let rounded = ((weight / step).round_ties_even() + 32.0).clamp(0.0, 63.0) as u8;
                *code = rounded;
            }
        }
    }
    codes
}

/// Puts the codes of one row in its places; the bytes are zeroed, and as many as the block has columns.
fn write_block(codes: &file::Codes, lane: usize, block: &mut [u8]) {
    let (d, parts) = block.split_at_mut(D_BYTES);
    d[2 * lane..][..2].copy_from_slice(&codes.d.to_le_bytes());
    for (index, part) in parts.chunks_exact_mut(PART_BYTES).enumerate() {
        let (scales, rest) = part.split_at_mut(S_BYTES);
        let (high, low) = rest.split_at_mut(2 * STEP);
        for half in 0..2 {
            scales[half * LANES + lane] = codes.scales[2 * index + half].cast_unsigned();
            for column in 0..SUB {
                let code = codes.codes[index * BLOCK + half * SUB + column];
                let (step, byte) = (column / 4, 4 * lane + column % 4);
                low[step * STEP + byte] |= (code & 0x0f) << (4 * half);
                high[half * STEP + byte] |= (code >> 4) << (2 * step);
            }
        }
    }
}

impl Head for Q6 {
    fn choice(&self) -> &'static HeadChoice {
        &CHOICE
    }

    fn vocab(&self) -> usize {
        self.rows
    }

    fn kernel(&self) -> String {
        format!("q6_k-{}", self.isa.name())
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
        let group_bytes = group_bytes(self.cols);
        let threads = team.pool.threads();
        let pieces = Pieces::new(logits, self.rows, piece_rows(group_bytes), threads);
        team.pool.run(&|thread| {
            while let Some(mut tile) = pieces.next(thread) {
                let groups = &self.bytes.bytes()[tile.cols().start / LANES * group_bytes..];
                // A piece stays in the cache for all tokens.
                for (token, fixed) in fixed.iter().enumerate() {
                    self.isa.q6_k(groups, fixed, tile.token(token));
                }
            }
        });
        self.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::Cpu;
    use crate::kernels::PackedMatrix;
    use crate::ops::SharedIsa;
    use crate::threads::Pool;
    use crate::weights::{DenseMatrix, DenseRows};
    use std::sync::Arc;

    /// Rows of Q6_K blocks, as a file holds them.
    struct Stored(Vec<Vec<u8>>);

    impl DenseRows for Stored {
        fn read_row(&self, row: usize, out: &mut [f32]) {
            (file::FORMAT.decode)(&self.0[row], &[], out);
        }

        fn stored(&self, row: usize, format: &str) -> Option<&[u8]> {
            (format == "Q6_K").then(|| &*self.0[row])
        }
    }

    #[test]
    fn blocks_of_a_file_are_taken_over_code_by_code() {
        const BLOCKS: usize = 2;
        let mut state = 1u32;
        let mut noise = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        };
        let rows: Vec<Vec<u8>> = (0..13)
            .map(|_| {
                let mut row: Vec<u8> = (0..BLOCKS * file::BYTES).map(|_| noise()).collect();
                for block in row.chunks_exact_mut(file::BYTES) {
                    block[file::BYTES - 2..]
                        .copy_from_slice(&half::f16::from_f32(0.0123).to_le_bytes());
                }
                row
            })
            .collect();
        let source = Arc::new(Stored(rows));
        let cols = BLOCKS * COLUMNS;
        let weights = DenseMatrix::new(
            13,
            cols,
            Arc::clone(&source) as Arc<dyn DenseRows>,
            "a head",
        );
        let half = || -> Result<Arc<dyn PackedMatrix>, PackError> { unreachable!("not needed") };
        let cpu = Cpu::detect();
        let head = pack(&HeadSource {
            weights: &weights,
            half: &half,
            half_kernel: "",
            cpu: &cpu,
        })
        .expect("packs");
        // Each column by itself: a power of two is exact in fixed point, and so is the product.
        let pool = Pool::new(1).expect("no thread is started");
        let team = Team {
            pool: &pool,
            isa: SharedIsa::best(&cpu),
        };
        let mut work = HeadWork::new();
        let mut expected = vec![vec![0.0f32; cols]; 13];
        for (row, expected) in expected.iter_mut().enumerate() {
            weights.read_row(row, expected);
        }
        for column in 0..cols {
            let mut x = vec![0.0f32; cols];
            x[column] = 32512.0;
            head.logits(&x, team, &mut work);
            for (row, expected) in expected.iter().enumerate() {
                let got = work.logits()[row] / 32512.0;
                let difference = (got - expected[column]).abs();
                assert!(
                    difference <= expected[column].abs() * 2e-7,
                    "row {row}, column {column}: {got}, {}",
                    expected[column]
                );
            }
        }
    }
}
