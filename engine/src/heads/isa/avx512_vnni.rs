//! AVX-512 with dot products: two steps of eight rows in a vector, four columns (or two, of 16 bits) of the hidden state in
//! every lane.
//!
//! Codes of 4 and 6 bits are multiplied as unsigned bytes by the upper and by the lower bytes of the hidden state
//! (`vpdpbusd`), bytes of `q8_0` are widened and multiplied by all 16 bits (`vpdpwssd`); all sums have 32 bits. The two steps
//! of a vector meet in the end, where the upper half is added to the lower one.
#![expect(unsafe_code, reason = "calls across the target-feature boundary")]

use super::super::fixed_point::{BLOCK, FixedPoint};
use super::super::lanes::LANES;
use super::super::{q6_k, q8_0, screened};
use super::{Isa, portable};
use crate::cpu::avx512::*;
use crate::cpu::x86_64::*;
use crate::cpu::{Avx512Vnni, Cpu};
use std::arch::x86_64::*;

/// How far ahead weights are asked for, in bytes: about the latency of memory at its bandwidth.
const AHEAD: usize = 8 << 10;
/// How many rows ahead the second plane is asked for; its rows are far apart.
const ROWS_AHEAD: usize = 3;

struct Avx512 {
    proof: Avx512Vnni,
}

pub(super) fn detect(cpu: &Cpu) -> Option<Box<dyn Isa>> {
    Some(Box::new(Avx512 {
        proof: cpu.avx512_vnni().ok()?,
    }))
}

impl Isa for Avx512 {
    fn name(&self) -> &'static str {
        "avx512-vnni"
    }

    fn q8_0(&self, groups: &[u8], hidden: &FixedPoint, out: &mut [f32]) {
        // SAFETY: `self.proof` exists only where these features were detected.
        unsafe { q8_0_rows(self.proof, groups, hidden, out) }
    }

    fn q6_k(&self, groups: &[u8], hidden: &FixedPoint, out: &mut [f32]) {
        // SAFETY: `self.proof` exists only where these features were detected.
        unsafe { q6_k_rows(self.proof, groups, hidden, out) }
    }

    fn screen(&self, groups: &[u8], hidden: &FixedPoint, value: &mut [f32], error: &mut [f32]) {
        // SAFETY: `self.proof` exists only where these features were detected.
        unsafe { screen_rows(self.proof, groups, hidden, value, error) }
    }

    fn refine(
        &self,
        plane: &[u8],
        stride: usize,
        rows: &[u32],
        hidden: &FixedPoint,
        out: &mut [f32],
    ) {
        // SAFETY: `self.proof` exists only where these features were detected.
        unsafe { refine_rows(self.proof, plane, stride, rows, hidden, out) }
    }
}

#[target_feature(enable = "avx2,avx512f,avx512bw,avx512vnni")]
fn q8_0_rows(_: Avx512Vnni, groups: &[u8], hidden: &FixedPoint, out: &mut [f32]) {
    let group_bytes = hidden.blocks() * q8_0::BLOCK_BYTES;
    let values = hidden.values.as_chunks::<BLOCK>().0;
    for (out, group) in out.chunks_mut(LANES).zip(groups.chunks_exact(group_bytes)) {
        let mut sums = _mm256_setzero_ps();
        let blocks = group.as_chunks::<{ q8_0::BLOCK_BYTES }>().0;
        for (block, values) in blocks.iter().zip(values) {
            for line in 0..5 {
                prefetch(block, AHEAD + 64 * line);
            }
            let (d, weights) = block.split_at(q8_0::SCALE_BYTES);
            let weights = weights.as_chunks::<32>().0;
            let values = load_i16x32(values);
            let mut products = [_mm512_setzero_si512(); 2];
            for step in 0..BLOCK / 4 {
                let weights = _mm512_cvtepi8_epi16(load_u8x32(&weights[step]));
                let pairs = two_of(values, 2 * step);
                products[step % 2] = _mm512_dpwssd_epi32(products[step % 2], weights, pairs);
            }
            let product = halves_added(_mm512_add_epi32(products[0], products[1]));
            sums = multiply_add(sums, product, halves(d));
        }
        finish(sums, hidden.scale, out);
    }
}

