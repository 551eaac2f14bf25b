//! Loops of the look-up kernels of Advanced SIMD, which TL1 and TL2 share.
//!
//! A group of columns (two or three) has a table of sums of its activations; the weights of a row are an index into it. `tbl`
//! looks up 16 rows at once in a table of 16 bytes, so an exact sum is split in two small numbers, `low + radix * high`, each
//! looked up and added on its own: in bytes over a block, whose sums just fit, then in 16 bits over a chunk, then in 32.
//!
//! Tables are made for a chunk of columns at a time, and all rows pass before the next chunk: the tables of a token stay in the
//! first-level cache, those of a block of tokens in the second. One token goes the same way as many.

use crate::activations::Activations;
use crate::cpu::aarch64::{load_i32x4, store_i32x4};
use crate::grid::Tile;
use crate::kernels::Packed;
use std::arch::aarch64::*;
use std::ops::Range;

/// Rows of a panel: two vectors of bytes.
pub(crate) const ROWS: usize = 32;
/// Vectors of a panel.
pub(crate) const VECTORS: usize = ROWS / 16;
/// Groups of columns of a block. Eight entries of at most 15 (signed) or 31 (unsigned) add up in a byte.
pub(crate) const GROUPS: usize = 8;
/// Blocks of a chunk: 8 KiB of tables.
const CHUNK: usize = 32;
/// Tokens whose tables are made together: 128 KiB.
const TOKENS: usize = 16;

/// The table of a group of columns: low and high part of 16 sums.
pub(crate) type Table = [[u8; 16]; 2];

/// The tables of a block.
pub(crate) type Tables = [Table; GROUPS];

/// Multiplies the rows by the tokens of `out`. `COLUMNS` are those of a block. `fill(values, tables)` makes the tables of a
/// block; `look_up(panel, blocks, tables, sums)` adds the sums of `w * a` over some blocks of a panel.
#[inline(always)]
pub(crate) fn multiply<const COLUMNS: usize>(
    packed: &Packed,
    activations: &Activations,
    out: &mut Tile<'_>,
    mut fill: impl FnMut(&[i8; COLUMNS], &mut Tables),
    mut look_up: impl FnMut(usize, Range<usize>, &[Tables], &mut [i32; ROWS]),
) {
    let (rows, tokens) = (out.cols(), out.tokens());
    debug_assert!(rows.start.is_multiple_of(ROWS), "stripes start on a panel");
    let blocks = packed.cols.div_ceil(COLUMNS);
    let panels = rows.len().div_ceil(ROWS);
    let block_tokens = TOKENS.min(tokens.len());
    let mut tables = vec![[[[0; 16]; 2]; GROUPS]; block_tokens * CHUNK.min(blocks)];
    let mut sums = vec![[0i32; ROWS]; panels * block_tokens];
    for first in tokens.clone().step_by(TOKENS) {
        let block_tokens = first..tokens.end.min(first + TOKENS);
        sums.fill([0; ROWS]);
        for from in (0..blocks).step_by(CHUNK) {
            let chunk = from..blocks.min(from + CHUNK);
            for (token, tables) in block_tokens.clone().zip(tables.chunks_mut(chunk.len())) {
                let values = activations.int8(token).as_chunks::<COLUMNS>().0;
                for (values, tables) in values[chunk.clone()].iter().zip(tables) {
                    fill(values, tables);
                }
            }
            for (panel, sums) in sums.chunks_mut(block_tokens.len()).take(panels).enumerate() {
                for (tables, sums) in tables.chunks(chunk.len()).zip(sums) {
                    look_up(rows.start / ROWS + panel, chunk.clone(), tables, sums);
                }
            }
        }
        for (panel, sums) in sums.chunks(block_tokens.len()).take(panels).enumerate() {
            for (token, sums) in block_tokens.clone().zip(sums) {
                for (out, sum) in out.token(token)[panel * ROWS..].iter_mut().zip(sums) {
                    *out = activations.rescale(token, *sum, packed.scale);
                }
            }
        }
    }
}

/// Sums of 16 rows in 16 bits, of the low and of the high parts: rows 0 to 7, rows 8 to 15.
#[derive(Clone, Copy)]
pub(crate) struct Words {
    low: [int16x8_t; 2],
    high: [int16x8_t; 2],
}

impl Words {
    /// Zeros.
    #[inline]
    #[target_feature(enable = "neon")]
    pub(crate) fn zero() -> Words {
        Words {
            low: [vdupq_n_s16(0); 2],
            high: [vdupq_n_s16(0); 2],
        }
    }

    /// Adds sums of low parts.
    #[inline]
    #[target_feature(enable = "neon")]
    pub(crate) fn add_low(&mut self, bytes: int8x16_t) {
        self.low[0] = vaddw_s8(self.low[0], vget_low_s8(bytes));
        self.low[1] = vaddw_high_s8(self.low[1], bytes);
    }

    /// Adds sums of low parts that are never negative.
    #[inline]
    #[target_feature(enable = "neon")]
    pub(crate) fn add_low_unsigned(&mut self, bytes: uint8x16_t) {
        let [first, second] = self.low.map(|words| vreinterpretq_u16_s16(words));
        self.low[0] = vreinterpretq_s16_u16(vaddw_u8(first, vget_low_u8(bytes)));
        self.low[1] = vreinterpretq_s16_u16(vaddw_high_u8(second, bytes));
    }

    /// Adds sums of high parts.
    #[inline]
    #[target_feature(enable = "neon")]
    pub(crate) fn add_high(&mut self, bytes: int8x16_t) {
        self.high[0] = vaddw_s8(self.high[0], vget_low_s8(bytes));
        self.high[1] = vaddw_high_s8(self.high[1], bytes);
    }

    /// Adds `low + radix * high` to the sums of the rows.
    #[inline]
    #[target_feature(enable = "neon")]
    pub(crate) fn add_to(self, sums: &mut [i32], radix: i16) {
        let (vectors, _) = sums.as_chunks_mut::<4>();
        for (half, sums) in vectors.as_chunks_mut::<2>().0.iter_mut().enumerate() {
            let (low, high) = (self.low[half], self.high[half]);
            let first = vaddw_s16(load_i32x4(&sums[0]), vget_low_s16(low));
            let second = vaddw_high_s16(load_i32x4(&sums[1]), low);
            store_i32x4(&mut sums[0], vmlal_n_s16(first, vget_low_s16(high), radix));
            store_i32x4(&mut sums[1], vmlal_high_n_s16(second, high, radix));
        }
    }
}
