//! Two-bit ternary weights times int8 activations with plain Advanced SIMD (`smlal`).
//!
//! Layout: panels of four rows, blocks of 64 columns. A block holds 16 bytes of each of the four rows, and a byte is `w + 1`
//! of four planes of 16 columns.
//!
//! ```text
//! panel, block k       | row 0: 16 bytes | row 1 | row 2 | row 3 |     64 bytes
//! byte b of a row      bit 7 6 | 5 4 | 3 2 | 1 0
//!                      w`[48+b]` | w`[32+b]` | w`[16+b]` | w`[b]`
//! ```
//!
//! Without dot products the multiplication of bytes to 16 bits is the bottleneck, one for eight weights: columns lie in lanes
//! because that needs no broadcast, four activation vectors serve the four rows, and products are summed in 16 bits as they
//! are made. The sum of `(w + 1) * a` less the sum of `a` is the sum of `w * a`.

use super::matrix::{Kernel, Pack, compiled_for};
use super::{Agreement, Family, KernelVariant, PackError, Packed};
use crate::activations::Activations;
use crate::cpu::Neon;
use crate::cpu::aarch64::{
    load_i8x16, load_u8x16, prefetch, smlal_high, smlal_low, store_i32x4, store_u8x16,
};
use crate::grid::Tile;
use crate::panels::blocks::pack_blocks;
use crate::panels::neon::{BYTES, MOST_COLUMNS, ROWS, TOKENS, WIDE, sum_lanes, tile};
use crate::panels::{self, Codes};
use crate::weights::TernaryMatrix;
use std::arch::aarch64::*;

pub(super) static VARIANT: KernelVariant = KernelVariant {
    name: "i2s-neon",
    family: Family::I2s,
    requires: Neon::FEATURES,
    bits_per_weight: 2.0,
    agreement: Agreement::Exact,
    about: "Advanced SIMD byte multiply-add, four rows interleaved, 16-bit partial sums",
    pack: |weights, cpu| KERNEL.pack(&VARIANT, weights, cpu),
};

static KERNEL: Kernel<Neon> = Kernel {
    pack: Pack::Ternary(pack),
    row_block: ROWS,
    multiply: compiled_for!(Neon, multiply),
    unpack_row: |packed, row, out| packed.unpack_row::<COLUMNS, BLOCK, _>(ROWS, row, out, weight),
};

/// Columns of a plane.
const PLANE: usize = panels::neon::COLUMNS;
/// Columns of a block.
const COLUMNS: usize = 4 * PLANE;
/// Bytes of a block.
const BLOCK: usize = ROWS * COLUMNS / 4;
/// Decode: blocks whose sums fit in 16 bits. A lane gets eight products of a block, each at most 2 * 128 in size, and only the
/// negative side can reach the 16 * 2048 = 32768.
const BLOCKS_PER_SUM: usize = 16;
/// How far ahead decode asks for weights, in bytes: about the latency of memory at its bandwidth.
const AHEAD: usize = 8 << 10;

fn pack(matrix: &TernaryMatrix) -> Result<Packed, PackError> {
    pack_blocks::<COLUMNS, BLOCK>(matrix, ROWS, |rows, block| {
        for (index, byte) in block.iter_mut().enumerate() {
            let (row, b) = (index / PLANE, index % PLANE);
            let columns = rows.row::<COLUMNS>(row);
            let code =
                |plane: usize| (columns[plane * PLANE + b] + 1).cast_unsigned() << (2 * plane);
            *byte = code(0) | code(1) | code(2) | code(3);
        }
    })
}

/// A weight of a block.
fn weight(block: &[u8; BLOCK], row: usize, column: usize) -> i8 {
    let byte = block[row * PLANE + column % PLANE];
    (byte >> (2 * (column / PLANE)) & 3).cast_signed() - 1
}

#[target_feature(enable = "neon")]
fn multiply(_: Neon, packed: &Packed, activations: &Activations, out: &mut Tile<'_>) {
    panels::multiply::<ROWS, BYTES, COLUMNS, BLOCK, MOST_COLUMNS, TOKENS, WIDE>(
        packed,
        activations,
        out,
        |panel, values, sum| dot(panel, values, sum),
        |blocks, codes| unpack(blocks, codes),
        |codes, values, sums| tile(codes, values, sums),
    );
}

/// Sums of `w * a` over the rows of a panel.
#[inline]
#[target_feature(enable = "neon")]
fn dot(panel: &[[u8; BLOCK]], values: &[i8], sum: i32) -> [i32; ROWS] {
    let values = &values.as_chunks::<COLUMNS>().0[..panel.len()];
    let mut totals = [vdupq_n_s32(0); ROWS];
    for from in (0..panel.len()).step_by(BLOCKS_PER_SUM) {
        let to = panel.len().min(from + BLOCKS_PER_SUM);
        let mut words = [vdupq_n_s16(0); ROWS];
        for (block, values) in panel[from..to].iter().zip(&values[from..to]) {
            prefetch(block, AHEAD);
            let (values, _) = values.as_chunks::<PLANE>();
            let a = [
                load_i8x16(&values[0]),
                load_i8x16(&values[1]),
                load_i8x16(&values[2]),
                load_i8x16(&values[3]),
            ];
            let (rows, _) = block.as_chunks::<PLANE>();
            for row in 0..ROWS {
                let planes = planes(load_u8x16(&rows[row]));
                for plane in 0..4 {
                    let (w, a) = (vreinterpretq_s8_u8(planes[plane]), a[plane]);
                    words[row] = smlal_low(words[row], w, a);
                    words[row] = smlal_high(words[row], w, a);
                }
            }
        }
        for row in 0..ROWS {
            totals[row] = vpadalq_s16(totals[row], words[row]);
        }
    }
    let mut result = [0; ROWS];
    let total = vsubq_s32(sum_lanes(totals), vdupq_n_s32(sum));
    store_i32x4(&mut result, total);
    result
}

/// `w + 1` of the four planes.
#[inline]
#[target_feature(enable = "neon")]
fn planes(bytes: uint8x16_t) -> [uint8x16_t; 4] {
    let low = vdupq_n_u8(0x03);
    [
        vandq_u8(bytes, low),
        vandq_u8(vshrq_n_u8::<2>(bytes), low),
        vandq_u8(vshrq_n_u8::<4>(bytes), low),
        vshrq_n_u8::<6>(bytes),
    ]
}

/// Writes `w + 1` of the columns of some blocks.
#[inline]
#[target_feature(enable = "neon")]
fn unpack(blocks: &[[u8; BLOCK]], codes: &mut [Codes<BYTES>]) {
    let (planes_of_rows, _) = codes.as_chunks_mut::<ROWS>();
    for (block, codes) in blocks.iter().zip(planes_of_rows.as_chunks_mut::<4>().0) {
        for (row, bytes) in block.as_chunks::<PLANE>().0.iter().enumerate() {
            for (codes, plane) in codes.iter_mut().zip(planes(load_u8x16(bytes))) {
                store_u8x16(&mut codes[row], plane);
            }
        }
    }
}
