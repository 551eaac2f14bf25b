//! Ternary weights by look-up, three to an index, with AVX-512 BW (`vpermw`).
//!
//! Layout: panels of 128 rows, units of 48 columns: four dozens, of each four indices of three columns. A row has five words in
//! a unit, a 16-bit lane each: three indices in a word, and the bits that are left over make the sixteenth.
//!
//! ```text
//! panel, unit k        | word 0: rows 0-31, 32-63, 64-95, 96-127 | word 1 | word 2 | word 3 | word 4 |     1280 bytes
//! word j of a row      bit 15           | bits 14-10         | 9-5       | 4-0
//!   j = 0 to 3         a bit of the last | index 2 of dozen j | index 1   | index 0
//!   j = 4              a bit of the last | index 3 of dozen 2 | of dozen 1 | of dozen 0
//! the last index       index 3 of dozen 3, bit j in word j
//! indices of a dozen   columns 0 1 8 | 2 3 10 | 4 5 9 | 6 7 11 as (w0 + 1) + 3 * (w1 + 1) + 9 * (w2 + 1)
//! ```
//!
//! A permute reads the lowest five bits of a word, so that shifts are all that unpacks three of the indices; the last one is
//! gathered at the top of a word, a bit from each, and shifted down. The columns of the indices are such that pairs of
//! activations are words to broadcast for the tables, and that `tl2-avx512-vnni` gets bytes in the order of the columns. Sums
//! are of `w * a` itself and exact: see `panels/avx512_lut.rs`.

use super::matrix::{Kernel, Pack, compiled_for};
use super::{Agreement, Family, KernelVariant, PackError, Packed};
use crate::activations::Activations;
use crate::cpu::Avx512;
use crate::cpu::avx512::{broadcast_i8x2_512, load_i16x32, load_u8x64, store_i16x32};
use crate::cpu::x86_64::prefetch;
use crate::grid::Tile;
use crate::panels::avx512_lut::{self, ROWS, TOKENS, Table, VECTORS, add_words, look_up, shift};
use crate::panels::avx512_mixed::{DOZEN, GROUPS};
use crate::panels::blocks::pack_blocks;
use crate::weights::TernaryMatrix;
use std::arch::x86_64::*;

pub(super) static VARIANT: KernelVariant = KernelVariant {
    name: "tl2-avx512",
    family: Family::Tl2,
    requires: Avx512::FEATURES,
    bits_per_weight: 5.0 / 3.0,
    agreement: Agreement::Exact,
    about: "AVX-512 word permutes look three weights up, 128 rows in lanes, exact 16-bit partial sums",
    pack: |weights, cpu| KERNEL.pack(&VARIANT, weights, cpu),
};

static KERNEL: Kernel<Avx512> = Kernel {
    pack: Pack::Ternary(pack),
    row_block: ROWS,
    multiply: compiled_for!(Avx512, multiply),
    unpack_row: |packed, row, out| packed.unpack_row::<COLUMNS, UNIT, _>(ROWS, row, out, weight),
};

/// Dozens of a unit.
pub(super) const DOZENS: usize = 4;
/// Groups of a unit.
const UNIT_GROUPS: usize = GROUPS * DOZENS;
/// Columns of a unit.
pub(super) const COLUMNS: usize = DOZEN * DOZENS;
/// Words of a row in a unit.
pub(super) const WORDS: usize = 5;
/// Indices that lie whole in a word.
const IN_WORD: usize = 3;
/// Bytes of one word of all rows.
const WORD_BYTES: usize = ROWS * 2;
/// Bytes of a unit.
pub(super) const UNIT: usize = WORDS * WORD_BYTES;
/// Bits of an index.
pub(super) const BITS: u32 = 5;

/// Where a column of a dozen is found: its group, and its place in the group.
fn place(column: usize) -> (usize, usize) {
    match column {
        0..8 => (column / 2, column % 2),
        _ => (column % 2 * 2 + (column - 8) / 2, 2),
    }
}

