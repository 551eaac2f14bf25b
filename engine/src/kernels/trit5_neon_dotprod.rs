//! Ternary weights in 1.6 bits, five to a byte, times int8 activations with ARM's dot products (`sdot` by element).
//!
//! A byte holds five digits to the base of 3 (see [`crate::base3`]), less 128: a signed byte `s0`. With `s(i+1)` three times
//! `s(i)`, modulo 256 and signed again, what is lost is 256 times a weight: `w(i) = (3 s(i) - s(i+1)) / 256`, and so
//!
//! ```text
//! 256 * sum of w(i) a(i)  =  3 * sum of s(i) a(i)  -  sum of s(i+1) a(i)
//! ```
//!
//! Decode never sees a weight: it adds up both sums on the right as dot products of signed bytes and divides once at the end. A
//! byte costs five multiplications by 3 and ten dot products, where digits by comparison would cost twenty operations.
//! The sums wrap in 32 bits; the difference is right as long as 256 times the sum of `w * a` fits.
//!
//! Layout: panels of 16 rows, blocks of 80 columns, which are four parts of 20. A part is four vectors of four rows: a 32-bit
//! lane belongs to a row. Byte `b` of a lane of part `k` holds the columns `16 p + 4 k + b` of the planes `p` of 0 to 4, so that
//! part `k` meets the bytes `4 k` to `4 k + 3` of five vectors of activations: `sdot` by element needs no broadcast.
//!
//! ```text
//! panel, block         | part 0 | part 1 | part 2 | part 3 |                            256 bytes
//! part k               | rows 0-3: 4 lanes of 4 bytes | rows 4-7 | rows 8-11 | rows 12-15 |
//! byte b of a lane     w`[4k+b]`, w`[16+4k+b]`, w`[32+4k+b]`, w`[48+4k+b]`, w`[64+4k+b]`, the first most significant
//! ```

use super::matrix::{Kernel, Pack, compiled_for};
use super::trit5_neon::{SIGN, first_digits};
use super::{Agreement, Family, KernelVariant, PackError, Packed};
use crate::activations::Activations;
use crate::base3::{self, DIGITS};
use crate::cpu::NeonDotprod;
use crate::cpu::aarch64::{
    load_i8x16, load_u8x16, prefetch, sdot_lane, store_i32x4, store_u8x16, triple_i8x16,
};
use crate::grid::Tile;
use crate::panels::blocks::pack_blocks;
use crate::panels::neon_dotprod::{BYTES, ROWS, TOKENS, VECTORS, tile};
use crate::panels::{self, Codes, STEP};
use crate::weights::TernaryMatrix;
use std::arch::aarch64::*;

pub(super) static VARIANT: KernelVariant = KernelVariant {
    name: "trit5-neon-dotprod",
    family: Family::Trit5,
    requires: NeonDotprod::FEATURES,
    bits_per_weight: 1.6,
    agreement: Agreement::Exact,
    about: "int8 dot products of balanced fractions, digits never extracted in decode, 16 rows in lanes",
    pack: |weights, cpu| KERNEL.pack(&VARIANT, weights, cpu),
};

static KERNEL: Kernel<NeonDotprod> = Kernel {
    pack: Pack::Ternary(pack),
    row_block: ROWS,
    multiply: compiled_for!(NeonDotprod, multiply),
    unpack_row: |packed, row, out| packed.unpack_row::<COLUMNS, BLOCK, _>(ROWS, row, out, weight),
};

/// Columns of a plane: a vector of activations.
const PLANE: usize = 16;
/// Columns of a block.
const COLUMNS: usize = DIGITS * PLANE;
/// Parts of a block: 32-bit lanes of a vector of activations.
const PARTS: usize = PLANE / STEP;
/// Bytes of a part.
const PART: usize = ROWS * STEP;
/// Bytes of a block.
const BLOCK: usize = PARTS * PART;
/// Columns that prefill unpacks at a time, whole blocks: 7.5 KiB of codes.
const CHUNK: usize = 6 * COLUMNS;
/// Decode: blocks after which the sum of `w * a` is taken. 256 times 128 for each of 512 * 80 columns is below 2^31.
const BLOCKS_PER_SUM: usize = 512;
/// How far ahead decode asks for weights, in bytes: about the latency of memory at its bandwidth.
const AHEAD: usize = 8 << 10;

fn pack(matrix: &TernaryMatrix) -> Result<Packed, PackError> {
    pack_blocks::<COLUMNS, BLOCK>(matrix, ROWS, |rows, block| {
        for (index, byte) in block.iter_mut().enumerate() {
            let (part, row, b) = (index / PART, index % PART / STEP, index % STEP);
            let columns = rows.row::<COLUMNS>(row);
            let code = base3::encode(std::array::from_fn(|plane| {
                columns[plane * PLANE + part * STEP + b]
            }));
            *byte = code ^ SIGN;
        }
    })
}