#[target_feature(enable = "avx2,avx512f,avx512bw,avx512vnni")]
fn q6_k_rows(_: Avx512Vnni, groups: &[u8], hidden: &FixedPoint, out: &mut [f32]) {
    let group_bytes = q6_k::group_bytes(hidden.cols());
    let high = hidden.high.as_chunks::<BLOCK>().0;
    let low = hidden.low.as_chunks::<BLOCK>().0;
    let nibble = _mm512_set1_epi8(0x0f);
    let upper = _mm512_set1_epi8(0x30);
    // The bits of step p stand at 2 p; they belong at 4.
    let to_left = both(_mm256_set1_epi16(4), _mm256_set1_epi16(2));
    let to_right = both(_mm256_setzero_si256(), _mm256_set1_epi16(2));
    for (out, group) in out.chunks_mut(LANES).zip(groups.chunks_exact(group_bytes)) {
        let mut sums = _mm256_setzero_ps();
        let mut first = 0;
        for block in group.chunks(q6_k::D_BYTES + q6_k::PARTS * q6_k::PART_BYTES) {
            prefetch(block, AHEAD);
            let (d, parts) = block.split_at(q6_k::D_BYTES);
            let parts = parts.as_chunks::<{ q6_k::PART_BYTES }>().0;
            let mut scaled = _mm256_setzero_ps();
            let values = high[first..]
                .iter()
                .zip(&low[first..])
                .zip(&hidden.sums16_32[first..]);
            for (part, ((high, low), offsets)) in parts.iter().zip(values) {
                for line in 0..4 {
                    prefetch(part, AHEAD + 64 * line);
                }
                let (scales, codes) = part.split_at(q6_k::S_BYTES);
                let scales = scales.as_chunks::<8>().0;
                let (bits, lower) = codes.split_at(64);
                let (bits, lower) = (bits.as_chunks::<32>().0, lower.as_chunks::<64>().0);
                let (high, low) = (words(high), words(low));
                for half in 0..2 {
                    let bits = load_u8x32(&bits[half]);
                    let bits = both(bits, bits);
                    let bits = [
                        _mm512_sllv_epi16(bits, to_left),
                        _mm512_srlv_epi16(bits, to_right),
                    ];
                    let mut by_high = _mm512_setzero_si512();
                    let mut by_low = _mm512_setzero_si512();
                    for pair in 0..2 {
                        let lower = load_u8x64(&lower[pair]);
                        let lower = if half == 0 {
                            lower
                        } else {
                            _mm512_srli_epi16::<4>(lower)
                        };
                        let lower = _mm512_and_si512(lower, nibble);
                        // Where the mask has ones the upper bits, else the lower ones.
                        let codes = _mm512_ternarylogic_epi32::<0xca>(upper, bits[pair], lower);
                        let step = 4 * half + 2 * pair;
                        by_high = _mm512_dpbusd_epi32(by_high, codes, two_of(high, step));
                        by_low = _mm512_dpbusd_epi32(by_low, codes, two_of(low, step));
                    }
                    let product = _mm512_add_epi32(_mm512_slli_epi32::<8>(by_high), by_low);
                    let offset = _mm256_set1_epi32(offsets[half]);
                    let product = _mm256_sub_epi32(halves_added(product), offset);
                    let scale = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(load_u8x8(&scales[half])));
                    scaled = multiply_add(scaled, product, scale);
                }
            }
            first += parts.len();
            sums = _mm256_add_ps(sums, _mm256_mul_ps(scaled, halves(d)));
        }
        finish(sums, hidden.scale, out);
    }
}

