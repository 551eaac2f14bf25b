//! Ternary weights by look-up, three to a sign and a 4-bit index (TL2 of bitnet.cpp, arXiv 2502.11880), with Advanced SIMD
//! (`tbl`): 1.67 bits a weight.
//!
//! Three weights are a number `n = 9 w0 + 3 w1 + w2` of -13 to 13. The index is its size, the sign a bit.
//!
//! Layout: panels of 32 rows, blocks of 24 columns, which are eight triples. A byte belongs to a row and holds the eight signs of
//! the block or the indices of two triples.
//!
//! ```text
//! panel, block k       | signs: rows 0-15 | rows 16-31 | triples 0, 1: rows 0-15 | rows 16-31 | ... triples 6, 7 |   160 bytes
//! byte of signs        bit t: triple t is negative
//! byte of indices      bits 3-0: index of the even triple, bits 7-4: of the odd one
//! ```
//!
//! A sum of three activations is -384 to 384. It is kept as `low + 28 * high`, both of -14 to 14: eight of either sign add up in a
//! byte. The sign is 1 or -1, and a multiply-add of bytes applies it while it adds.

use super::matrix::{Kernel, Pack, compiled_for};
use super::{Agreement, Family, KernelVariant, PackError, Packed};
use crate::activations::Activations;
use crate::cpu::Neon;
use crate::cpu::aarch64::{cmtst, load_i16x8, load_u8x16, prefetch, store_u8x16};
use crate::grid::Tile;
use crate::panels::blocks::pack_blocks;
use crate::panels::neon_lut;
use crate::panels::neon_lut::{GROUPS, ROWS, Table, Tables, VECTORS, Words};
use crate::weights::TernaryMatrix;
use std::arch::aarch64::*;

pub(super) static VARIANT: KernelVariant = KernelVariant {
    name: "tl2-neon",
    family: Family::Tl2,
    requires: Neon::FEATURES,
    bits_per_weight: 5.0 / 3.0,
    agreement: Agreement::Exact,
    about: "byte table look-ups with signs apart, exact sums in two halves, 32 rows in lanes",
    pack: |weights, cpu| KERNEL.pack(&VARIANT, weights, cpu),
};

static KERNEL: Kernel<Neon> = Kernel {
    pack: Pack::Ternary(pack),
    row_block: ROWS,
    multiply: compiled_for!(Neon, multiply),
    unpack_row: |packed, row, out| packed.unpack_row::<COLUMNS, BLOCK, _>(ROWS, row, out, weight),
};

/// Columns of a group.
const TRIPLE: usize = 3;
/// Columns of a block.
const COLUMNS: usize = GROUPS * TRIPLE;
/// Bytes of a block: signs, then indices.
const BLOCK: usize = ROWS + ROWS * GROUPS / 2;
/// What the high half of a sum counts.
const RADIX: i16 = 28;
/// 2^15 / 28: a rounding high multiplication by it divides by 28, and what is left of -384 to 384 is -14 to 14.
const RECIPROCAL: i16 = 1170;

fn pack(matrix: &TernaryMatrix) -> Result<Packed, PackError> {
    pack_blocks::<COLUMNS, BLOCK>(matrix, ROWS, |rows, block| {
        for row in 0..ROWS {
            let columns = rows.row::<COLUMNS>(row);
            for (t, w) in columns.as_chunks::<TRIPLE>().0.iter().enumerate() {
                let n = 9 * w[0] + 3 * w[1] + w[2];
                block[row] |= u8::from(n < 0) << t;
                block[(1 + t / 2) * ROWS + row] |= n.unsigned_abs() << (4 * (t % 2));
            }
        }
    })
}

/// A weight of a block.
fn weight(block: &[u8; BLOCK], row: usize, column: usize) -> i8 {
    let (t, place) = (column / TRIPLE, column % TRIPLE);
    let size = (block[(1 + t / 2) * ROWS + row] >> (4 * (t % 2)) & 15).cast_signed();
    let negative = block[row] >> t & 1 == 1;
    let codes = if negative { 13 - size } else { 13 + size };
    [codes / 9, codes / 3 % 3, codes % 3][place] - 1
}

#[target_feature(enable = "neon")]
fn multiply(_: Neon, packed: &Packed, activations: &Activations, out: &mut Tile<'_>) {
    let stride = packed.cols.div_ceil(COLUMNS) * BLOCK;
    neon_lut::multiply::<COLUMNS>(
        packed,
        activations,
        out,
        |values, tables| fill(values, tables),
        |panel, blocks, tables, sums| {
            look_up(
                &packed.blocks::<COLUMNS, BLOCK>(panel)[blocks],
                stride,
                tables,
                sums,
            )
        },
    );
}

