//! Ternary weights in 1.6 bits times int8 activations with AVX-512 VBMI and VNNI.
//!
//! Layout: panels of 32 rows, blocks of 20 columns, two vectors of 16 rows; a 32-bit lane belongs to a row:
//!
//! ```text
//! panel, block k       | rows 0-15: 16 lanes of 4 bytes | rows 16-31 |     128 bytes
//! byte b of a lane     w`[b]`, w`[4+b]`, w`[8+b]`, w`[12+b]`, w`[16+b]`
//!                      bit 7: sign | bits 6-0: class
//! ```
//!
//! Five trits have 243 values, in pairs that differ in sign alone: the sign is a bit, and the 122 classes fit in seven, which is
//! what one byte permute of two registers can look up. It gives the first four trits as codes of two bits, in planes as
//! those of `i2s-avx512-vnni`. Classes that differ in bit 6 share their fifth trit, so a permute of one register gives that
//! one. Where the sign is set, `2 - code` takes the place of `code`, in all four fields of a byte by one subtraction.

use super::matrix::{Kernel, Pack, compiled_for};
use super::{Agreement, Family, KernelVariant, PackError, Packed};
use crate::activations::Activations;
use crate::cpu::Avx512Vbmi;
use crate::cpu::avx512::{broadcast_i8x4_512, load_u8x64, store_i32x16, store_u8x64};
use crate::cpu::x86_64::prefetch;
use crate::grid::Tile;
use crate::panels::avx512_vnni::{BYTES, ROWS, TOKENS, tile};
use crate::panels::blocks::pack_blocks;
use crate::panels::{self, Codes, STEP};
use crate::weights::TernaryMatrix;
use std::arch::x86_64::*;

pub(super) static VARIANT: KernelVariant = KernelVariant {
    name: "trit5-avx512",
    family: Family::Trit5,
    requires: Avx512Vbmi::FEATURES,
    bits_per_weight: 1.6,
    agreement: Agreement::Exact,
    about: "AVX-512 byte permutes look five trits up, int8 dot products, 32 rows in lanes",
    pack: |weights, cpu| KERNEL.pack(&VARIANT, weights, cpu),
};

static KERNEL: Kernel<Avx512Vbmi> = Kernel {
    pack: Pack::Ternary(pack),
    row_block: ROWS,
    multiply: compiled_for!(Avx512Vbmi, multiply),
    unpack_row: |packed, row, out| packed.unpack_row::<COLUMNS, BLOCK, _>(ROWS, row, out, weight),
};

/// Trits of a byte.
const TRITS: usize = 5;
/// Columns of a block.
const COLUMNS: usize = TRITS * STEP;
/// Bytes of a block.
const BLOCK: usize = ROWS * STEP;
/// Columns unpacked at a time by prefill, a multiple of a block: 15 KiB of codes.
const CHUNK: usize = 24 * COLUMNS;
/// Decode: blocks whose sums fit in 32 bits. The plane of bits 6-7 adds at most 4 * 128 * 128 = 65536 to a lane.
const BLOCKS_PER_SUM: usize = 1 << 14;
/// How far ahead decode asks for weights, in bytes: about the latency of memory at its bandwidth.
const AHEAD: usize = 8 << 10;

/// Classes whose bit 6 is clear and whose fifth trit is 1: with those that have the bit set, 82 for 81 values of the others.
const WITH_FIFTH: usize = 41;
/// The same for a fifth trit of 0: 42 for the 41 values of the others that are not negative.
const WITHOUT_FIFTH: usize = 21;
/// The bit that says which of two classes with the same fifth trit.
const HALF: usize = 64;
/// The code of four trits: their value to the base of 3 plus this is not negative.
const LARGEST: u8 = 40;
/// The sign bit of a byte.
const SIGN: u8 = 0x80;
/// What codes of two bits are subtracted from to change the signs of their trits.
const TWOS: u8 = 0b10_10_10_10;

