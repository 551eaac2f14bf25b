//! Prefill that multiplies some rows (`vpdpbusd`) and looks sums up for the others (`vpermw`, `vpaddw`) in one register tile.
//!
//! Zen 5 starts two multiply-adds a cycle on two of its four vector pipes and two word permutes on another pair of which one is
//! shared; additions go to all four. Multiply-adds alone leave two pipes idle. Twelve columns of a panel take, for each token:
//!
//! ```text
//! rows   0- 63   four vectors of 16 rows, three steps of four columns     12 multiply-adds
//! rows  64-127   two vectors of 32 rows, four groups of three columns      8 permutes, 8 additions
//! ```
//!
//! These 28 instructions, which four pipes take in seven cycles, do the work of 24 multiply-adds, which two pipes take in twelve.
//! 24 registers hold the sums of four tokens; a step needs five more (four vectors of codes, one of activations), a look-up at
//! most five (two of indices, a table, two of what was found).
//!
//! Blocks, for 48 KiB of first-level and 1 MiB of second-level cache. Two panels are unpacked for [`CHUNK`] columns (20 KiB),
//! so that a table (a whole cache line for three columns) that was fetched is used twice. Tables are made once for a chunk of a
//! block of tokens and wait in the second-level cache (128 KiB), beside the sums of a block of rows in 32 bits ([`SUM_BYTES`]).
//! More tokens in a block share the work of unpacking, more rows that of making tables: by count of instructions, 3 % each so.

use crate::activations::Activations;
use crate::cpu::avx512::{add_i16x32, load_i16x32, load_i32x16, load_u8x64, store_i32x16};
use crate::grid::Tile;
use crate::kernels::Packed;
use crate::panels::STEP;
use crate::panels::avx512_lut::{self, Table};
use std::arch::x86_64::*;
use std::ops::Range;

pub(crate) use super::avx512_lut::ROWS;

/// Columns that are a whole number of steps and of groups.
pub(crate) const DOZEN: usize = 12;
/// Steps of a dozen, of four columns.
pub(crate) const STEPS: usize = DOZEN / STEP;
/// Groups of a dozen, of three columns.
pub(crate) const GROUPS: usize = 4;
/// Vectors of 32 rows that are multiplied: the first ones of a panel.
pub(crate) const MULTIPLIED: usize = 2;
/// Vectors of 32 rows that are looked up.
pub(crate) const LOOKED_UP: usize = avx512_lut::VECTORS - MULTIPLIED;
/// Columns unpacked at a time. 32 groups, of which each adds at most 2 * 3 * 128 to a 16-bit sum: 24576.
const CHUNK: usize = 96;
/// Panels unpacked at a time.
const PANELS: usize = 2;
/// Tokens of a register tile.
const TOKENS: usize = 4;
/// Most tokens of a block.
const MOST_TOKENS: usize = 64;
/// Bytes of the sums of a block of rows and tokens: 2560 rows of 64 tokens.
const SUM_BYTES: usize = 640 << 10;

/// Twelve columns of a panel, unpacked.
///
/// Vectors of 32 rows become two here: one of the even rows, one of the odd rows.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Dozen {
    /// `w + 1` of four columns in each 32-bit lane, a row to a lane.
    pub(crate) codes: [[[u8; 64]; 2 * MULTIPLIED]; STEPS],
    /// What to look up in the lowest five bits of each 16-bit lane, a row to a lane.
    pub(crate) indices: [[[u8; 64]; LOOKED_UP]; GROUPS],
}

/// Twelve columns of the tokens of a tile.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Operands {
    /// Sums of `(w + 1) * a` by index.
    tables: [[Table; TOKENS]; GROUPS],
    /// Activations of a step: four int8 values, the first column in the lowest byte.
    values: [[i32; TOKENS]; STEPS],
}

/// Sums of `(w + 1) * a` of a tile: of each 32 rows first the even ones, then the odd ones.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Sums([[i32; ROWS]; TOKENS]);

