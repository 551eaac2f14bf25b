//! Ternary weights by look-up, three to an index, with AVX-512 BW (`vpermw`); prefill multiplies half of the rows instead, with
//! VNNI (`vpdpbusd`), in the same register tile.
//!
//! Layout and decode: those of `tl2-avx512`, panels of 128 rows, five words to 48 columns of a row. Prefill works as
//! `panels/avx512_mixed.rs` says: rows 0 to 63 of a panel are multiplied, rows 64 to 127 looked up.
//!
//! Unpacking, once for a block of tokens: the indices of a dozen are shifted down to the lowest bits of words, where a look-up
//! reads them. To multiply, two indices of a row are brought together in its 32-bit lane, and a permute gives a byte for each
//! weight:
//!
//! ```text
//! words of rows      2 * i      | 2 * i + 1       indices 0 and 1 of a dozen, or 2 and 3
//! even rows, lane i  index 0    | index 1         -> columns 0 1 | 2 3, or 4 5 | 6 7, and 8 . | 10 . or . 9 | . 11
//! odd rows, lane i   the same of row 2 * i + 1
//! ```
//!
//! Half of the rows need indices, and those are what TL2 stores; the bytes for the others cost a permute for each vector, two
//! for each third one, where the two-bit planes of `i2s` would cost a shift and a mask, but give no index of five bits to look
//! up. Writing the unpacked vectors takes as long either way: a core stores one in a cycle.

use super::matrix::{Kernel, Pack, compiled_for};
use super::tl2_avx512::{
    BITS, COLUMNS, DOZENS, PAIR, THIRD_HIGH, THIRD_LOW, UNIT, WORDS, last_index, multiply_by, pack,
    sums_of_codes, weight,
};
use super::{Agreement, Family, KernelVariant, Packed};
use crate::activations::Activations;
use crate::cpu::Avx512Vnni;
use crate::cpu::avx512::{load_i16x32, load_u8x64, store_i16x32, store_u8x64};
use crate::grid::Tile;
use crate::panels::avx512_lut::{ROWS, VECTORS};
use crate::panels::avx512_mixed::{self, Dozen, GROUPS, MULTIPLIED};
use std::arch::x86_64::*;
use std::ops::Range;

pub(super) static VARIANT: KernelVariant = KernelVariant {
    name: "tl2-avx512-vnni",
    family: Family::Tl2,
    requires: Avx512Vnni::FEATURES,
    bits_per_weight: 5.0 / 3.0,
    agreement: Agreement::Exact,
    about: "AVX-512 word permutes look three weights up; prefill looks half the rows up and multiplies the others at once",
    pack: |weights, cpu| KERNEL.pack(&VARIANT, weights, cpu),
};

static KERNEL: Kernel<Avx512Vnni> = Kernel {
    pack: Pack::Ternary(pack),
    row_block: ROWS,
    multiply: compiled_for!(Avx512Vnni, multiply),
    unpack_row: |packed, row, out| packed.unpack_row::<COLUMNS, UNIT, _>(ROWS, row, out, weight),
};

/// The 16-bit lanes of the odd rows.
const ODD: u32 = 0xaaaa_aaaa;

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn multiply(_: Avx512Vnni, packed: &Packed, activations: &Activations, out: &mut Tile<'_>) {
    if out.tokens().len() == 1 {
        multiply_by::<1>(packed, activations, out);
    } else {
        avx512_mixed::multiply::<COLUMNS>(
            packed,
            activations,
            out,
            |index, columns, dozens| unpack(packed.blocks::<COLUMNS, UNIT>(index), columns, dozens),
            |values, tables, token| {
                let sums = sums_of_codes(values);
                for group in 0..GROUPS {
                    store_i16x32(&mut tables[group][token].0, sums[group]);
                }
            },
        );
    }
}

/// Writes some columns of a panel, a multiple of a unit from its start.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn unpack(panel: &[[u8; UNIT]], columns: Range<usize>, dozens: &mut [Dozen]) {
    let units = &panel[columns.start / COLUMNS..];
    for (unit, dozens) in units.iter().zip(dozens.as_chunks_mut::<DOZENS>().0) {
        for vector in 0..VECTORS {
            let mut words = [_mm512_setzero_si512(); WORDS];
            for (word, part) in words.iter_mut().enumerate() {
                *part = load_u8x64(&unit.as_chunks::<64>().0[word * VECTORS + vector]);
            }
            // The fourth indices of the dozens.
            let fourth = [
                words[WORDS - 1],
                _mm512_srli_epi16::<BITS>(words[WORDS - 1]),
                _mm512_srli_epi16::<{ 2 * BITS }>(words[WORDS - 1]),
                _mm512_srli_epi16::<{ 16 - BITS }>(last_index(words)),
            ];
            for dozen in 0..DOZENS {
                let indices = [
                    words[dozen],
                    _mm512_srli_epi16::<BITS>(words[dozen]),
                    _mm512_srli_epi16::<{ 2 * BITS }>(words[dozen]),
                    fourth[dozen],
                ];
                if vector < MULTIPLIED {
                    write_codes(indices, vector, &mut dozens[dozen]);
                } else {
                    for (to, indices) in dozens[dozen].indices.iter_mut().zip(indices) {
                        store_u8x64(&mut to[vector - MULTIPLIED], indices);
                    }
                }
            }
        }
    }
}

/// Writes `w + 1` of 32 rows.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn write_codes(indices: [__m512i; GROUPS], vector: usize, dozen: &mut Dozen) {
    let (pair, thirds) = (
        load_i16x32(&PAIR),
        [load_i16x32(&THIRD_LOW), load_i16x32(&THIRD_HIGH)],
    );
    let [first, second] = [
        by_rows(indices[0], indices[1]),
        by_rows(indices[2], indices[3]),
    ];
    for half in 0..2 {
        let [first, second] = [first[half], second[half]];
        let steps = [
            _mm512_permutexvar_epi16(first, pair),
            _mm512_permutexvar_epi16(second, pair),
            _mm512_or_si512(
                _mm512_permutexvar_epi16(first, thirds[0]),
                _mm512_permutexvar_epi16(second, thirds[1]),
            ),
        ];
        for (step, codes) in steps.into_iter().enumerate() {
            store_u8x64(&mut dozen.codes[step][2 * vector + half], codes);
        }
    }
}

/// Brings two words of a row together in a 32-bit lane: of the even rows, and of the odd ones.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn by_rows(low: __m512i, high: __m512i) -> [__m512i; 2] {
    [
        _mm512_mask_blend_epi16(ODD, low, _mm512_slli_epi32::<16>(high)),
        _mm512_mask_blend_epi16(ODD, _mm512_srli_epi32::<16>(low), high),
    ]
}