/// The byte of five trits.
fn encode(mut trits: [i8; TRITS]) -> u8 {
    let four = |t: &[i8; TRITS]| t[0] + 3 * t[1] + 9 * t[2] + 27 * t[3];
    let negative = trits[4] < 0 || (trits[4] == 0 && four(&trits) < 0);
    if negative {
        trits = trits.map(|t| -t);
    }
    let value = usize::from(LARGEST.strict_add_signed(four(&trits)));
    let class = if trits[4] == 1 {
        value / WITH_FIFTH * HALF + value % WITH_FIFTH
    } else {
        let value = value - usize::from(LARGEST);
        value / WITHOUT_FIFTH * HALF + WITH_FIFTH + value % WITHOUT_FIFTH
    };
    u8::try_from(class).expect("seven bits") | if negative { SIGN } else { 0 }
}

/// The first four trits of each class, `t + 1` in two bits each, the first in the lowest.
const FOUR: [u8; 128] = {
    let mut table = [0; 128];
    let mut class = 0;
    while class < 128 {
        let (half, low) = (class / HALF, class % HALF);
        let mut value = if low < WITH_FIFTH {
            half * WITH_FIFTH + low
        } else {
            LARGEST as usize + half * WITHOUT_FIFTH + low - WITH_FIFTH
        };
        let mut trit = 0;
        while trit < 4 {
            #[expect(clippy::cast_possible_truncation, reason = "at most 2")]
            let code = (value % 3) as u8;
            table[class] |= code << (2 * trit);
            value /= 3;
            trit += 1;
        }
        class += 1;
    }
    table
};

/// The fifth trit of each class, as `t + 1`.
const FIFTH: [u8; HALF] = {
    let mut table = [1; HALF];
    let mut low = 0;
    while low < WITH_FIFTH {
        table[low] = 2;
        low += 1;
    }
    table
};

fn pack(matrix: &TernaryMatrix) -> Result<Packed, PackError> {
    pack_blocks::<COLUMNS, BLOCK>(matrix, ROWS, |rows, block| {
        for (index, byte) in block.iter_mut().enumerate() {
            let (row, b) = (index / STEP, index % STEP);
            let columns = rows.row::<COLUMNS>(row);
            *byte = encode(std::array::from_fn(|plane| columns[plane * STEP + b]));
        }
    })
}