/// Multiplies the rows of `out` by its tokens. `unpack(panel, columns, to)` writes some columns of a panel, a multiple of
/// `UNIT` from its start; `fill(values, tables, token)` makes the tables of twelve columns of a token of a tile. `UNIT` columns
/// are the least that is packed.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(crate) fn multiply<const UNIT: usize>(
    packed: &Packed,
    activations: &Activations,
    out: &mut Tile<'_>,
    mut unpack: impl FnMut(usize, Range<usize>, &mut [Dozen]),
    mut fill: impl FnMut(&[i8; DOZEN], &mut [[Table; TOKENS]; GROUPS], usize),
) {
    const { assert!(CHUNK.is_multiple_of(UNIT) && UNIT.is_multiple_of(DOZEN)) };
    let cols = packed.cols.next_multiple_of(UNIT);
    let (rows, tokens) = (out.cols(), out.tokens());
    debug_assert!(rows.start.is_multiple_of(ROWS), "stripes start on a panel");
    let panels = rows.start / ROWS..rows.end.div_ceil(ROWS);
    // Blocks of one size, as a small last one would cost as much as any.
    let block_tokens = even_share(tokens.len(), MOST_TOKENS).next_multiple_of(TOKENS);
    let tiles = block_tokens / TOKENS;
    let block_panels = even_share(panels.len(), SUM_BYTES / (tiles * size_of::<Sums>()));
    let mut weights = vec![Dozen::ZERO; PANELS * (CHUNK.min(cols) / DOZEN)];
    let mut operands = vec![Operands::ZERO; tiles * (CHUNK.min(cols) / DOZEN)];
    let mut sums = vec![Sums([[0; ROWS]; TOKENS]); tiles * block_panels];
    for first_panel in panels.clone().step_by(block_panels) {
        let panels = first_panel..panels.end.min(first_panel + block_panels);
        for first_token in tokens.clone().step_by(block_tokens) {
            let tokens = first_token..tokens.end.min(first_token + block_tokens);
            let tiles = tokens.len().div_ceil(TOKENS);
            let sums = &mut sums[..tiles * panels.len()];
            sums.fill(Sums([[0; ROWS]; TOKENS]));
            for from in (0..cols).step_by(CHUNK) {
                let columns = from..cols.min(from + CHUNK);
                let dozens = columns.len() / DOZEN;
                let operands = &mut operands[..tiles * dozens];
                for (index, token) in tokens.clone().enumerate() {
                    // What a last tile lacks is left as it is; nobody reads the sums.
                    let operands = &mut operands[index / TOKENS * dozens..][..dozens];
                    let (values, _) = activations.int8(token)[columns.clone()].as_chunks();
                    for (operands, values) in operands.iter_mut().zip(values) {
                        operands.set(index % TOKENS, values);
                        fill(values, &mut operands.tables, index % TOKENS);
                    }
                }
                for (first, sums) in panels
                    .clone()
                    .step_by(PANELS)
                    .zip(sums.chunks_mut(PANELS * tiles))
                {
                    let together = first..panels.end.min(first + PANELS);
                    let weights = &mut weights[..together.len() * dozens];
                    for (panel, weights) in together.clone().zip(weights.chunks_exact_mut(dozens)) {
                        unpack(panel, columns.clone(), weights);
                    }
                    for (operands, sums) in operands
                        .chunks_exact(dozens)
                        .zip(sums.chunks_exact_mut(together.len()))
                    {
                        for (weights, sums) in weights.chunks_exact(dozens).zip(sums) {
                            tile(weights, operands, sums);
                        }
                    }
                }
            }
            for (first, sums) in panels
                .clone()
                .step_by(PANELS)
                .zip(sums.chunks(PANELS * tiles))
            {
                let together = first..panels.end.min(first + PANELS);
                for (index, token) in tokens.clone().enumerate() {
                    let excess = activations.sum(token);
                    let sums = &sums[index / TOKENS * together.len()..][..together.len()];
                    let out = &mut out.token(token)[first * ROWS - rows.start..];
                    for (out, sums) in out.chunks_mut(ROWS).zip(sums) {
                        let sums = in_order(&sums.0[index % TOKENS]);
                        for (out, sum) in out.iter_mut().zip(sums) {
                            *out = activations.rescale(token, sum - excess, packed.scale);
                        }
                    }
                }
            }
        }
    }
}

/// The largest of the fewest, most even shares of `all` that are not larger than `most`.
fn even_share(all: usize, most: usize) -> usize {
    all.div_ceil(all.div_ceil(most))
}

impl Dozen {
    const ZERO: Dozen = Dozen {
        codes: [[[0; 64]; 2 * MULTIPLIED]; STEPS],
        indices: [[[0; 64]; LOOKED_UP]; GROUPS],
    };
}

impl Operands {
    const ZERO: Operands = Operands {
        tables: [[Table([0; 32]); TOKENS]; GROUPS],
        values: [[0; TOKENS]; STEPS],
    };

