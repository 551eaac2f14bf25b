//! Ternary weights by look-up with AVX2 (`vpshufb`), three to a sign and a 4-bit index.
//!
//! Layout: panels of 64 rows, blocks of 24 columns. Half a block holds eight groups of three columns of 32 rows: the indices in
//! four vectors of nibbles, then the signs, a bit each. Which row a byte belongs to: [`crate::panels::lut_avx2`].
//!
//! ```text
//! panel, block k   | rows 0-31: 160 bytes | rows 32-63 |                         320 bytes
//! half a block     | groups 1,0 | 3,2 | 5,4 | 7,6 | signs |                      5 vectors of 32 rows
//! byte of indices  bit 7-4: group 2i+1 | 3-0: group 2i
//! byte of signs    bit 7: group 0 | 6: group 1 | ... | 0: group 7
//! ```
//!
//! The index is the size of `w0 + 3 w1 + 9 w2`, 0 to 13, and the sign is its sign: five bits for three weights. Decode shifts the
//! signs up one place for each group and lets `vpsignb` negate the two digits of the sum that was looked up.
//!
//! Prefill unpacks to codes and multiplies. Inner loops alone, all data in the first-level cache, on one core of Zen 3 (medians
//! of 15 runs in turn on a busy machine, trial loops, 1e9 weights times tokens a second): multiply-add 113, look-up by
//! `vpshufb` with the indices and signs unpacked beforehand 88, look-up in tables whose entries are vectors of 32 tokens 122, with the building of the tables 116.
//! The last leaves nothing for unpacking indices to bytes and for widening sums every 85 groups, which multiply-add does not need.

use super::matrix::{Kernel, Pack, compiled_for};
use super::{Agreement, Family, KernelVariant, PackError, Packed};
use crate::activations::Activations;
use crate::cpu::Avx2;
use crate::cpu::x86_64::{broadcast_u8x16, load_u8x32};
use crate::grid::Tile;
use crate::panels::blocks::pack_blocks;
use crate::panels::lut::{TRIPLES, triple_index};
use crate::panels::lut_avx2::{
    self, Digits, HALF_ROWS, LOOK_UPS, ROWS, Table, byte_patterns, place_of, row_of, split_nibbles,
};
use crate::weights::TernaryMatrix;
use std::arch::x86_64::*;

pub(super) static VARIANT: KernelVariant = KernelVariant {
    name: "tl2-avx2",
    family: Family::Tl2,
    requires: Avx2::FEATURES,
    bits_per_weight: 5.0 / 3.0,
    agreement: Agreement::Exact,
    about: "AVX2 byte permutes as tables of three activations, 32 rows in lanes, multiply-add in prefill",
    pack: |weights, cpu| KERNEL.pack(&VARIANT, weights, cpu),
};

static KERNEL: Kernel<Avx2> = Kernel {
    pack: Pack::Ternary(pack),
    row_block: ROWS,
    multiply: compiled_for!(Avx2, multiply),
    unpack_row: |packed, row, out| packed.unpack_row::<COLUMNS, BLOCK, _>(ROWS, row, out, weight),
};

/// Columns of a group.
const GROUP: usize = 3;
/// Columns of a block.
const COLUMNS: usize = LOOK_UPS * GROUP;
/// Bytes of half a block.
const HALF: usize = 5 * HALF_ROWS;
/// Bytes of a block.
const BLOCK: usize = 2 * HALF;
/// Columns unpacked at a time in prefill: 8 KiB of codes for 16 rows.
const CHUNK: usize = 21 * COLUMNS;

