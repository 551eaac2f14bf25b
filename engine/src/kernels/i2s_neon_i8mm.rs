//! Two-bit ternary weights times int8 activations with ARM's int8 matrix multiplication (`smmla`).
//!
//! Layout and decode are those of i2s-neon-dotprod: with one token, half of each `smmla` would be idle. Prefill unpacks to two
//! rows of eight columns in a vector, the operand of `smmla`, by zipping the lanes of two planes.
//!
//! ```text
//! planes 0, 1          | r0 c0-3 | r1 c0-3 | r2 c0-3 | r3 c0-3 |     | r0 c4-7 | r1 c4-7 | r2 c4-7 | r3 c4-7 |
//! codes                | r0 c0-7 | r1 c0-7 |     | r2 c0-7 | r3 c0-7 |
//! ```

use super::i2s_neon_dotprod::{BLOCK, dot, split};
use super::matrix::{Kernel, Pack, compiled_for};
use super::{Agreement, Family, KernelVariant, Packed};
use crate::activations::Activations;
use crate::cpu::NeonI8mm;
use crate::cpu::aarch64::store_u8x16;
use crate::grid::Tile;
use crate::panels::neon_i8mm::{BYTES, ROWS, TOKENS, WIDE, tile};
use crate::panels::planes::{self, COLUMNS};
use crate::panels::{self, Codes};
use std::arch::aarch64::*;

pub(super) static VARIANT: KernelVariant = KernelVariant {
    name: "i2s-neon-i8mm",
    family: Family::I2s,
    requires: NeonI8mm::FEATURES,
    bits_per_weight: 2.0,
    agreement: Agreement::Exact,
    about: "int8 matrix multiplication in prefill, dot products by element in decode",
    pack: |weights, cpu| KERNEL.pack(&VARIANT, weights, cpu),
};

static KERNEL: Kernel<NeonI8mm> = Kernel {
    pack: Pack::Ternary(planes::pack::<BLOCK>),
    row_block: ROWS,
    multiply: compiled_for!(NeonI8mm, multiply),
    unpack_row: planes::unpack_row::<BLOCK>,
};

/// Columns that prefill unpacks at a time: 16 KiB of codes, a quarter of the first-level cache of the CPUs that have `smmla`.
const CHUNK: usize = 1024;

#[target_feature(enable = "neon,dotprod,i8mm")]
fn multiply(_: NeonI8mm, packed: &Packed, activations: &Activations, out: &mut Tile<'_>) {
    panels::multiply::<ROWS, BYTES, COLUMNS, BLOCK, CHUNK, TOKENS, WIDE>(
        packed,
        activations,
        out,
        |panel, values, sum| dot(panel, values, sum),
        |blocks, codes| unpack(blocks, codes),
        |codes, values, sums| tile(codes, values, sums),
    );
}

/// Writes `w + 1` of the columns of some blocks: two steps of codes are eight vectors of two rows by eight columns.
#[inline]
#[target_feature(enable = "neon,dotprod,i8mm")]
fn unpack(blocks: &[[u8; BLOCK]], codes: &mut [Codes<BYTES>]) {
    for (block, steps) in blocks.iter().zip(codes.as_chunks_mut::<4>().0) {
        let (vectors, _) = block.as_chunks::<16>();
        let (halves, _) = steps.as_chunks_mut::<WIDE>();
        for (vector, bytes) in vectors.iter().enumerate() {
            let [p0, p1, p2, p3] = split(bytes);
            write_pairs(&mut halves[0], vector, p0, p1);
            write_pairs(&mut halves[1], vector, p2, p3);
        }
    }
}

/// Writes four rows of two planes as two pairs of rows.
#[inline]
#[target_feature(enable = "neon,dotprod,i8mm")]
fn write_pairs(
    codes: &mut [Codes<BYTES>; WIDE],
    vector: usize,
    first: uint8x16_t,
    second: uint8x16_t,
) {
    let (first, second) = (vreinterpretq_u32_u8(first), vreinterpretq_u32_u8(second));
    let (pairs, _) = codes.as_flattened_mut().as_chunks_mut::<16>();
    let low = vreinterpretq_u8_u32(vzip1q_u32(first, second));
    let high = vreinterpretq_u8_u32(vzip2q_u32(first, second));
    store_u8x16(&mut pairs[2 * vector], low);
    store_u8x16(&mut pairs[2 * vector + 1], high);
}
