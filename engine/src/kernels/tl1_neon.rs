//! Ternary weights by look-up, two to a 4-bit index (TL1 of bitnet.cpp, arXiv 2502.11880), with Advanced SIMD (`tbl`).
//!
//! Layout: panels of 32 rows, blocks of 16 columns, which are eight pairs. A byte belongs to a row and holds the indices of two
//! pairs; an index is `3 (w0 + 1) + (w1 + 1)`, 0 to 8.
//!
//! ```text
//! panel, block k       | pairs 0, 1: rows 0-15 | rows 16-31 | pairs 2, 3: ... | pairs 6, 7: ... |     128 bytes
//! byte of a row        bits 3-0: index of the even pair, bits 7-4: of the odd one
//! ```
//!
//! A sum of two activations is -256 to 256. It is kept as `low + 32 * high` with `low` of 0 to 31 and `high` of -8 to 8: eight of
//! them add up in a byte, so one look-up and one addition for each half serve 32 weights.

use super::matrix::{Kernel, Pack, compiled_for};
use super::{Agreement, Family, KernelVariant, PackError, Packed};
use crate::activations::Activations;
use crate::cpu::Neon;
use crate::cpu::aarch64::{load_i16x8, load_u8x16, prefetch, store_u8x16};
use crate::grid::Tile;
use crate::panels::blocks::pack_blocks;
use crate::panels::neon_lut;
use crate::panels::neon_lut::{GROUPS, ROWS, Tables, VECTORS, Words};
use crate::weights::TernaryMatrix;
use std::arch::aarch64::*;

pub(super) static VARIANT: KernelVariant = KernelVariant {
    name: "tl1-neon",
    family: Family::Tl1,
    requires: Neon::FEATURES,
    bits_per_weight: 2.0,
    agreement: Agreement::Exact,
    about: "byte table look-ups, exact sums in two halves, 32 rows in lanes",
    pack: |weights, cpu| KERNEL.pack(&VARIANT, weights, cpu),
};

static KERNEL: Kernel<Neon> = Kernel {
    pack: Pack::Ternary(pack),
    row_block: ROWS,
    multiply: compiled_for!(Neon, multiply),
    unpack_row: |packed, row, out| packed.unpack_row::<COLUMNS, BLOCK, _>(ROWS, row, out, weight),
};

/// Columns of a group.
const PAIR: usize = 2;
/// Columns of a block.
const COLUMNS: usize = GROUPS * PAIR;
/// Bytes of a block.
const BLOCK: usize = ROWS * GROUPS / 2;
/// What the high half of a sum counts.
const RADIX: i16 = 32;

fn pack(matrix: &TernaryMatrix) -> Result<Packed, PackError> {
    pack_blocks::<COLUMNS, BLOCK>(matrix, ROWS, |rows, block| {
        for (index, byte) in block.iter_mut().enumerate() {
            let (pairs, row) = (index / ROWS, index % ROWS);
            let columns = &rows.row::<COLUMNS>(row)[pairs * 2 * PAIR..];
            let code = |pair: usize| 3 * (columns[pair * PAIR] + 1) + columns[pair * PAIR + 1] + 1;
            *byte = (code(0) | code(1) << 4).cast_unsigned();
        }
    })
}

/// A weight of a block.
fn weight(block: &[u8; BLOCK], row: usize, column: usize) -> i8 {
    let (pair, place) = (column / PAIR, column % PAIR);
    let index = block[pair / 2 * ROWS + row] >> (4 * (pair % 2)) & 15;
    let code = if place == 0 { index / 3 } else { index % 3 };
    code.cast_signed() - 1
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
    // The weights of the indices 0 to 7 and 8, the rest unused.
    let first = load_i16x8(&[-1, -1, -1, 0, 0, 0, 1, 1]);
    let second = load_i16x8(&[-1, 0, 1, -1, 0, 1, -1, 0]);
    let last = load_i16x8(&[1, 0, 0, 0, 0, 0, 0, 0]);
    let mask = vdupq_n_u8(0x1f);
    for ([a0, a1], [low, high]) in values.as_chunks::<PAIR>().0.iter().zip(tables) {
        let (a0, a1) = (i16::from(*a0), i16::from(*a1));
        let sums = vmlaq_n_s16(vmulq_n_s16(first, a0), second, a1);
        let more = vmulq_n_s16(last, a0 + a1);
        let bytes = vuzp1q_u8(vreinterpretq_u8_s16(sums), vreinterpretq_u8_s16(more));
        store_u8x16(low, vandq_u8(bytes, mask));
        let bytes = vshrn_high_n_s16::<5>(vshrn_n_s16::<5>(sums), more);
        store_u8x16(high, vreinterpretq_u8_s8(bytes));
    }
}

/// Adds the sums of `w * a` over some blocks of a panel; the next panel lies `stride` bytes on.
#[inline]
#[target_feature(enable = "neon")]
fn look_up(blocks: &[[u8; BLOCK]], stride: usize, tables: &[Tables], sums: &mut [i32; ROWS]) {
    let nibble = vdupq_n_u8(0x0f);
    let mut words = [Words::zero(); VECTORS];
    for (block, tables) in blocks.iter().zip(tables) {
        prefetch(block, stride);
        prefetch(block, stride + 64);
        let mut low = [vdupq_n_u8(0); VECTORS];
        let mut high = [vdupq_n_u8(0); VECTORS];
        let (pairs, _) = block.as_chunks::<ROWS>();
        for j in 0..GROUPS / 2 {
            let (vectors, _) = pairs[j].as_chunks::<16>();
            let ([even_low, even_high], [odd_low, odd_high]) = (&tables[2 * j], &tables[2 * j + 1]);
            let even = [load_u8x16(even_low), load_u8x16(even_high)];
            let odd = [load_u8x16(odd_low), load_u8x16(odd_high)];
            for vector in 0..VECTORS {
                let bytes = load_u8x16(&vectors[vector]);
                let index = vandq_u8(bytes, nibble);
                low[vector] = vaddq_u8(low[vector], vqtbl1q_u8(even[0], index));
                high[vector] = vaddq_u8(high[vector], vqtbl1q_u8(even[1], index));
                let index = vshrq_n_u8::<4>(bytes);
                low[vector] = vaddq_u8(low[vector], vqtbl1q_u8(odd[0], index));
                high[vector] = vaddq_u8(high[vector], vqtbl1q_u8(odd[1], index));
            }
        }
        for vector in 0..VECTORS {
            words[vector].add_low_unsigned(low[vector]);
            words[vector].add_high(vreinterpretq_s8_u8(high[vector]));
        }
    }
    for (words, sums) in words.into_iter().zip(sums.as_chunks_mut::<16>().0) {
        words.add_to(sums, RADIX);
    }
}
