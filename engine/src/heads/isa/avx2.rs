//! AVX2: eight rows in the lanes of a vector, four columns (or two, of 16 bits) of the hidden state in every lane.
//!
//! Codes of 4 and 6 bits are multiplied as unsigned bytes by the upper and by the lower bytes of the hidden state
//! (`vpmaddubsw`), which saturates nowhere: of a 4-bit code, eight steps of two products add up to 8 * 2 * 15 * 128 = 30720;
//! of a 6-bit code, two steps to 2 * 2 * 63 * 128 = 32256. Bytes of `q8_0` are widened to 16 bits, because a signed byte has
//! no such room.
#![expect(unsafe_code, reason = "calls across the target-feature boundary")]

use super::super::fixed_point::{BLOCK, FixedPoint};
use super::super::lanes::LANES;
use super::super::{q6_k, q8_0, screened};
use super::{Isa, portable};
use crate::cpu::x86_64::*;
use crate::cpu::{Avx2F16c, Cpu};
use std::arch::x86_64::*;

/// How far ahead weights are asked for, in bytes: about the latency of memory at its bandwidth.
const AHEAD: usize = 8 << 10;
/// How many rows ahead the second plane is asked for; its rows are far apart.
const ROWS_AHEAD: usize = 3;

struct Avx2 {
    proof: Avx2F16c,
}

pub(super) fn detect(cpu: &Cpu) -> Option<Box<dyn Isa>> {
    Some(Box::new(Avx2 {
        proof: cpu.avx2_f16c().ok()?,
    }))
}

