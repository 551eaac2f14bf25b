//! Decode by look-up with AVX2 (`vpshufb`): 32 rows at a time, sums of 16 bits as two digits in bytes.
//!
//! A table holds the sums of the activations of a group of columns under 16 patterns of weights, and an index of a row picks
//! one. Such a sum has ten bits, so it is kept as two signed digits to the base of [`BASE`], `low + 31 * high`, in a table of
//! bytes each. Either digit is at most 15 in size: eight of them add up within a byte, and only then are the bytes widened.
//! Widening at each look-up, as `vpunpcklbw` would, costs twice the additions and two shuffles more.
//!
//! A panel is 64 rows, two halves of 32, so that a thread that streams panels reads each table from the second-level cache
//! once for 64 rows. Byte `16 * l + 4 * r + i` of a vector of 32 bytes belongs to row `8 * r + 4 * l + i` of its half: from
//! that order, unpacking within 128-bit lanes leads to eight rows in order, in decode as in prefill.

use super::{Codes, STEP, decode, prefill};
use crate::activations::Activations;
use crate::cpu::x86_64::{
    broadcast_u8x16, load_i16x16, load_i32x8, load_u8x32, prefetch, store_i32x8, store_u8x32,
};
use crate::grid::Tile;
use crate::kernels::Packed;
use crate::panels::avx2::{BYTES, ROWS as TILE_ROWS, TOKENS, tile};
use crate::panels::lut::{ENTRIES, Patterns};
use std::arch::x86_64::*;

/// Rows of half a panel.
pub(crate) const HALF_ROWS: usize = 32;
/// Rows of a panel.
pub(crate) const ROWS: usize = 2 * HALF_ROWS;
/// Look-ups of a block: their digits add up within a byte, 8 * 15 = 120.
pub(crate) const LOOK_UPS: usize = 8;
/// Base of the digits. A sum of three activations is at most 384 in size, so the high digit is at most 12, and with an odd
/// base the low one is at most 15 on either side.
const BASE: i16 = 31;
/// What widening a block adds to the sum of a row: 128 to each digit, so that bytes are not negative.
const BLOCK_BIAS: i32 = 128 * (1 + BASE as i32);
/// Blocks whose bytes, each at most 255, add up to less than 2^15.
const BLOCKS_PER_SUM: usize = 128;
/// How far ahead decode asks for weights, in bytes: about the latency of memory at its bandwidth.
const AHEAD: usize = 8 << 10;

/// Low digits of the 16 sums of a group, then their high digits.
pub(crate) type Table = [u8; 32];

/// The row of half a panel that byte `position` of a vector belongs to.
pub(crate) const fn row_of(position: usize) -> usize {
    let (lane, byte) = (position / 16, position % 16);
    byte / 4 * 8 + lane * 4 + byte % 4
}

/// The half of a panel and the byte of a vector that hold `row` of a panel; the inverse of [`row_of`].
pub(crate) fn place_of(row: usize) -> (usize, usize) {
    let in_half = row % HALF_ROWS;
    let position = in_half % 8 / 4 * 16 + in_half / 8 * 4 + in_half % 4;
    (row / HALF_ROWS, position)
}

/// What each index stands for, plus `excess`, in bytes: a table for each column of a group.
pub(crate) const fn byte_patterns<const GROUP: usize>(
    patterns: &Patterns<GROUP>,
    excess: i16,
) -> [[u8; ENTRIES]; GROUP] {
    let mut bytes = [[0; ENTRIES]; GROUP];
    let mut column = 0;
    while column < GROUP {
        let mut index = 0;
        while index < ENTRIES {
            bytes[column][index] = (patterns[column][index] + excess).to_le_bytes()[0];
            index += 1;
        }
        column += 1;
    }
    bytes
}

/// Multiplies the rows of `out` by its tokens. A block is `COLUMNS` columns of a panel, half a block `HALF` bytes; `patterns` are
/// the weights that an index stands for. `look_up(half, tables)` gives the sums of half a block; `unpack(half)` gives `w + 1` of
/// its columns, a vector each, for prefill, which multiplies. `CHUNK` columns, whole blocks, are unpacked at a time.
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn multiply<
    const GROUP: usize,
    const COLUMNS: usize,
    const BLOCK: usize,
    const HALF: usize,
    const CHUNK: usize,
