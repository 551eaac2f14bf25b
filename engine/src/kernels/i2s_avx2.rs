//! Two-bit ternary weights times int8 activations with AVX2 (`vpmaddubsw`).
//!
//! Layout: groups of four rows, blocks of 128 columns. A block holds 32 bytes of each of the four rows, one row after the
//! other, so a thread reads one stream. Weights are `w + 1`; byte `b` of a row holds four columns:
//!
//! ```text
//! group, block k       | row 0: 32 bytes | row 1 | row 2 | row 3 |     128 bytes
//! byte b of a row      bit 7 6 | 5 4 | 3 2 | 1 0
//!                      w`[96+b]` | w`[64+b]` | w`[32+b]` | w`[b]`
//! ```
//!
//! Decode keeps the planes of bits 2-3 and 6-7 where the mask leaves them, four times too large, in sums of their own: that
//! saves a shift. Prefill unpacks a group once for many tokens. The sum of `(w + 1) * a` less the sum of `a` is the sum of
//! `w * a`. Columns are padded with `w = 0` and the last group with rows of zeros.
#![expect(unsafe_code, reason = "calls across the target-feature boundary")]

use super::{
    Agreement, Family, KernelVariant, PackError, PackResult, Packed, PackedMatrix, row_blocks,
    ternary_of,
};
use crate::activations::{Activations, COLUMN_PADDING};
use crate::buffer::PackedBytes;
use crate::cpu::x86_64::{load_i8x32, load_u8x32, prefetch, store_i32x4, store_u8x32};
use crate::cpu::{Avx2, Cpu, Feature};
use crate::grid::Tile;
use crate::weights::LinearWeights;
use std::arch::x86_64::*;

pub(super) static VARIANT: KernelVariant = KernelVariant {
    name: "i2s-avx2",
    family: Family::I2s,
    requires: &[Feature::Avx2],
    bits_per_weight: 2.0,
    agreement: Agreement::Exact,
    about: "AVX2 byte multiply-add, four rows interleaved, 16-bit partial sums",
    pack,
};

/// Rows of a group.
const ROWS: usize = 4;
/// Columns of a block.
const COLUMNS: usize = 128;
/// Bytes of one row in a block.
const ROW_BYTES: usize = COLUMNS / 4;
/// Bytes of a block.
const BLOCK: usize = ROWS * ROW_BYTES;
/// Decode: blocks whose sums fit in 16 bits. A plane that is four times too large adds at most 2 * 8 * 128 = 2048 to a lane,
/// twice a block, and 16 * 2048 is 32768, which only the negative side can reach.
const BLOCKS_PER_SUM: usize = 8;
/// Prefill: steps of 32 columns whose sums fit in 16 bits: each adds at most 2 * 2 * 128 = 512, and 64 * 512 is 32768.
const STEPS_PER_SUM: usize = 64;
/// Prefill: tokens of a register tile; four rows by two tokens are eight sums, four weights and two activations.
const TOKENS: usize = 2;
/// Prefill: tokens that stay in the second-level cache (96 of 2048 columns are 192 KiB) while all rows pass.
const TOKEN_BLOCK: usize = 96;
/// How far ahead decode asks for weights, in bytes: about the latency of memory at its bandwidth.
const AHEAD: usize = 8 << 10;

/// Weights of a group, one byte each: `[step][row][32 columns]`.
type Unpacked = [[[u8; 32]; ROWS]; STEPS_PER_SUM];

struct I2sAvx2 {
    avx2: Avx2,
    group_bytes: usize,
    packed: Packed,
}

fn pack(weights: &LinearWeights, cpu: &Cpu) -> PackResult {
    let avx2 = cpu.avx2().map_err(|missing| PackError::Unsupported {
        variant: VARIANT.name,
        missing,
    })?;
    let matrix = ternary_of(weights, &VARIANT)?;
    let (rows, cols) = (matrix.rows(), matrix.cols());
    let padded = cols.next_multiple_of(COLUMN_PADDING);
    let group_bytes = ROWS * padded / 4;
    let bytes = PackedBytes::fill(
        rows.div_ceil(ROWS) * group_bytes,
        group_bytes,
        |group, bytes| {
            let mut weights = vec![0i8; padded];
            for row in 0..ROWS {
                weights.fill(0);
                if group * ROWS + row < rows {
                    matrix.read_row(group * ROWS + row, &mut weights[..cols]);
                }
                for (columns, block) in weights
                    .chunks_exact(COLUMNS)
                    .zip(bytes.chunks_exact_mut(BLOCK))
                {
                    for (b, byte) in block[row * ROW_BYTES..][..ROW_BYTES].iter_mut().enumerate() {
                        let code = |plane: usize| {
                            (columns[plane * ROW_BYTES + b] + 1).cast_unsigned() << (2 * plane)
                        };
                        *byte = code(0) | code(1) | code(2) | code(3);
                    }
                }
            }
            Ok(())
        },
    )?;
    let packed = Packed {
        rows,
        cols,
        scale: matrix.scale(),
        bytes,
    };
    Ok(Box::new(I2sAvx2 {
        avx2,
        group_bytes,
        packed,
    }))
}