fn pack(matrix: &TernaryMatrix) -> Result<Packed, PackError> {
    pack_blocks::<COLUMNS, BLOCK>(matrix, ROWS, |rows, block| {
        for (half, bytes) in block.chunks_exact_mut(HALF).enumerate() {
            for position in 0..HALF_ROWS {
                let row = half * HALF_ROWS + row_of(position);
                let columns = rows.row::<COLUMNS>(row);
                for (group, weights) in columns.as_chunks::<GROUP>().0.iter().enumerate() {
                    let (negative, index) = triple_index(*weights);
                    bytes[group / 2 * HALF_ROWS + position] |= index << (group % 2 * 4);
                    bytes[4 * HALF_ROWS + position] |= u8::from(negative) << (7 - group);
                }
            }
        }
    })
}

/// A weight of a block.
fn weight(block: &[u8; BLOCK], row: usize, column: usize) -> i16 {
    let (half, position) = place_of(row);
    let bytes = &block[half * HALF..][..HALF];
    let group = column / GROUP;
    let index = bytes[group / 2 * HALF_ROWS + position] >> (group % 2 * 4) & 15;
    let weight = TRIPLES[column % GROUP][usize::from(index)];
    let negative = bytes[4 * HALF_ROWS + position] >> (7 - group) & 1 != 0;
    if negative { -weight } else { weight }
}

#[target_feature(enable = "avx2")]
fn multiply(_: Avx2, packed: &Packed, activations: &Activations, out: &mut Tile<'_>) {
    lut_avx2::multiply::<GROUP, COLUMNS, BLOCK, HALF, CHUNK>(
        packed,
        activations,
        out,
        &TRIPLES,
        |half, tables| look_up(half, tables),
        |half| unpack(half),
    );
}

/// The signs of eight groups in turn, one in the top bit of each byte, no byte zero. Shifts of 16 bits do: what enters the
/// upper byte lies below its top bit.
#[inline]
#[target_feature(enable = "avx2")]
fn signs(bits: &[u8; 32]) -> [__m256i; LOOK_UPS] {
    let bits = load_u8x32(bits);
    let one = _mm256_set1_epi8(1);
    let marked = _mm256_or_si256(bits, one);
    [
        marked,
        _mm256_slli_epi16::<1>(marked),
        _mm256_slli_epi16::<2>(marked),
        _mm256_slli_epi16::<3>(marked),
        _mm256_slli_epi16::<4>(marked),
        _mm256_slli_epi16::<5>(marked),
        _mm256_slli_epi16::<6>(marked),
        _mm256_or_si256(_mm256_slli_epi16::<7>(bits), one),
    ]
}

/// The sums of half a block.
#[inline]
#[target_feature(enable = "avx2")]
fn look_up(half: &[u8; HALF], tables: &[Table; LOOK_UPS]) -> Digits {
    let (vectors, _) = half.as_chunks::<32>();
    let signs = signs(&vectors[4]);
    let mut sums = Digits::zero();
    for pair in 0..LOOK_UPS / 2 {
        let [first, second] = split_nibbles(&vectors[pair]);
        sums.add_signed(&tables[2 * pair], first, signs[2 * pair]);
        sums.add_signed(&tables[2 * pair + 1], second, signs[2 * pair + 1]);
    }
    sums
}

/// `w + 1` of the columns of half a block.
#[inline]
#[target_feature(enable = "avx2")]
fn unpack(half: &[u8; HALF]) -> [__m256i; COLUMNS] {
    let one = _mm256_set1_epi8(1);
    let weights = const { byte_patterns(&TRIPLES, 0) }
        .each_ref()
        .map(|table| broadcast_u8x16(table));
    let (vectors, _) = half.as_chunks::<32>();
    let signs = signs(&vectors[4]);
    let mut columns = [one; COLUMNS];
    for (pair, nibbles) in vectors[..LOOK_UPS / 2].iter().enumerate() {
        for (index, indices) in split_nibbles(nibbles).into_iter().enumerate() {
            let group = 2 * pair + index;
            for (column, weights) in weights.iter().enumerate() {
                let size = _mm256_shuffle_epi8(*weights, indices);
                let w = _mm256_sign_epi8(size, signs[group]);
                columns[group * GROUP + column] = _mm256_add_epi8(w, one);
            }
        }
    }
    columns
}