/// Of each index, `w + 1` of some places: of the first in the lower byte, of the second in the upper one.
const fn codes(lower: Option<u32>, upper: Option<u32>) -> [i16; 32] {
    let mut words = [0; 32];
    let mut index: i16 = 0;
    while index < 27 {
        if let Some(place) = lower {
            words[index as usize] |= index / 3i16.pow(place) % 3;
        }
        if let Some(place) = upper {
            words[index as usize] |= (index / 3i16.pow(place) % 3) << 8;
        }
        index += 1;
    }
    words
}

/// The codes of the first two columns of an index.
pub(super) const PAIR: [i16; 32] = codes(Some(0), Some(1));
/// The code of the third column, in the byte where groups 0 and 1 have that column.
pub(super) const THIRD_LOW: [i16; 32] = codes(Some(2), None);
/// The same for groups 2 and 3.
pub(super) const THIRD_HIGH: [i16; 32] = codes(None, Some(2));
/// The index of three zeros.
const ZEROS: i16 = 13;

/// The words of 48 weights of a row.
fn encode(weights: &[i8]) -> [u16; WORDS] {
    let mut words = [0; WORDS];
    for (dozen, weights) in weights.as_chunks::<DOZEN>().0.iter().enumerate() {
        let mut indices = [0u16; GROUPS];
        for (column, w) in weights.iter().enumerate() {
            let (group, place) = place(column);
            indices[group] += u16::from((w + 1).cast_unsigned()) * [1, 3, 9][place];
        }
        let [first, second, third, last] = indices;
        words[dozen] = first | second << BITS | third << (2 * BITS);
        if dozen < IN_WORD {
            words[WORDS - 1] |= last << (BITS as usize * dozen);
        } else {
            for (j, word) in words.iter_mut().enumerate() {
                *word |= (last >> j & 1) << 15;
            }
        }
    }
    words
}

/// The index of a group of a dozen in the words of a row.
fn index(words: [u16; WORDS], dozen: usize, group: usize) -> u16 {
    let (word, digit) = match (dozen, group) {
        (IN_WORD, IN_WORD) => return (0..WORDS).map(|j| words[j] >> 15 << j).sum(),
        (_, IN_WORD) => (WORDS - 1, dozen),
        _ => (dozen, group),
    };
    words[word] >> (BITS as usize * digit) & 31
}

/// Packs a matrix in this layout.
///
/// # Errors
/// If the system gives no memory.
pub(super) fn pack(matrix: &TernaryMatrix) -> Result<Packed, PackError> {
    pack_blocks::<COLUMNS, UNIT>(matrix, ROWS, |rows, unit| {
        for row in 0..ROWS {
            let words = encode(rows.row::<COLUMNS>(row));
            for (bytes, word) in unit.chunks_exact_mut(WORD_BYTES).zip(words) {
                bytes.as_chunks_mut::<2>().0[row] = word.to_le_bytes();
            }
        }
    })
}

/// A weight of a unit.
pub(super) fn weight(unit: &[u8; UNIT], row: usize, column: usize) -> i16 {
    let (bytes, _) = unit.as_chunks::<2>();
    let words = std::array::from_fn(|j| u16::from_le_bytes(bytes[j * ROWS + row]));
    let (group, place) = place(column % DOZEN);
    let index = index(words, column / DOZEN, group);
    index.cast_signed() / [1, 3, 9][place] % 3 - 1
}

#[target_feature(enable = "avx512f,avx512bw")]
fn multiply(_: Avx512, packed: &Packed, activations: &Activations, out: &mut Tile<'_>) {
    if out.tokens().len() == 1 {
        multiply_by::<1>(packed, activations, out);
    } else {
        multiply_by::<TOKENS>(packed, activations, out);
    }
}

/// Multiplies by `N` tokens at a time; one is decode.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn multiply_by<const N: usize>(
    packed: &Packed,
    activations: &Activations,
    out: &mut Tile<'_>,
) {
    avx512_lut::multiply::<UNIT, DOZEN, GROUPS, N>(
        packed,
        UNIT_GROUPS,
        activations,
        out,
        |values, tables, token| fill(values, tables, token),
        |units, tables, ahead, sums| tile(units, tables, ahead, sums),
    );
}