impl I2sAvx2 {
    fn group(&self, group: usize) -> &[[u8; BLOCK]] {
        self.bytes()[group * self.group_bytes..][..self.group_bytes]
            .as_chunks::<BLOCK>()
            .0
    }
}

impl PackedMatrix for I2sAvx2 {
    fn packed(&self) -> &Packed {
        &self.packed
    }

    fn row_block(&self) -> usize {
        ROWS
    }

    fn multiply(&self, activations: &Activations, out: &mut Tile<'_>) {
        assert_eq!(
            activations.cols(),
            self.cols(),
            "activations of this matrix"
        );
        // SAFETY: `self.avx2` exists only where AVX2 was detected.
        unsafe { multiply(self.avx2, self, activations, out) }
    }

    fn unpack_row(&self, row: usize, out: &mut [f32]) {
        for (block, out) in self.group(row / ROWS).iter().zip(out.chunks_mut(COLUMNS)) {
            let bytes = &block[row % ROWS * ROW_BYTES..][..ROW_BYTES];
            for (column, out) in out.iter_mut().enumerate() {
                let code = bytes[column % ROW_BYTES] >> (2 * (column / ROW_BYTES)) & 3;
                *out = (f32::from(code) - 1.0) * self.packed.scale;
            }
        }
    }
}

#[target_feature(enable = "avx2")]
fn multiply(_: Avx2, matrix: &I2sAvx2, activations: &Activations, out: &mut Tile<'_>) {
    if out.tokens().len() == 1 {
        decode(matrix, activations, out);
    } else {
        prefill(matrix, activations, out);
    }
}

#[target_feature(enable = "avx2")]
fn decode(matrix: &I2sAvx2, activations: &Activations, out: &mut Tile<'_>) {
    let token = out.tokens().start;
    let rows = out.cols();
    let values = activations.int8(token).as_chunks::<COLUMNS>().0;
    let out = out.token(token);
    for rows_of_group in row_blocks(rows.clone(), ROWS) {
        let sums = dot_group(matrix.group(rows_of_group.start / ROWS), values);
        let out = &mut out[rows_of_group.start - rows.start..][..rows_of_group.len()];
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = activations.rescale(token, sum - activations.sum(token), matrix.packed.scale);
        }
    }
}

/// Sums of `(w + 1) * a` over the four rows of a group.
#[inline]
#[target_feature(enable = "avx2")]
fn dot_group(group: &[[u8; BLOCK]], values: &[[i8; COLUMNS]]) -> [i32; ROWS] {
    let low = _mm256_set1_epi8(0x03);
    let high = _mm256_set1_epi8(0x0c);
    let ones = _mm256_set1_epi16(1);
    let mut totals = [_mm256_setzero_si256(); ROWS];
    let mut totals4 = [_mm256_setzero_si256(); ROWS];
    for (blocks, values) in group
        .chunks(BLOCKS_PER_SUM)
        .zip(values.chunks(BLOCKS_PER_SUM))
    {
        let mut sums = [_mm256_setzero_si256(); ROWS];
        let mut sums4 = [_mm256_setzero_si256(); ROWS];
        for (block, values) in blocks.iter().zip(values) {
            prefetch(block, AHEAD);
            prefetch(block, AHEAD + 64);
            let (planes, _) = values.as_chunks::<32>();
            let a = [
                load_i8x32(&planes[0]),
                load_i8x32(&planes[1]),
                load_i8x32(&planes[2]),
                load_i8x32(&planes[3]),
            ];
            let (rows, _) = block.as_chunks::<ROW_BYTES>();
            for row in 0..ROWS {
                let w = load_u8x32(&rows[row]);
                let shifted = _mm256_srli_epi16::<4>(w);
                let first = _mm256_maddubs_epi16(_mm256_and_si256(w, low), a[0]);
                let second = _mm256_maddubs_epi16(_mm256_and_si256(w, high), a[1]);
                let third = _mm256_maddubs_epi16(_mm256_and_si256(shifted, low), a[2]);
                let fourth = _mm256_maddubs_epi16(_mm256_and_si256(shifted, high), a[3]);
                sums[row] = _mm256_add_epi16(_mm256_add_epi16(sums[row], first), third);
                sums4[row] = _mm256_add_epi16(_mm256_add_epi16(sums4[row], second), fourth);
            }
        }
        for row in 0..ROWS {
            totals[row] = _mm256_add_epi32(totals[row], _mm256_madd_epi16(sums[row], ones));
            totals4[row] = _mm256_add_epi32(totals4[row], _mm256_madd_epi16(sums4[row], ones));
        }
    }
    for row in 0..ROWS {
        totals[row] = _mm256_add_epi32(totals[row], _mm256_srai_epi32::<2>(totals4[row]));
    }
    sum_lanes(totals)
}

