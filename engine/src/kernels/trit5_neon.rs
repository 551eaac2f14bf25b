//! Ternary weights in 1.6 bits, five to a byte, times int8 activations with plain Advanced SIMD.
//!
//! A byte holds five digits to the base of 3 (see [`crate::base3`]), less 128: a signed byte `s`. The first weight is +1 where
//! `s` is 43 or more, -1 where it is -43 or less, and 0 between; three times `s`, modulo 256, holds the digits that follow.
//!
//! Layout: panels of four rows, blocks of 80 columns. A block holds 16 bytes of each of the four rows, and a byte is one weight
//! of each of five planes of 16 columns.
//!
//! ```text
//! panel, block k       | row 0: 16 bytes | row 1 | row 2 | row 3 |     64 bytes
//! byte b of a row      w`[b]`, w`[16+b]`, w`[32+b]`, w`[48+b]`, w`[64+b]`, the first most significant
//! ```
//!
//! Two comparisons, a subtraction and a multiplication of bytes give a weight; no table and no shift.

use super::matrix::{Kernel, Pack, compiled_for};
use super::{Agreement, Family, KernelVariant, PackError, Packed};
use crate::activations::Activations;
use crate::base3::{self, DIGITS};
use crate::cpu::Neon;
use crate::cpu::aarch64::{
    load_i8x16, load_u8x16, prefetch, smlal_high, smlal_low, store_i32x4, store_u8x16, triple_i8x16,
};
use crate::grid::Tile;
use crate::panels::blocks::pack_blocks;
use crate::panels::neon::{BYTES, MOST_COLUMNS, ROWS, TOKENS, WIDE, sum_lanes, tile};
use crate::panels::{self, Codes};
use crate::weights::TernaryMatrix;
use std::arch::aarch64::*;

pub(super) static VARIANT: KernelVariant = KernelVariant {
    name: "trit5-neon",
    family: Family::Trit5,
    requires: Neon::FEATURES,
    bits_per_weight: 1.6,
    agreement: Agreement::Exact,
    about: "Advanced SIMD, five weights in a byte, digits by comparison, four rows interleaved",
    pack: |weights, cpu| KERNEL.pack(&VARIANT, weights, cpu),
};

static KERNEL: Kernel<Neon> = Kernel {
    pack: Pack::Ternary(pack),
    row_block: ROWS,
    multiply: compiled_for!(Neon, multiply),
    unpack_row: |packed, row, out| packed.unpack_row::<COLUMNS, BLOCK, _>(ROWS, row, out, weight),
};

/// The least fraction less 128 whose first digit is that of +1.
const THRESHOLD: i8 = 43;
/// The bit that takes 128 from a byte, modulo 256.
pub(super) const SIGN: u8 = 0x80;
/// Columns of a plane.
const PLANE: usize = panels::neon::COLUMNS;
/// Columns of a block.
const COLUMNS: usize = DIGITS * PLANE;
/// Bytes of a block.
const BLOCK: usize = ROWS * PLANE;
/// Columns that prefill unpacks at a time, whole blocks.
const CHUNK: usize = MOST_COLUMNS / COLUMNS * COLUMNS;
/// Decode: blocks whose sums fit in 16 bits. A lane gets ten products of a block, each at most 128 in size: 25 * 1280 = 32000.
const BLOCKS_PER_SUM: usize = 25;
/// How far ahead decode asks for weights, in bytes: about the latency of memory at its bandwidth.
const AHEAD: usize = 8 << 10;

fn pack(matrix: &TernaryMatrix) -> Result<Packed, PackError> {
    pack_blocks::<COLUMNS, BLOCK>(matrix, ROWS, |rows, block| {
        for (index, byte) in block.iter_mut().enumerate() {
            let (row, b) = (index / PLANE, index % PLANE);
            let columns = rows.row::<COLUMNS>(row);
            let code = base3::encode(std::array::from_fn(|plane| columns[plane * PLANE + b]));
            *byte = code ^ SIGN;
        }
    })
}

/// A weight of a block.
fn weight(block: &[u8; BLOCK], row: usize, column: usize) -> i8 {
    base3::decode(block[row * PLANE + column % PLANE] ^ SIGN, column / PLANE)
}

#[target_feature(enable = "neon")]
fn multiply(_: Neon, packed: &Packed, activations: &Activations, out: &mut Tile<'_>) {
    panels::multiply::<ROWS, BYTES, COLUMNS, BLOCK, CHUNK, TOKENS, WIDE>(
        packed,
        activations,
        out,
        |panel, values, _| dot(panel, values),
        |blocks, codes| unpack(blocks, codes),
        |codes, values, sums| tile(codes, values, sums),
    );
}

/// The weights of the first digits of fractions less 128.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn first_digits(s: int8x16_t) -> int8x16_t {
    // A comparison that holds gives -1.
    let ones = vreinterpretq_s8_u8(vcgeq_s8(s, vdupq_n_s8(THRESHOLD)));
    let minus_ones = vreinterpretq_s8_u8(vcleq_s8(s, vdupq_n_s8(-THRESHOLD)));
    vsubq_s8(minus_ones, ones)
}

/// Sums of `w * a` over the rows of a panel.
#[inline]
#[target_feature(enable = "neon")]
fn dot(panel: &[[u8; BLOCK]], values: &[i8]) -> [i32; ROWS] {
    let values = &values.as_chunks::<COLUMNS>().0[..panel.len()];
    let mut totals = [vdupq_n_s32(0); ROWS];
    for from in (0..panel.len()).step_by(BLOCKS_PER_SUM) {
        let to = panel.len().min(from + BLOCKS_PER_SUM);
        let mut words = [vdupq_n_s16(0); ROWS];
        for (block, values) in panel[from..to].iter().zip(&values[from..to]) {
            prefetch(block, AHEAD);
            let (values, _) = values.as_chunks::<PLANE>();
            let mut a = [vdupq_n_s8(0); DIGITS];
            for plane in 0..DIGITS {
                a[plane] = load_i8x16(&values[plane]);
            }
            let (rows, _) = block.as_chunks::<PLANE>();
            for row in 0..ROWS {
                let mut s = vreinterpretq_s8_u8(load_u8x16(&rows[row]));
                for plane in 0..DIGITS {
                    let (w, a) = (first_digits(s), a[plane]);
                    words[row] = smlal_low(words[row], w, a);
                    words[row] = smlal_high(words[row], w, a);
                    s = triple_i8x16(s);
                }
            }
        }
        for row in 0..ROWS {
            totals[row] = vpadalq_s16(totals[row], words[row]);
        }
    }
    let mut result = [0; ROWS];
    store_i32x4(&mut result, sum_lanes(totals));
    result
}

/// Writes `w + 1` of the columns of some blocks.
#[inline]
#[target_feature(enable = "neon")]
fn unpack(blocks: &[[u8; BLOCK]], codes: &mut [Codes<BYTES>]) {
    let one = vdupq_n_s8(1);
    let (planes_of_rows, _) = codes.as_chunks_mut::<ROWS>();
    let (blocks_of_codes, _) = planes_of_rows.as_chunks_mut::<DIGITS>();
    for (block, codes) in blocks.iter().zip(blocks_of_codes) {
        let (rows, _) = block.as_chunks::<PLANE>();
        for row in 0..ROWS {
            let mut s = vreinterpretq_s8_u8(load_u8x16(&rows[row]));
            for plane in codes.iter_mut() {
                let code = vaddq_s8(first_digits(s), one);
                store_u8x16(&mut plane[row], vreinterpretq_u8_s8(code));
                s = triple_i8x16(s);
            }
        }
    }
}
