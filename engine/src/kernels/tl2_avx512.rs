//! Ternary weights by look-up, three to an index, with AVX-512 BW (`vpermw`).
//!
//! Layout: panels of 128 rows, units of 48 columns, 16 indices of five bits. A row has five words in a unit, a 16-bit lane each:
//! three indices in a word, and the bits that are left over make the sixteenth.
//!
//! ```text
//! panel, unit k        | word 0: rows 0-31, 32-63, 64-95, 96-127 | word 1 | word 2 | word 3 | word 4 |     1280 bytes
//! word j of a row      bit 15          | bits 14-10      | 9-5       | 4-0
//!                      bit j of index 15 | index 3 * j + 2 | 3 * j + 1 | 3 * j
//! index i              columns 3 * i, + 1, + 2 as (w0 + 1) + 3 * (w1 + 1) + 9 * (w2 + 1)
//! ```
//!
//! A permute reads the lowest five bits of a word, so that shifts are all that unpacks three of the indices; the last one is
//! gathered at the top of a word, a bit from each, and shifted down. Sums are of `w * a` itself and exact: see
//! `panels/avx512_lut.rs`.

use super::matrix::{Kernel, Pack, compiled_for};
use super::tl1_avx512::table;
use super::{Agreement, Family, KernelVariant, PackError, Packed};
use crate::activations::Activations;
use crate::cpu::Avx512;
use crate::cpu::avx512::load_u8x64;
use crate::cpu::x86_64::prefetch;
use crate::grid::Tile;
use crate::panels::avx512_lut::{self, ROWS, TOKENS, Table, VECTORS, add_words, look_up, shift};
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

/// Columns of a group.
const GROUP: usize = 3;
/// Groups of a unit.
const UNIT_GROUPS: usize = 16;
/// Columns of a unit.
const COLUMNS: usize = GROUP * UNIT_GROUPS;
/// Words of a row in a unit.
const WORDS: usize = 5;
/// Indices that lie whole in a word.
const IN_WORD: usize = 3;
/// Bytes of one word of all rows.
const WORD_BYTES: usize = ROWS * 2;
/// Bytes of a unit.
const UNIT: usize = WORDS * WORD_BYTES;
/// Bits of an index.
const BITS: u32 = 5;

/// The weights of each index, by column of the group.
const WEIGHTS: [[i16; 32]; GROUP] = {
    let mut weights = [[0; 32]; GROUP];
    let mut index: i16 = 0;
    while index < 27 {
        weights[0][index as usize] = index % 3 - 1;
        weights[1][index as usize] = index / 3 % 3 - 1;
        weights[2][index as usize] = index / 9 - 1;
        index += 1;
    }
    weights
};

/// The words of 48 weights of a row.
fn encode(weights: &[i8]) -> [u16; WORDS] {
    let mut words = [0; WORDS];
    for (i, [w0, w1, w2]) in weights.as_chunks::<GROUP>().0.iter().enumerate() {
        let index = u16::from(((w0 + 1) + 3 * (w1 + 1) + 9 * (w2 + 1)).cast_unsigned());
        if i < WORDS * IN_WORD {
            words[i / IN_WORD] |= index << (BITS as usize * (i % IN_WORD));
        } else {
            for (j, word) in words.iter_mut().enumerate() {
                *word |= (index >> j & 1) << 15;
            }
        }
    }
    words
}

/// Index `i` of the words of a row.
fn index(words: [u16; WORDS], i: usize) -> u16 {
    if i < WORDS * IN_WORD {
        words[i / IN_WORD] >> (BITS as usize * (i % IN_WORD)) & 31
    } else {
        (0..WORDS).map(|j| words[j] >> 15 << j).sum()
    }
}

fn pack(matrix: &TernaryMatrix) -> Result<Packed, PackError> {
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
fn weight(unit: &[u8; UNIT], row: usize, column: usize) -> i16 {
    let (bytes, _) = unit.as_chunks::<2>();
    let words = std::array::from_fn(|j| u16::from_le_bytes(bytes[j * ROWS + row]));
    WEIGHTS[column % GROUP][usize::from(index(words, column / GROUP))]
}

#[target_feature(enable = "avx512f,avx512bw")]
fn multiply(_: Avx512, packed: &Packed, activations: &Activations, out: &mut Tile<'_>) {
    if out.tokens().len() == 1 {
        avx512_lut::multiply::<UNIT, GROUP, 1>(
            packed,
            UNIT_GROUPS,
            activations,
            out,
            |group, to| table(&WEIGHTS, *group, to),
            |units, tables, ahead, sums| tile(units, tables, ahead, sums),
        );
    } else {
        avx512_lut::multiply::<UNIT, GROUP, TOKENS>(
            packed,
            UNIT_GROUPS,
            activations,
            out,
            |group, to| table(&WEIGHTS, *group, to),
            |units, tables, ahead, sums| tile(units, tables, ahead, sums),
        );
    }
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
    let top = _mm512_set1_epi16(i16::MIN);
    let mut words = [[_mm512_setzero_si512(); VECTORS]; N];
    for k in 0..units.len() {
        if N == 1 {
            for line in 0..UNIT / 64 {
                prefetch(&units[k], ahead + 64 * line);
            }
        }
        let (vectors, _) = units[k].as_chunks::<64>();
        let mut last = [_mm512_setzero_si512(); VECTORS];
        for word in 0..WORDS {
            let mut indices = [_mm512_setzero_si512(); VECTORS];
            for vector in 0..VECTORS {
                indices[vector] = load_u8x64(&vectors[word * VECTORS + vector]);
                last[vector] = _mm512_or_si512(
                    _mm512_srli_epi16::<1>(last[vector]),
                    _mm512_and_si512(indices[vector], top),
                );
            }
            for digit in 0..IN_WORD {
                words = look_up(words, indices, &tables[k][word * IN_WORD + digit]);
                indices = shift::<BITS>(indices);
            }
        }
        words = look_up(
            words,
            shift::<{ 16 - BITS }>(last),
            &tables[k][UNIT_GROUPS - 1],
        );
    }
    add_words(sums, &words);
}