>(
    packed: &Packed,
    activations: &Activations,
    out: &mut Tile<'_>,
    patterns: &Patterns<GROUP>,
    look_up: impl Fn(&[u8; HALF], &[Table; LOOK_UPS]) -> Digits,
    unpack: impl Fn(&[u8; HALF]) -> [__m256i; COLUMNS],
) {
    const { assert!(COLUMNS == LOOK_UPS * GROUP && BLOCK == 2 * HALF) };
    const { assert!(CHUNK.is_multiple_of(COLUMNS)) };
    if out.tokens().len() == 1 {
        let values = activations.int8(out.tokens().start);
        let tables = tables(values, packed.cols.div_ceil(COLUMNS), patterns);
        decode(packed, activations, out, |panel| {
            dot(packed.blocks::<COLUMNS, BLOCK>(panel), &tables, &look_up)
        });
    } else {
        prefill::<TILE_ROWS, BYTES, 2, CHUNK, TOKENS, 1>(
            packed,
            packed.cols.next_multiple_of(COLUMNS),
            activations,
            out,
            |index, columns, codes| {
                let blocks = packed.blocks::<COLUMNS, BLOCK>(index / 2);
                let blocks = &blocks[columns.start / COLUMNS..columns.end / COLUMNS];
                let (first, second) = codes.split_at_mut(codes.len() / 2);
                let first = first.chunks_exact_mut(COLUMNS / STEP);
                let second = second.chunks_exact_mut(COLUMNS / STEP);
                for ((block, first), second) in blocks.iter().zip(first).zip(second) {
                    let columns = unpack(&block.as_chunks::<HALF>().0[index % 2]);
                    let (steps, _) = columns.as_chunks::<STEP>();
                    for ((columns, first), second) in steps.iter().zip(first).zip(second) {
                        store_step(columns, first, second);
                    }
                }
            },
            |codes, values, sums| tile(codes, values, sums),
        );
    }
}

/// The tables of one token for a matrix of `blocks` blocks of [`LOOK_UPS`] groups of `GROUP` columns.
#[inline]
#[target_feature(enable = "avx2")]
fn tables<const GROUP: usize>(
    values: &[i8],
    blocks: usize,
    patterns: &Patterns<GROUP>,
) -> Vec<[Table; LOOK_UPS]> {
    let patterns = patterns.each_ref().map(|pattern| load_i16x16(pattern));
    let (groups, _) = values.as_chunks::<GROUP>();
    let (groups, _) = groups.as_chunks::<LOOK_UPS>();
    groups[..blocks]
        .iter()
        .map(|groups| {
            let mut tables = [[0; 32]; LOOK_UPS];
            for (table, group) in tables.iter_mut().zip(groups) {
                let mut sums = _mm256_setzero_si256();
                for (value, pattern) in group.iter().zip(patterns) {
                    let value = _mm256_set1_epi16(i16::from(*value));
                    sums = _mm256_add_epi16(sums, _mm256_sign_epi16(value, pattern));
                }
                // The rounding quotient; 1057 / 2^15 is close enough to 1 / 31 for sums below 2^10.
                let high = _mm256_mulhrs_epi16(sums, _mm256_set1_epi16(1057));
                let low = _mm256_sub_epi16(sums, _mm256_mullo_epi16(high, _mm256_set1_epi16(BASE)));
                let digits = _mm256_packs_epi16(low, high);
                store_u8x32(table, _mm256_permute4x64_epi64::<0b11_01_10_00>(digits));
            }
            tables
        })
        .collect()
}

/// The sums of a half block: low digits, high digits.
#[derive(Clone, Copy)]
pub(crate) struct Digits([__m256i; 2]);

impl Digits {
    /// Sums of nothing.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(crate) fn zero() -> Self {
        Digits([_mm256_setzero_si256(); 2])
    }

    /// Adds what `indices` (0 to 15) pick from a table.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(crate) fn add(&mut self, table: &Table, indices: __m256i) {
        let (digits, _) = table.as_chunks::<16>();
        for (sum, digits) in self.0.iter_mut().zip(digits) {
            let picked = _mm256_shuffle_epi8(broadcast_u8x16(digits), indices);
            *sum = _mm256_add_epi8(*sum, picked);
        }
    }

    /// Adds what `indices` pick, negated where a byte of `signs` is negative; no byte of `signs` may be zero.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(crate) fn add_signed(&mut self, table: &Table, indices: __m256i, signs: __m256i) {
        let (digits, _) = table.as_chunks::<16>();
        for (sum, digits) in self.0.iter_mut().zip(digits) {
            let picked = _mm256_shuffle_epi8(broadcast_u8x16(digits), indices);
            *sum = _mm256_add_epi8(*sum, _mm256_sign_epi8(picked, signs));
        }
    }
}

/// The two indices in each byte of `nibbles`: the low ones, the high ones.
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn split_nibbles(nibbles: &[u8; 32]) -> [__m256i; 2] {
    let nibbles = load_u8x32(nibbles);
    let low = _mm256_set1_epi8(0x0f);
    [
        _mm256_and_si256(nibbles, low),
        _mm256_and_si256(_mm256_srli_epi16::<4>(nibbles), low),
    ]
}