    /// Sets the activations of a token.
    #[inline]
    fn set(&mut self, token: usize, values: &[i8; DOZEN]) {
        let (steps, _) = values.as_chunks::<STEP>();
        for (to, step) in self.values.iter_mut().zip(steps) {
            to[token] = i32::from_le_bytes(step.map(i8::cast_unsigned));
        }
    }
}

/// Adds the sums of `(w + 1) * a` over at most a chunk. A call of its own, so that the registers are its own too.
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn tile(weights: &[Dozen], operands: &[Operands], sums: &mut Sums) {
    let operands = &operands[..weights.len()];
    let mut totals = [[_mm512_setzero_si512(); 2 * MULTIPLIED]; TOKENS];
    let mut words = [[_mm512_setzero_si512(); LOOKED_UP]; TOKENS];
    for (totals, sums) in totals.iter_mut().zip(&sums.0) {
        for (total, sums) in totals.iter_mut().zip(sums.as_chunks().0) {
            *total = load_i32x16(sums);
        }
    }
    for k in 0..weights.len() {
        let (weights, operands) = (&weights[k], &operands[k]);
        for step in 0..STEPS {
            totals = multiply_add(totals, &weights.codes[step], &operands.values[step]);
            words = look_up(words, &weights.indices[step], &operands.tables[step]);
        }
        words = look_up(words, &weights.indices[STEPS], &operands.tables[STEPS]);
    }
    // A product of pairs takes the even or the odd words, extends them and adds them.
    let halves = [_mm512_set1_epi32(1), _mm512_set1_epi32(1 << 16)];
    for token in 0..TOKENS {
        let (vectors, _) = sums.0[token].as_chunks_mut::<16>();
        for vector in 0..2 * MULTIPLIED {
            store_i32x16(&mut vectors[vector], totals[token][vector]);
        }
        for vector in 0..LOOKED_UP {
            for half in 0..2 {
                let sums = &mut vectors[2 * (MULTIPLIED + vector) + half];
                let total =
                    _mm512_dpwssd_epi32(load_i32x16(sums), words[token][vector], halves[half]);
                store_i32x16(sums, total);
            }
        }
    }
}

/// Adds the products of one step.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn multiply_add(
    mut totals: [[__m512i; 2 * MULTIPLIED]; TOKENS],
    codes: &[[u8; 64]; 2 * MULTIPLIED],
    values: &[i32; TOKENS],
) -> [[__m512i; 2 * MULTIPLIED]; TOKENS] {
    let mut w = [_mm512_setzero_si512(); 2 * MULTIPLIED];
    for vector in 0..2 * MULTIPLIED {
        w[vector] = load_u8x64(&codes[vector]);
    }
    for token in 0..TOKENS {
        let a = _mm512_set1_epi32(values[token]);
        for vector in 0..2 * MULTIPLIED {
            totals[token][vector] = _mm512_dpbusd_epi32(totals[token][vector], w[vector], a);
        }
    }
    totals
}

/// Adds what the tables of one group hold.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn look_up(
    mut words: [[__m512i; LOOKED_UP]; TOKENS],
    indices: &[[u8; 64]; LOOKED_UP],
    tables: &[Table; TOKENS],
) -> [[__m512i; LOOKED_UP]; TOKENS] {
    let mut index = [_mm512_setzero_si512(); LOOKED_UP];
    for vector in 0..LOOKED_UP {
        index[vector] = load_u8x64(&indices[vector]);
    }
    for token in 0..TOKENS {
        let table = load_i16x32(&tables[token].0);
        for vector in 0..LOOKED_UP {
            let sum = _mm512_permutexvar_epi16(index[vector], table);
            words[token][vector] = add_i16x32(words[token][vector], sum);
        }
    }
    words
}

/// The sums of a token in the order of the rows.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn in_order(sums: &[i32; ROWS]) -> [i32; ROWS] {
    let first = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    let second = _mm512_add_epi32(first, _mm512_set1_epi32(8));
    let mut ordered = [0; ROWS];
    let (vectors, _) = sums.as_chunks::<16>();
    let (to, _) = ordered.as_chunks_mut::<16>();
    for pair in 0..ROWS / 32 {
        let even = load_i32x16(&vectors[2 * pair]);
        let odd = load_i32x16(&vectors[2 * pair + 1]);
        let low = _mm512_permutex2var_epi32(even, first, odd);
        let high = _mm512_permutex2var_epi32(even, second, odd);
        store_i32x16(&mut to[2 * pair], low);
        store_i32x16(&mut to[2 * pair + 1], high);
    }
    ordered
}