#[target_feature(enable = "avx2,avx512f,avx512bw,avx512vnni")]
fn screen_rows(
    _: Avx512Vnni,
    groups: &[u8],
    hidden: &FixedPoint,
    value: &mut [f32],
    error: &mut [f32],
) {
    let group_bytes = hidden.blocks() * screened::BLOCK_BYTES;
    let high = hidden.high.as_chunks::<BLOCK>().0;
    let low = hidden.low.as_chunks::<BLOCK>().0;
    let nibble = _mm512_set1_epi8(0x0f);
    let outs = value.chunks_mut(LANES).zip(error.chunks_mut(LANES));
    for ((value, error), group) in outs.zip(groups.chunks_exact(group_bytes)) {
        let mut sums = _mm256_setzero_ps();
        let mut errors = _mm256_setzero_ps();
        let blocks = group.as_chunks::<{ screened::BLOCK_BYTES }>().0;
        let values = high
            .iter()
            .zip(low)
            .zip(&hidden.fifteen_sums)
            .zip(&hidden.block_norms);
        for (block, (((high, low), offset), norm)) in blocks.iter().zip(values) {
            for line in 0..3 {
                prefetch(block, AHEAD + 64 * line);
            }
            let (scales, codes) = block.split_at(2 * LANES);
            let scales = scales.as_chunks::<8>().0;
            let codes = codes.as_chunks::<64>().0;
            let (high, low) = (words(high), words(low));
            let mut by_high = [_mm512_setzero_si512(); 2];
            let mut by_low = [_mm512_setzero_si512(); 2];
            for pair in 0..2 {
                let codes = load_u8x64(&codes[pair]);
                let codes = [
                    _mm512_and_si512(codes, nibble),
                    _mm512_and_si512(_mm512_srli_epi16::<4>(codes), nibble),
                ];
                for half in 0..2 {
                    let step = 4 * half + 2 * pair;
                    let (high, low) = (two_of(high, step), two_of(low, step));
                    by_high[half] = _mm512_dpbusd_epi32(by_high[half], codes[half], high);
                    by_low[half] = _mm512_dpbusd_epi32(by_low[half], codes[half], low);
                }
            }
            let by_high = _mm512_add_epi32(by_high[0], by_high[1]);
            let by_low = _mm512_add_epi32(by_low[0], by_low[1]);
            let product = halves_added(twice(by_high, by_low));
            let product = _mm256_sub_epi32(product, _mm256_set1_epi32(*offset));
            let scale = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(load_u8x8(&scales[0])));
            sums = multiply_add(sums, product, scale);
            let t = _mm256_cvtepu8_epi32(load_u8x8(&scales[1]));
            errors = multiply_add(errors, t, _mm256_set1_ps(*norm));
        }
        finish(sums, 1.0, value);
        finish(errors, 1.0, error);
    }
}

#[target_feature(enable = "avx2,avx512f,avx512bw,avx512vnni")]
fn refine_rows(
    _: Avx512Vnni,
    plane: &[u8],
    stride: usize,
    rows: &[u32],
    hidden: &FixedPoint,
    out: &mut [f32],
) {
    let scale_bytes = screened::refined_scale_bytes(hidden.cols());
    let row_bytes = |row: u32| &plane[row as usize * stride..][..stride];
    let high = hidden.high.as_chunks::<{ 2 * BLOCK }>().0;
    let low = hidden.low.as_chunks::<{ 2 * BLOCK }>().0;
    let offsets = hidden.fifteen_sums4.as_chunks::<2>().0;
    let nibble = _mm512_set1_epi8(0x0f);
    let to_right = both(_mm256_setzero_si256(), _mm256_set1_epi16(4));
    let ask = |row: u32| row_bytes(row).chunks(64).for_each(|line| prefetch(line, 0));
    rows.iter().take(ROWS_AHEAD).for_each(|row| ask(*row));
    for (index, (out, row)) in out.iter_mut().zip(rows).enumerate() {
        if let Some(row) = rows.get(index + ROWS_AHEAD) {
            ask(*row);
        }
        let (scales, codes) = row_bytes(*row).split_at(scale_bytes);
        let scales = scales.as_chunks::<2>().0;
        let mut sums = _mm256_setzero_ps();
        let values = high.iter().zip(low).zip(offsets);
        for ((codes, scales), ((high, low), offsets)) in
            codes.as_chunks::<BLOCK>().0.iter().zip(scales).zip(values)
        {
            // 64 columns are 64 codes, and the block of the lower halves comes first.
            let codes = load_u8x32(codes);
            let codes = _mm512_srlv_epi16(both(codes, codes), to_right);
            let codes = _mm512_and_si512(codes, nibble);
            let zero = _mm512_setzero_si512();
            let by_high = _mm512_dpbusd_epi32(zero, codes, load_i8x64(high));
            let by_low = _mm512_dpbusd_epi32(zero, codes, load_i8x64(low));
            let product = twice(by_high, by_low);
            for half in 0..2 {
                let product = if half == 0 {
                    _mm512_castsi512_si256(product)
                } else {
                    _mm512_extracti64x4_epi64::<1>(product)
                };
                let product = _mm256_sub_epi32(product, load_i32x8(&offsets[half]));
                sums = multiply_add(sums, product, _mm256_set1_ps(f32::from(scales[half])));
            }
        }
        let mut lanes = [0.0; LANES];
        store_f32x8(&mut lanes, sums);
        *out = portable::sum(lanes);
    }
}