/// Sums of `w * a` over the rows of a panel. `look_up` gives the sums of half a block: `HALF` bytes, of the `BLOCK` of both
/// halves.
#[inline]
#[target_feature(enable = "avx2")]
fn dot<const BLOCK: usize, const HALF: usize>(
    panel: &[[u8; BLOCK]],
    tables: &[[Table; LOOK_UPS]],
    look_up: impl Fn(&[u8; HALF], &[Table; LOOK_UPS]) -> Digits,
) -> [i32; ROWS] {
    const { assert!(BLOCK == 2 * HALF) };
    let mut totals =
        [-BLOCK_BIAS * i32::try_from(panel.len()).expect("a row fits in memory"); ROWS];
    let bias = _mm256_set1_epi8(i8::MIN);
    let (halves, _) = panel.as_flattened().as_chunks::<HALF>();
    for (halves, tables) in halves
        .chunks(2 * BLOCKS_PER_SUM)
        .zip(tables.chunks(BLOCKS_PER_SUM))
    {
        // For each half and digit: sums of pairs of neighbours as they lie in 16 bits, and of the upper neighbours alone.
        let mut words = [[[_mm256_setzero_si256(); 2]; 2]; 2];
        // One half at a time: in a loop over whole blocks the compiler would keep the tables of the first half for the
        // second, in stack slots.
        for (index, half) in halves.iter().enumerate() {
            for line in half.chunks(64) {
                prefetch(line, AHEAD);
            }
            let Digits(sums) = look_up(half, &tables[index / 2]);
            for (words, sums) in words[index % 2].iter_mut().zip(sums) {
                // Not negative from here on.
                let sums = _mm256_xor_si256(sums, bias);
                words[0] = _mm256_add_epi16(words[0], sums);
                words[1] = _mm256_add_epi16(words[1], _mm256_srli_epi16::<8>(sums));
            }
        }
        let (halves, _) = totals.as_chunks_mut::<HALF_ROWS>();
        for (totals, [low, high]) in halves.iter_mut().zip(words) {
            add_digits(totals, low, high);
        }
    }
    totals
}

/// Adds sums of digits, `[pairs, upper neighbours]` of low and high digits, to the sums of 32 rows.
#[inline]
#[target_feature(enable = "avx2")]
fn add_digits(totals: &mut [i32; HALF_ROWS], low: [__m256i; 2], high: [__m256i; 2]) {
    let base = _mm256_set1_epi32(1 | i32::from(BASE) << 16);
    // The lower neighbours of a pair are what the upper ones leave.
    let lower =
        |[pairs, upper]: [__m256i; 2]| _mm256_sub_epi16(pairs, _mm256_slli_epi16::<8>(upper));
    let values = |low, high| {
        [
            _mm256_madd_epi16(_mm256_unpacklo_epi16(low, high), base),
            _mm256_madd_epi16(_mm256_unpackhi_epi16(low, high), base),
        ]
    };
    let even = values(lower(low), lower(high));
    let odd = values(low[1], high[1]);
    let (eights, _) = totals.as_chunks_mut::<8>();
    for (index, totals) in eights.iter_mut().enumerate() {
        let (even, odd) = (even[index / 2], odd[index / 2]);
        let sums = if index % 2 == 0 {
            _mm256_unpacklo_epi32(even, odd)
        } else {
            _mm256_unpackhi_epi32(even, odd)
        };
        let total = _mm256_add_epi32(load_i32x8(totals), sums);
        store_i32x8(totals, total);
    }
}

/// Writes the codes of four columns of 32 rows, a vector each, to the step of rows 0-15 and to that of rows 16-31.
#[inline]
#[target_feature(enable = "avx2")]
fn store_step(columns: &[__m256i; STEP], first: &mut Codes<BYTES>, second: &mut Codes<BYTES>) {
    let [a, b, c, d] = *columns;
    let (low_ab, high_ab) = (_mm256_unpacklo_epi8(a, b), _mm256_unpackhi_epi8(a, b));
    let (low_cd, high_cd) = (_mm256_unpacklo_epi8(c, d), _mm256_unpackhi_epi8(c, d));
    for (codes, ab, cd) in [(first, low_ab, low_cd), (second, high_ab, high_cd)] {
        let (halves, _) = codes.as_chunks_mut::<32>();
        store_u8x32(&mut halves[0], _mm256_unpacklo_epi16(ab, cd));
        store_u8x32(&mut halves[1], _mm256_unpackhi_epi16(ab, cd));
    }
}