/// Makes the tables of twelve activations.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn fill<const N: usize>(values: &[i8; DOZEN], tables: &mut [[Table; N]; GROUPS], token: usize) {
    let zeros = _mm512_set1_epi16(ZEROS);
    let sums = sums_of_codes(values);
    for group in 0..GROUPS {
        // The sum of the codes of zeros, which are 1, is what all others are too large by.
        let excess = _mm512_permutexvar_epi16(zeros, sums[group]);
        store_i16x32(
            &mut tables[group][token].0,
            _mm512_sub_epi16(sums[group], excess),
        );
    }
}

/// The sums of `(w + 1) * a` of each index, for the four groups of twelve activations.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn sums_of_codes(values: &[i8; DOZEN]) -> [__m512i; GROUPS] {
    let (pair, thirds) = (
        load_i16x32(&PAIR),
        [load_i16x32(&THIRD_LOW), load_i16x32(&THIRD_HIGH)],
    );
    let (pairs, _) = values.as_chunks::<2>();
    let mut sums = [_mm512_setzero_si512(); GROUPS];
    for group in 0..GROUPS {
        let first = broadcast_i8x2_512(&pairs[group]);
        let third = broadcast_i8x2_512(&pairs[GROUPS + group % 2]);
        sums[group] = _mm512_add_epi16(
            _mm512_maddubs_epi16(pair, first),
            _mm512_maddubs_epi16(thirds[group / 2], third),
        );
    }
    sums
}

/// The index that is left over, a bit in each word, in the five highest bits.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn last_index(words: [__m512i; WORDS]) -> __m512i {
    let top = _mm512_set1_epi16(i16::MIN);
    let mut last = _mm512_setzero_si512();
    for word in words {
        last = _mm512_or_si512(_mm512_srli_epi16::<1>(last), _mm512_and_si512(word, top));
    }
    last
}

/// Adds the sums of the rows of a panel over some units, at most a chunk. A call of its own, so that the registers are its own
/// too.
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw")]
fn tile<const N: usize>(
    units: &[[u8; UNIT]],
    tables: &[[Table; N]],
    ahead: usize,
    sums: &mut [[i32; ROWS]; N],
) {
    let tables = &tables.as_chunks::<UNIT_GROUPS>().0[..units.len()];
    let mut words = [[_mm512_setzero_si512(); VECTORS]; N];
    for k in 0..units.len() {
        if N == 1 {
            for line in 0..UNIT / 64 {
                prefetch(&units[k], ahead + 64 * line);
            }
        }
        let (vectors, _) = units[k].as_chunks::<64>();
        for dozen in 0..DOZENS {
            let mut indices = word(vectors, dozen);
            for group in 0..IN_WORD {
                words = look_up(words, indices, &tables[k][dozen * GROUPS + group]);
                indices = shift::<BITS>(indices);
            }
        }
        let mut indices = word(vectors, DOZENS);
        for dozen in 0..IN_WORD {
            words = look_up(words, indices, &tables[k][dozen * GROUPS + IN_WORD]);
            indices = shift::<BITS>(indices);
        }
        // Loaded a second time: gathered on the way, it would take registers from the sums.
        let mut last = [_mm512_setzero_si512(); VECTORS];
        for vector in 0..VECTORS {
            let mut parts = [_mm512_setzero_si512(); WORDS];
            for word in 0..WORDS {
                parts[word] = load_u8x64(&vectors[word * VECTORS + vector]);
            }
            last[vector] = last_index(parts);
        }
        words = look_up(
            words,
            shift::<{ 16 - BITS }>(last),
            &tables[k][UNIT_GROUPS - 1],
        );
    }
    add_words(sums, &words);
}

/// One word of all rows of a unit.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn word(unit: &[[u8; 64]], word: usize) -> [__m512i; VECTORS] {
    let mut indices = [_mm512_setzero_si512(); VECTORS];
    for (vector, indices) in indices.iter_mut().enumerate() {
        *indices = load_u8x64(&unit[word * VECTORS + vector]);
    }
    indices
}