/// The sum of the eight lanes of each of four vectors.
#[inline]
#[target_feature(enable = "avx2")]
fn sum_lanes(v: [__m256i; ROWS]) -> [i32; ROWS] {
    let pairs = _mm256_hadd_epi32(_mm256_hadd_epi32(v[0], v[1]), _mm256_hadd_epi32(v[2], v[3]));
    let mut sums = [0; ROWS];
    store_i32x4(
        &mut sums,
        _mm_add_epi32(
            _mm256_castsi256_si128(pairs),
            _mm256_extracti128_si256::<1>(pairs),
        ),
    );
    sums
}

#[target_feature(enable = "avx2")]
fn prefill(matrix: &I2sAvx2, activations: &Activations, out: &mut Tile<'_>) {
    const BLOCKS: usize = STEPS_PER_SUM * 32 / COLUMNS;
    let rows = out.cols();
    let tokens = out.tokens();
    let mut unpacked: Box<Unpacked> = Box::new([[[0; 32]; ROWS]; STEPS_PER_SUM]);
    let mut sums = [[0i32; ROWS]; TOKEN_BLOCK];
    for first_token in tokens.clone().step_by(TOKEN_BLOCK) {
        let block_tokens = first_token..tokens.end.min(first_token + TOKEN_BLOCK);
        for rows_of_group in row_blocks(rows.clone(), ROWS) {
            let group = matrix.group(rows_of_group.start / ROWS);
            sums.fill([0; ROWS]);
            for (part, blocks) in group.chunks(BLOCKS).enumerate() {
                unpack(blocks, &mut unpacked);
                let steps = &unpacked[..blocks.len() * (COLUMNS / 32)];
                let values = |token: usize| {
                    &activations.int8(token).as_chunks::<32>().0[part * STEPS_PER_SUM..]
                        [..steps.len()]
                };
                let mut token = block_tokens.start;
                while token + TOKENS <= block_tokens.end {
                    let tile = dot_tile(steps, [values(token), values(token + 1)]);
                    for (sums, tile) in sums[token - first_token..].iter_mut().zip(tile) {
                        for (sum, part) in sums.iter_mut().zip(tile) {
                            *sum += part;
                        }
                    }
                    token += TOKENS;
                }
                if token < block_tokens.end {
                    let [tile] = dot_tile(steps, [values(token)]);
                    for (sum, part) in sums[token - first_token].iter_mut().zip(tile) {
                        *sum += part;
                    }
                }
            }
            for (token, sums) in block_tokens.clone().zip(&sums) {
                let out = &mut out.token(token)[rows_of_group.start - rows.start..]
                    [..rows_of_group.len()];
                for (out, sum) in out.iter_mut().zip(sums) {
                    *out = activations.rescale(
                        token,
                        sum - activations.sum(token),
                        matrix.packed.scale,
                    );
                }
            }
        }
    }
}

/// Writes `w + 1` of the blocks of a group, a byte each, in the order of [`Unpacked`].
#[inline]
#[target_feature(enable = "avx2")]
fn unpack(blocks: &[[u8; BLOCK]], unpacked: &mut Unpacked) {
    let low = _mm256_set1_epi8(0x03);
    for (block, steps) in blocks.iter().zip(unpacked.as_chunks_mut::<4>().0) {
        let (rows, _) = block.as_chunks::<ROW_BYTES>();
        for row in 0..ROWS {
            let w = load_u8x32(&rows[row]);
            store_u8x32(&mut steps[0][row], _mm256_and_si256(w, low));
            store_u8x32(
                &mut steps[1][row],
                _mm256_and_si256(_mm256_srli_epi16::<2>(w), low),
            );
            store_u8x32(
                &mut steps[2][row],
                _mm256_and_si256(_mm256_srli_epi16::<4>(w), low),
            );
            store_u8x32(
                &mut steps[3][row],
                _mm256_and_si256(_mm256_srli_epi16::<6>(w), low),
            );
        }
    }
}

/// Sums of `(w + 1) * a` of four rows and `N` tokens over at most [`STEPS_PER_SUM`] steps.
#[inline]
#[target_feature(enable = "avx2")]
fn dot_tile<const N: usize>(
    steps: &[[[u8; 32]; ROWS]],
    values: [&[[i8; 32]]; N],
) -> [[i32; ROWS]; N] {
    let values = values.map(|row| &row[..steps.len()]);
    let mut sums = [[_mm256_setzero_si256(); ROWS]; N];
    for (index, step) in steps.iter().enumerate() {
        let w = [
            load_u8x32(&step[0]),
            load_u8x32(&step[1]),
            load_u8x32(&step[2]),
            load_u8x32(&step[3]),
        ];
        for (sums, values) in sums.iter_mut().zip(values) {
            let a = load_i8x32(&values[index]);
            for row in 0..ROWS {
                sums[row] = _mm256_add_epi16(sums[row], _mm256_maddubs_epi16(w[row], a));
            }
        }
    }
    let ones = _mm256_set1_epi16(1);
    let mut result = [[0; ROWS]; N];
    for (result, sums) in result.iter_mut().zip(sums) {
        *result = sum_lanes([
            _mm256_madd_epi16(sums[0], ones),
            _mm256_madd_epi16(sums[1], ones),
            _mm256_madd_epi16(sums[2], ones),
            _mm256_madd_epi16(sums[3], ones),
        ]);
    }
    result
}
