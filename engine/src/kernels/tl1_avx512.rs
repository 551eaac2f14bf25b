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
#![expect(unsafe_code, reason = "calls across the target-feature boundary")]

use super::{
    Agreement, Family, KernelVariant, PackError, PackResult, Packed, PackedMatrix, ternary_of,
};
use crate::activations::Activations;
use crate::cpu::avx512::{load_i16x32, load_u8x64, store_i16x32};
use crate::cpu::x86_64::prefetch;
use crate::cpu::{Avx512, Cpu};
use crate::grid::Tile;
use crate::panels;
use crate::panels::avx512_lut::{self, ROWS, TOKENS, Table, VECTORS, add_words, look_up, shift};
use crate::weights::LinearWeights;
use std::arch::x86_64::*;

pub(super) static VARIANT: KernelVariant = KernelVariant {
    name: "tl1-avx512",
    family: Family::Tl1,
    requires: Avx512::FEATURES,
    bits_per_weight: 2.0,
    agreement: Agreement::Exact,
    about: "AVX-512 word permutes look two weights up, 128 rows in lanes, exact 16-bit partial sums",
    pack,
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

struct Tl1Avx512 {
    avx512: Avx512,
    packed: Packed,
}

fn pack(weights: &LinearWeights, cpu: &Cpu) -> PackResult {
    let avx512 = cpu.avx512().map_err(|missing| PackError::Unsupported {
        variant: VARIANT.name,
        missing,
    })?;
    let matrix = ternary_of(weights, &VARIANT)?;
    let units = matrix.cols().div_ceil(COLUMNS);
    let padded = units * COLUMNS;
    let packed = panels::pack(matrix, ROWS, padded, units * UNIT, |weights, bytes| {
        for (k, unit) in bytes.chunks_exact_mut(UNIT).enumerate() {
            for (row, word) in unit.as_chunks_mut::<2>().0.iter_mut().enumerate() {
                let (pairs, _) =
                    weights[row * padded + k * COLUMNS..][..COLUMNS].as_chunks::<GROUP>();
                let mut indices = 0;
                for (digit, [w0, w1]) in pairs.iter().enumerate() {
                    let index = (w0 + 1) + 3 * (w1 + 1);
                    indices |= u16::from(index.cast_unsigned()) << (BITS as usize * digit);
                }
                *word = indices.to_le_bytes();
            }
        }
    })?;
    Ok(Box::new(Tl1Avx512 { avx512, packed }))
}

impl PackedMatrix for Tl1Avx512 {
    fn packed(&self) -> &Packed {
        &self.packed
    }

    fn row_block(&self) -> usize {
        ROWS
    }

    fn multiply(&self, activations: &Activations, out: &mut Tile<'_>) {
        assert_eq!(
            activations.cols(),
            self.cols(),
            "activations of this matrix"
        );
        // SAFETY: `self.avx512` exists only where AVX-512 F and BW were detected.
        unsafe { multiply(self.avx512, &self.packed, activations, out) }
    }

    fn unpack_row(&self, row: usize, out: &mut [f32]) {
        let units = self.packed.cols.div_ceil(COLUMNS);
        let panel = &self.bytes().as_chunks::<UNIT>().0[row / ROWS * units..];
        for (unit, out) in panel.iter().zip(out.chunks_mut(COLUMNS)) {
            let word = u16::from_le_bytes(unit.as_chunks::<2>().0[row % ROWS]);
            for (column, out) in out.iter_mut().enumerate() {
                let index = word >> (BITS as usize * (column / GROUP)) & 15;
                let weight = WEIGHTS[column % GROUP][usize::from(index)];
                *out = f32::from(weight) * self.packed.scale;
            }
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw")]
fn multiply(_: Avx512, packed: &Packed, activations: &Activations, out: &mut Tile<'_>) {
    if out.tokens().len() == 1 {
        avx512_lut::multiply::<UNIT, GROUP, 1, 1>(
            packed,
            UNIT_GROUPS,
            activations,
            out,
            |group, [tables], token| table(*group, &mut tables[token]),
            |units, tables, ahead, sums| tile(units, tables, ahead, sums),
        );
    } else {
        avx512_lut::multiply::<UNIT, GROUP, 1, TOKENS>(
            packed,
            UNIT_GROUPS,
            activations,
            out,
            |group, [tables], token| table(*group, &mut tables[token]),
            |units, tables, ahead, sums| tile(units, tables, ahead, sums),
        );
    }
}

/// Makes the table of two activations.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn table(group: [i8; GROUP], to: &mut Table) {
    let product = |column: usize| {
        let a = _mm512_set1_epi16(i16::from(group[column]));
        _mm512_mullo_epi16(load_i16x32(&WEIGHTS[column]), a)
    };
    store_i16x32(&mut to.0, _mm512_add_epi16(product(0), product(1)));
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
