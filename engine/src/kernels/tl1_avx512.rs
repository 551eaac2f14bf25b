//! Ternary weights by look-up, two to an index, with AVX-512 BW (`vpermw`).
//!
//! Layout: panels of 128 rows, units of eight columns: four vectors of 32 rows, a 16-bit lane to each row.
//!
//! ```text
//! panel, unit k        | rows 0-31: 32 words | rows 32-63 | rows 64-95 | rows 96-127 |     256 bytes
//! word of a row        bits 15-12 | 11-8 | 7-4 | 3-0
//!                      columns 6 7 | 4 5 | 2 3 | 0 1, as (w0 + 1) + 3 * (w1 + 1)
//! ```
//!
//! A permute reads the lowest five bits of a word, one too many: both halves of a table hold the same, so that nothing must be
//! masked. Sums are of `w * a` itself and exact: see `panels/avx512_lut.rs`.

use super::matrix::{Kernel, Pack, compiled_for};
use super::{Agreement, Family, KernelVariant, PackError, Packed};
use crate::activations::Activations;
use crate::cpu::Avx512;
use crate::cpu::avx512::{load_i16x32, load_u8x64, store_i16x32};
use crate::cpu::x86_64::prefetch;
use crate::grid::Tile;
use crate::panels::avx512_lut::{self, ROWS, TOKENS, Table, VECTORS, add_words, look_up, shift};
use crate::panels::blocks::pack_blocks;
use crate::weights::TernaryMatrix;
use std::arch::x86_64::*;

pub(super) static VARIANT: KernelVariant = KernelVariant {
    name: "tl1-avx512",
    family: Family::Tl1,
    requires: Avx512::FEATURES,
    bits_per_weight: 2.0,
    agreement: Agreement::Exact,
    about: "AVX-512 word permutes look two weights up, 128 rows in lanes, exact 16-bit partial sums",
    pack: |weights, cpu| KERNEL.pack(&VARIANT, weights, cpu),
};

static KERNEL: Kernel<Avx512> = Kernel {
    pack: Pack::Ternary(pack),
    row_block: ROWS,
    multiply: compiled_for!(Avx512, multiply),
    unpack_row: |packed, row, out| packed.unpack_row::<COLUMNS, UNIT, _>(ROWS, row, out, weight),
};

/// Columns of a group.
const GROUP: usize = 2;
/// Groups of a unit.
const UNIT_GROUPS: usize = 4;
/// Columns of a unit.
const COLUMNS: usize = GROUP * UNIT_GROUPS;
/// Bytes of a unit.
const UNIT: usize = ROWS * 2;
/// Bits of an index.
const BITS: u32 = 4;

/// The weights of each index, those of the first column and those of the second.
const WEIGHTS: [[i16; 32]; GROUP] = {
    let mut weights = [[0; 32]; GROUP];
    let mut entry: i16 = 0;
    while entry < 32 {
        let index = entry % 16;
        if index < 9 {
            weights[0][entry as usize] = index % 3 - 1;
            weights[1][entry as usize] = index / 3 - 1;
        }
        entry += 1;
    }
    weights
};

fn pack(matrix: &TernaryMatrix) -> Result<Packed, PackError> {
    pack_blocks::<COLUMNS, UNIT>(matrix, ROWS, |rows, unit| {
        for (row, word) in unit.as_chunks_mut::<2>().0.iter_mut().enumerate() {
            let (pairs, _) = rows.row::<COLUMNS>(row).as_chunks::<GROUP>();
            let mut indices = 0;
            for (digit, [w0, w1]) in pairs.iter().enumerate() {
                let index = (w0 + 1) + 3 * (w1 + 1);
                indices |= u16::from(index.cast_unsigned()) << (BITS as usize * digit);
            }
            *word = indices.to_le_bytes();
        }
    })
}

/// A weight of a unit.
fn weight(unit: &[u8; UNIT], row: usize, column: usize) -> i16 {
    let word = u16::from_le_bytes(unit.as_chunks::<2>().0[row]);
    let index = word >> (BITS as usize * (column / GROUP)) & 15;
    WEIGHTS[column % GROUP][usize::from(index)]
}

#[target_feature(enable = "avx512f,avx512bw")]
fn multiply(_: Avx512, packed: &Packed, activations: &Activations, out: &mut Tile<'_>) {
    if out.tokens().len() == 1 {
        avx512_lut::multiply::<UNIT, GROUP, 1, 1>(
            packed,
            UNIT_GROUPS,
            activations,
            out,
            |group, [tables], token| table(&WEIGHTS, *group, &mut tables[token]),
            |units, tables, ahead, sums| tile(units, tables, ahead, sums),
        );
    } else {
        avx512_lut::multiply::<UNIT, GROUP, 1, TOKENS>(
            packed,
            UNIT_GROUPS,
            activations,
            out,
            |group, [tables], token| table(&WEIGHTS, *group, &mut tables[token]),
            |units, tables, ahead, sums| tile(units, tables, ahead, sums),
        );
    }
}

/// Makes the table of some activations: their products with the weights of each index.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn table<const GROUP: usize>(weights: &[[i16; 32]; GROUP], group: [i8; GROUP], to: &mut Table) {
    let mut sums = _mm512_setzero_si512();
    for column in 0..GROUP {
        let a = _mm512_set1_epi16(i16::from(group[column]));
        let products = _mm512_mullo_epi16(load_i16x32(&weights[column]), a);
        sums = _mm512_add_epi16(sums, products);
    }
    store_i16x32(&mut to.0, sums);
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
        let mut indices = [_mm512_setzero_si512(); VECTORS];
        for vector in 0..VECTORS {
            indices[vector] = load_u8x64(&vectors[vector]);
        }
        for tables in &tables[k] {
            words = look_up(words, indices, tables);
            indices = shift::<BITS>(indices);
        }
    }
    add_words(sums, &words);
}