/// A weight of a block.
fn weight(block: &[u8; BLOCK], row: usize, column: usize) -> i8 {
    let byte = block[row * STEP + column % STEP];
    let code = match column / STEP {
        4 => FIFTH[usize::from(byte) % HALF],
        plane => FOUR[usize::from(byte & !SIGN)] >> (2 * plane) & 3,
    };
    let weight = code.cast_signed() - 1;
    if byte & SIGN == 0 { weight } else { -weight }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vnni")]
fn multiply(_: Avx512Vbmi, packed: &Packed, activations: &Activations, out: &mut Tile<'_>) {
    panels::multiply::<ROWS, BYTES, COLUMNS, BLOCK, CHUNK, TOKENS, 1>(
        packed,
        activations,
        out,
        |panel, values, sum| dot(panel, values, sum),
        |blocks, codes| unpack(blocks, codes),
        |codes, values, sums| tile(codes, values, sums),
    );
}

/// The tables in registers.
#[derive(Clone, Copy)]
struct Tables {
    four: [__m512i; 2],
    fifth: __m512i,
    twos: __m512i,
    two: __m512i,
}

impl Tables {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vnni")]
    fn load() -> Tables {
        let (halves, _) = FOUR.as_chunks::<64>();
        Tables {
            four: [load_u8x64(&halves[0]), load_u8x64(&halves[1])],
            fifth: load_u8x64(&FIFTH),
            twos: _mm512_set1_epi8(TWOS.cast_signed()),
            two: _mm512_set1_epi8(2),
        }
    }

    /// `w + 1` of 64 bytes: of four trits in planes of two bits, and of the fifth.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vnni")]
    fn look_up(self, bytes: __m512i) -> (__m512i, __m512i) {
        let negative = _mm512_movepi8_mask(bytes);
        let four = _mm512_permutex2var_epi8(self.four[0], bytes, self.four[1]);
        let fifth = _mm512_permutexvar_epi8(bytes, self.fifth);
        (
            _mm512_mask_sub_epi8(four, negative, self.twos, four),
            _mm512_mask_sub_epi8(fifth, negative, self.two, fifth),
        )
    }
}

/// Sums of `w * a` over the rows of a panel.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vnni")]
fn dot(panel: &[[u8; BLOCK]], values: &[i8], sum: i32) -> [i32; ROWS] {
    let tables = Tables::load();
    let masks = [
        _mm512_set1_epi8(0x03),
        _mm512_set1_epi8(0x0c),
        _mm512_set1_epi8(0x30),
        _mm512_set1_epi8(0xc0_u8.cast_signed()),
    ];
    let values = &values.as_chunks::<COLUMNS>().0[..panel.len()];
    let mut totals = [_mm512_set1_epi32(-sum); 2];
    for from in (0..panel.len()).step_by(BLOCKS_PER_SUM) {
        let to = panel.len().min(from + BLOCKS_PER_SUM);
        let mut sums = [[_mm512_setzero_si512(); 2]; TRITS];
        for k in from..to {
            let (block, values) = (&panel[k], &values[k]);
            prefetch(block, AHEAD);
            prefetch(block, AHEAD + 64);
            let (planes, _) = values.as_chunks::<STEP>();
            let (halves, _) = block.as_chunks::<64>();
            for half in 0..2 {
                let (four, fifth) = tables.look_up(load_u8x64(&halves[half]));
                for plane in 0..4 {
                    let a = broadcast_i8x4_512(&planes[plane]);
                    let codes = _mm512_and_si512(four, masks[plane]);
                    sums[plane][half] = _mm512_dpbusd_epi32(sums[plane][half], codes, a);
                }
                let a = broadcast_i8x4_512(&planes[4]);
                sums[4][half] = _mm512_dpbusd_epi32(sums[4][half], fifth, a);
            }
        }
        for half in 0..2 {
            let ones = _mm512_add_epi32(sums[0][half], sums[4][half]);
            let low = _mm512_add_epi32(ones, _mm512_srai_epi32::<2>(sums[1][half]));
            let high = _mm512_add_epi32(
                _mm512_srai_epi32::<4>(sums[2][half]),
                _mm512_srai_epi32::<6>(sums[3][half]),
            );
            totals[half] = _mm512_add_epi32(totals[half], _mm512_add_epi32(low, high));
        }
    }
    let mut result = [0; ROWS];
    let (halves, _) = result.as_chunks_mut::<16>();
    for half in 0..2 {
        store_i32x16(&mut halves[half], totals[half]);
    }
    result
}

/// Writes `w + 1` of the columns of some blocks.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vnni")]
fn unpack(blocks: &[[u8; BLOCK]], codes: &mut [Codes<BYTES>]) {
    let tables = Tables::load();
    let low = _mm512_set1_epi8(0x03);
    for (block, steps) in blocks.iter().zip(codes.as_chunks_mut::<TRITS>().0) {
        let (halves, _) = block.as_chunks::<64>();
        for (half, bytes) in halves.iter().enumerate() {
            let (four, fifth) = tables.look_up(load_u8x64(bytes));
            let planes = [
                _mm512_and_si512(four, low),
                _mm512_and_si512(_mm512_srli_epi16::<2>(four), low),
                _mm512_and_si512(_mm512_srli_epi16::<4>(four), low),
                _mm512_and_si512(_mm512_srli_epi16::<6>(four), low),
                fifth,
            ];
            for plane in 0..TRITS {
                store_u8x64(
                    &mut steps[plane].as_chunks_mut::<64>().0[half],
                    planes[plane],
                );
            }
        }
    }
}