/// A weight of a block.
fn weight(block: &[u8; BLOCK], row: usize, column: usize) -> i8 {
    let (plane, part, b) = (column / PLANE, column % PLANE / STEP, column % STEP);
    base3::decode(block[part * PART + row * STEP + b] ^ SIGN, plane)
}

#[target_feature(enable = "neon,dotprod")]
fn multiply(_: NeonDotprod, packed: &Packed, activations: &Activations, out: &mut Tile<'_>) {
    panels::multiply::<ROWS, BYTES, COLUMNS, BLOCK, CHUNK, TOKENS, 1>(
        packed,
        activations,
        out,
        |panel, values, _| dot(panel, values),
        |blocks, codes| unpack(blocks, codes),
        |codes, values, sums| tile(codes, values, sums),
    );
}

/// Sums of `w * a` over the rows of a panel.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn dot(panel: &[[u8; BLOCK]], values: &[i8]) -> [i32; ROWS] {
    let values = &values.as_chunks::<COLUMNS>().0[..panel.len()];
    let mut totals = [vdupq_n_s32(0); VECTORS];
    for from in (0..panel.len()).step_by(BLOCKS_PER_SUM) {
        let to = panel.len().min(from + BLOCKS_PER_SUM);
        let mut sums = [vdupq_n_s32(0); VECTORS];
        let mut sums_of_next = [vdupq_n_s32(0); VECTORS];
        for (block, values) in panel[from..to].iter().zip(&values[from..to]) {
            let (values, _) = values.as_chunks::<PLANE>();
            let mut a = [vdupq_n_s8(0); DIGITS];
            for plane in 0..DIGITS {
                a[plane] = load_i8x16(&values[plane]);
            }
            let (parts, _) = block.as_chunks::<PART>();
            add_part::<0>(&parts[0], a, &mut sums, &mut sums_of_next);
            add_part::<1>(&parts[1], a, &mut sums, &mut sums_of_next);
            add_part::<2>(&parts[2], a, &mut sums, &mut sums_of_next);
            add_part::<3>(&parts[3], a, &mut sums, &mut sums_of_next);
        }
        for vector in 0..VECTORS {
            let scaled = vsubq_s32(vmulq_n_s32(sums[vector], 3), sums_of_next[vector]);
            totals[vector] = vsraq_n_s32::<8>(totals[vector], scaled);
        }
    }
    let mut result = [0; ROWS];
    let (vectors, _) = result.as_chunks_mut::<4>();
    for vector in 0..VECTORS {
        store_i32x4(&mut vectors[vector], totals[vector]);
    }
    result
}

/// Adds the products of the fractions of one part and those of the fractions that follow.
#[expect(
    clippy::needless_range_loop,
    reason = "a loop over a constant range is unrolled, an iterator over an array of vectors is not"
)]
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn add_part<const K: usize>(
    part: &[u8; PART],
    a: [int8x16_t; DIGITS],
    sums: &mut [int32x4_t; VECTORS],
    sums_of_next: &mut [int32x4_t; VECTORS],
) {
    prefetch(part, AHEAD);
    let (vectors, _) = part.as_chunks::<16>();
    for vector in 0..VECTORS {
        let mut s = vreinterpretq_s8_u8(load_u8x16(&vectors[vector]));
        for plane in 0..DIGITS {
            sums[vector] = sdot_lane::<K>(sums[vector], s, a[plane]);
            s = triple_i8x16(s);
            sums_of_next[vector] = sdot_lane::<K>(sums_of_next[vector], s, a[plane]);
        }
    }
}

/// Writes `w + 1` of the columns of some blocks.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn unpack(blocks: &[[u8; BLOCK]], codes: &mut [Codes<BYTES>]) {
    let one = vdupq_n_s8(1);
    let (blocks_of_steps, _) = codes.as_chunks_mut::<{ COLUMNS / STEP }>();
    for (block, steps) in blocks.iter().zip(blocks_of_steps) {
        let (parts, _) = block.as_chunks::<PART>();
        for k in 0..PARTS {
            let (vectors, _) = parts[k].as_chunks::<16>();
            for vector in 0..VECTORS {
                let mut s = vreinterpretq_s8_u8(load_u8x16(&vectors[vector]));
                for plane in 0..DIGITS {
                    let code = vreinterpretq_u8_s8(vaddq_s8(first_digits(s), one));
                    let (codes, _) = steps[plane * PARTS + k].as_chunks_mut::<16>();
                    store_u8x16(&mut codes[vector], code);
                    s = triple_i8x16(s);
                }
            }
        }
    }
}