/// Makes the tables of a block.
#[inline]
#[target_feature(enable = "neon")]
fn fill(values: &[i8; COLUMNS], tables: &mut Tables) {
    // The weights of the indices 0 to 15, the last two unused.
    const WEIGHTS: [[[i16; 8]; 2]; TRIPLE] = [
        [[0, 0, 0, 0, 0, 1, 1, 1], [1, 1, 1, 1, 1, 1, 0, 0]],
        [[0, 0, 1, 1, 1, -1, -1, -1], [0, 0, 0, 1, 1, 1, 0, 0]],
        [[0, 1, -1, 0, 1, -1, 0, 1], [-1, 0, 1, -1, 0, 1, 0, 0]],
    ];
    let weights = WEIGHTS.map(|halves| halves.map(|half| load_i16x8(&half)));
    for (a, [low, high]) in values.as_chunks::<TRIPLE>().0.iter().zip(tables) {
        let a = [i16::from(a[0]), i16::from(a[1]), i16::from(a[2])];
        let mut lows = [vdupq_n_s8(0); 2];
        let mut highs = [vdupq_n_s8(0); 2];
        for half in 0..2 {
            let sum = vmulq_n_s16(weights[0][half], a[0]);
            let sum = vmlaq_n_s16(sum, weights[1][half], a[1]);
            let sum = vmlaq_n_s16(sum, weights[2][half], a[2]);
            let high = vqrdmulhq_n_s16(sum, RECIPROCAL);
            lows[half] = vreinterpretq_s8_s16(vmlsq_n_s16(sum, high, RADIX));
            highs[half] = vreinterpretq_s8_s16(high);
        }
        store_u8x16(low, vreinterpretq_u8_s8(vuzp1q_s8(lows[0], lows[1])));
        store_u8x16(high, vreinterpretq_u8_s8(vuzp1q_s8(highs[0], highs[1])));
    }
}

/// Adds the sums of `w * a` over some blocks of a panel; the next panel lies `stride` bytes on.
#[inline]
#[target_feature(enable = "neon")]
fn look_up(blocks: &[[u8; BLOCK]], stride: usize, tables: &[Tables], sums: &mut [i32; ROWS]) {
    let mut words = [Words::zero(); VECTORS];
    for (block, tables) in blocks.iter().zip(tables) {
        for line in [0, 64, 128] {
            prefetch(block, stride + line);
        }
        let (parts, _) = block.as_chunks::<ROWS>();
        let (signs, pairs) = (&parts[0], &parts[1..]);
        let mut low = [vdupq_n_s8(0); VECTORS];
        let mut high = [vdupq_n_s8(0); VECTORS];
        for j in 0..GROUPS / 2 {
            let even = load_table(&tables[2 * j]);
            let odd = load_table(&tables[2 * j + 1]);
            for vector in 0..VECTORS {
                let signs = load_u8x16(&signs.as_chunks::<16>().0[vector]);
                let bytes = load_u8x16(&pairs[j].as_chunks::<16>().0[vector]);
                let sums = (&mut low[vector], &mut high[vector]);
                let index = vandq_u8(bytes, vdupq_n_u8(0x0f));
                add(sums, even, index, signs, 1 << (2 * j));
                let sums = (&mut low[vector], &mut high[vector]);
                add(sums, odd, vshrq_n_u8::<4>(bytes), signs, 2 << (2 * j));
            }
        }
        for vector in 0..VECTORS {
            words[vector].add_low(low[vector]);
            words[vector].add_high(high[vector]);
        }
    }
    for (words, sums) in words.into_iter().zip(sums.as_chunks_mut::<16>().0) {
        words.add_to(sums, RADIX);
    }
}

#[inline]
#[target_feature(enable = "neon")]
fn load_table(table: &Table) -> [int8x16_t; 2] {
    [
        vreinterpretq_s8_u8(load_u8x16(&table[0])),
        vreinterpretq_s8_u8(load_u8x16(&table[1])),
    ]
}

/// Adds the entries of one triple to the low and high sums, less where the bit of `signs` is set.
#[inline]
#[target_feature(enable = "neon")]
fn add(
    (low, high): (&mut int8x16_t, &mut int8x16_t),
    table: [int8x16_t; 2],
    index: uint8x16_t,
    signs: uint8x16_t,
    bit: u8,
) {
    let negative = cmtst(signs, vdupq_n_u8(bit));
    let sign = vorrq_s8(negative, vdupq_n_s8(1));
    *low = vmlaq_s8(*low, vqtbl1q_s8(table[0], index), sign);
    *high = vmlaq_s8(*high, vqtbl1q_s8(table[1], index), sign);
}