/// Two vectors of 256 bits in one.
#[inline]
#[target_feature(enable = "avx2,avx512f")]
fn both(lower: __m256i, upper: __m256i) -> __m512i {
    _mm512_inserti64x4::<1>(_mm512_castsi256_si512(lower), upper)
}

/// The bytes of a block of the hidden state: eight words of four columns.
#[inline]
#[target_feature(enable = "avx2,avx512f")]
fn words(bytes: &[i8; BLOCK]) -> __m512i {
    _mm512_castsi256_si512(load_i8x32(bytes))
}

/// The word `step` in the lower eight lanes, the one after it in the upper eight.
#[inline]
#[target_feature(enable = "avx2,avx512f")]
fn two_of(words: __m512i, step: usize) -> __m512i {
    // A constant once the loop over the steps is unrolled.
    let step = i32::try_from(step).unwrap_or(0);
    let index = both(_mm256_set1_epi32(step), _mm256_set1_epi32(step + 1));
    _mm512_permutexvar_epi32(index, words)
}

/// `512 * high + 2 * low`
#[inline]
#[target_feature(enable = "avx2,avx512f")]
fn twice(high: __m512i, low: __m512i) -> __m512i {
    _mm512_add_epi32(_mm512_slli_epi32::<9>(high), _mm512_slli_epi32::<1>(low))
}

#[inline]
#[target_feature(enable = "avx2,avx512f")]
fn halves_added(sums: __m512i) -> __m256i {
    _mm256_add_epi32(
        _mm512_castsi512_si256(sums),
        _mm512_extracti64x4_epi64::<1>(sums),
    )
}

/// `sums + products * factors`, rounded twice: fusing would give other bits than the portable loops do.
#[inline]
#[target_feature(enable = "avx2,avx512f")]
fn multiply_add(sums: __m256, products: __m256i, factors: __m256) -> __m256 {
    _mm256_add_ps(sums, _mm256_mul_ps(_mm256_cvtepi32_ps(products), factors))
}

/// The half-precision scales of eight rows.
#[inline]
#[target_feature(enable = "avx2,avx512f")]
fn halves(bytes: &[u8]) -> __m256 {
    let bytes = bytes
        .first_chunk::<16>()
        .expect("a scale of two bytes for each row");
    let halves = _mm256_castsi128_si256(load_u8x16(bytes));
    _mm512_castps512_ps256(_mm512_cvtph_ps(halves))
}

#[inline]
#[target_feature(enable = "avx2,avx512f")]
fn finish(sums: __m256, scale: f32, out: &mut [f32]) {
    let mut lanes = [0.0; LANES];
    store_f32x8(&mut lanes, _mm256_mul_ps(sums, _mm256_set1_ps(scale)));
    out.copy_from_slice(&lanes[..out.len()]);
}