impl Isa for Avx2 {
    fn name(&self) -> &'static str {
        "avx2"
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

#[target_feature(enable = "avx2,fma,f16c")]
fn q8_0_rows(_: Avx2F16c, groups: &[u8], hidden: &FixedPoint, out: &mut [f32]) {
    let group_bytes = hidden.blocks() * q8_0::BLOCK_BYTES;
    let pairs: &[[i8; 4]] = bytemuck::cast_slice(&hidden.values);
    for (out, group) in out.chunks_mut(LANES).zip(groups.chunks_exact(group_bytes)) {
        let mut sums = _mm256_setzero_ps();
        let blocks = group.as_chunks::<{ q8_0::BLOCK_BYTES }>().0;
        for (block, pairs) in blocks.iter().zip(pairs.as_chunks::<{ BLOCK / 2 }>().0) {
            for line in 0..4 {
                prefetch(block, AHEAD + 64 * line);
            }
            let (d, weights) = block.split_at(q8_0::SCALE_BYTES);
            let mut products = [_mm256_setzero_si256(); 2];
            for (step, (weights, pair)) in weights.as_chunks::<16>().0.iter().zip(pairs).enumerate()
            {
                let weights = _mm256_cvtepi8_epi16(load_u8x16(weights));
                let product = _mm256_madd_epi16(weights, broadcast_i8x4(pair));
                products[step % 2] = _mm256_add_epi32(products[step % 2], product);
            }
            let product = _mm256_add_epi32(products[0], products[1]);
            sums = multiply_add(sums, product, halves(d));
        }
        finish(sums, hidden.scale, out);
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn q6_k_rows(_: Avx2F16c, groups: &[u8], hidden: &FixedPoint, out: &mut [f32]) {
    const STEP: usize = 4 * LANES;
    let group_bytes = q6_k::group_bytes(hidden.cols());
    let (high, _) = hidden.high.as_chunks::<4>().0.as_chunks::<8>();
    let (low, _) = hidden.low.as_chunks::<4>().0.as_chunks::<8>();
    let nibble = _mm256_set1_epi8(0x0f);
    let upper = _mm256_set1_epi8(0x30);
    let ones = _mm256_set1_epi16(1);
    let times_256 = _mm256_set1_epi16(256);
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
                for line in 0..3 {
                    prefetch(part, AHEAD + 64 * line);
                }
                let (scales, codes) = part.split_at(q6_k::S_BYTES);
                let scales = scales.as_chunks::<8>().0;
                let vectors = codes.as_chunks::<STEP>().0;
                for half in 0..2 {
                    let bits = load_u8x32(&vectors[half]);
                    // The bits of step p stand at 2 p; they belong at 4.
                    let uppers = [
                        _mm256_and_si256(_mm256_slli_epi16::<4>(bits), upper),
                        _mm256_and_si256(_mm256_slli_epi16::<2>(bits), upper),
                        _mm256_and_si256(bits, upper),
                        _mm256_and_si256(_mm256_srli_epi16::<2>(bits), upper),
                    ];
                    let mut product = _mm256_set1_epi32(-offsets[half]);
                    for pair in 0..2 {
                        let mut by_high = _mm256_setzero_si256();
                        let mut by_low = _mm256_setzero_si256();
                        for step in 2 * pair..2 * pair + 2 {
                            let lower = load_u8x32(&vectors[2 + step]);
                            let lower = if half == 0 {
                                lower
                            } else {
                                _mm256_srli_epi16::<4>(lower)
                            };
                            let codes =
                                _mm256_or_si256(_mm256_and_si256(lower, nibble), uppers[step]);
                            let high = broadcast_i8x4(&high[4 * half + step]);
                            let low = broadcast_i8x4(&low[4 * half + step]);
                            by_high = _mm256_add_epi16(by_high, _mm256_maddubs_epi16(codes, high));
                            by_low = _mm256_add_epi16(by_low, _mm256_maddubs_epi16(codes, low));
                        }
                        product = _mm256_add_epi32(product, _mm256_madd_epi16(by_high, times_256));
                        product = _mm256_add_epi32(product, _mm256_madd_epi16(by_low, ones));
                    }
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

#[target_feature(enable = "avx2,fma,f16c")]
fn screen_rows(
    _: Avx2F16c,
    groups: &[u8],
    hidden: &FixedPoint,
    value: &mut [f32],
    error: &mut [f32],
) {
    let group_bytes = hidden.blocks() * screened::BLOCK_BYTES;
    let (high, _) = hidden.high.as_chunks::<4>().0.as_chunks::<8>();
    let (low, _) = hidden.low.as_chunks::<4>().0.as_chunks::<8>();
    let nibble = _mm256_set1_epi8(0x0f);
    let times_2 = _mm256_set1_epi16(2);
    let times_512 = _mm256_set1_epi16(512);
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
            let mut by_high = _mm256_setzero_si256();
            let mut by_low = _mm256_setzero_si256();
            for (step, codes) in codes.as_chunks::<{ 4 * LANES }>().0.iter().enumerate() {
                let codes = load_u8x32(codes);
                let halves = [
                    _mm256_and_si256(codes, nibble),
                    _mm256_and_si256(_mm256_srli_epi16::<4>(codes), nibble),
                ];
                for (half, codes) in halves.into_iter().enumerate() {
                    let high = broadcast_i8x4(&high[4 * half + step]);
                    let low = broadcast_i8x4(&low[4 * half + step]);
                    by_high = _mm256_add_epi16(by_high, _mm256_maddubs_epi16(codes, high));
                    by_low = _mm256_add_epi16(by_low, _mm256_maddubs_epi16(codes, low));
                }
            }
            let product = _mm256_add_epi32(
                _mm256_madd_epi16(by_high, times_512),
                _mm256_madd_epi16(by_low, times_2),
            );
            let product = _mm256_sub_epi32(product, _mm256_set1_epi32(*offset));
            let scale = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(load_u8x8(&scales[0])));
            sums = multiply_add(sums, product, scale);
            errors = multiply_add(
                errors,
                _mm256_cvtepu8_epi32(load_u8x8(&scales[1])),
                _mm256_set1_ps(*norm),
            );
        }
        finish(sums, 1.0, value);
        finish(errors, 1.0, error);
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn refine_rows(
    _: Avx2F16c,
    plane: &[u8],
    stride: usize,
    rows: &[u32],
    hidden: &FixedPoint,
    out: &mut [f32],
) {
    let scale_bytes = screened::refined_scale_bytes(hidden.cols());
    let row_bytes = |row: u32| &plane[row as usize * stride..][..stride];
    let high = hidden.high.as_chunks::<BLOCK>().0.as_chunks::<2>().0;
    let low = hidden.low.as_chunks::<BLOCK>().0.as_chunks::<2>().0;
    let offsets = hidden.fifteen_sums4.as_chunks::<2>().0;
    let nibble = _mm256_set1_epi8(0x0f);
    let times_2 = _mm256_set1_epi16(2);
    let times_512 = _mm256_set1_epi16(512);
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
            let codes = load_u8x32(codes);
            let halves = [
                _mm256_and_si256(codes, nibble),
                _mm256_and_si256(_mm256_srli_epi16::<4>(codes), nibble),
            ];
            for (half, codes) in halves.into_iter().enumerate() {
                let by_high = _mm256_maddubs_epi16(codes, load_i8x32(&high[half]));
                let by_low = _mm256_maddubs_epi16(codes, load_i8x32(&low[half]));
                let product = _mm256_add_epi32(
                    _mm256_madd_epi16(by_high, times_512),
                    _mm256_madd_epi16(by_low, times_2),
                );
                let product = _mm256_sub_epi32(product, load_i32x8(&offsets[half]));
                let scale = _mm256_set1_ps(f32::from(scales[half]));
                sums = multiply_add(sums, product, scale);
            }
        }
        let mut lanes = [0.0; LANES];
        store_f32x8(&mut lanes, sums);
        *out = portable::sum(lanes);
    }
}

/// `sums + products * factors`, rounded twice: fusing would give other bits than the portable loops do.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn multiply_add(sums: __m256, products: __m256i, factors: __m256) -> __m256 {
    _mm256_add_ps(sums, _mm256_mul_ps(_mm256_cvtepi32_ps(products), factors))
}

/// The half-precision scales of eight rows.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn halves(bytes: &[u8]) -> __m256 {
    let bytes = bytes
        .first_chunk::<16>()
        .expect("a scale of two bytes for each row");
    _mm256_cvtph_ps(load_u8x16(bytes))
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn finish(sums: __m256, scale: f32, out: &mut [f32]) {
    let mut lanes = [0.0; LANES];
    store_f32x8(&mut lanes, _mm256_mul_ps(sums, _mm256_set1_ps(scale)));
    out.copy_from_slice(&lanes[..out.len()]);
}
