//! The loops of Advanced SIMD, whatever multiplies bytes: eight rows in two vectors of four lanes, four columns of the hidden
//! state in every lane.
//!
//! Loops run over constant ranges: those are unrolled, and the vectors stay in registers.

use super::super::fixed_point::{BLOCK, FixedPoint};
use super::super::lanes::LANES;
use super::super::{q6_k, screened};
use super::portable;
use crate::cpu::aarch64::*;
use std::arch::aarch64::*;

/// How far ahead weights are asked for, in bytes: about the latency of memory at its bandwidth.
pub(super) const AHEAD: usize = 8 << 10;
/// How many rows ahead the second plane is asked for; its rows are far apart.
const ROWS_AHEAD: usize = 3;

/// Codes of four columns of eight rows, or of 32 columns of one.
pub(super) type Codes = [int8x16_t; 2];
/// The bytes of the hidden state that meet them: the upper ones, the lower ones.
pub(super) type Bytes = [[int8x16_t; 2]; 2];
/// A 32-bit integer in each lane of eight.
pub(super) type Sums = [int32x4_t; 2];
/// A single-precision number in each lane of eight.
pub(super) type Floats = [float32x4_t; 2];

/// How bytes are multiplied; `S` holds sums that are not finished.
pub(super) struct Multiply<S, A, T> {
    /// No products.
    pub(super) zero: S,
    /// Adds the products of codes and bytes: `add(sums, codes, bytes)`.
    pub(super) add: A,
    /// The sums of four columns each: those of the upper bytes, those of the lower ones.
    pub(super) total: T,
}

/// See [`super::Isa::q6_k`].
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn q6_k<S: Copy>(
    multiply: &Multiply<S, impl Fn(S, Codes, Bytes) -> S, impl Fn(S) -> [Sums; 2]>,
    groups: &[u8],
    hidden: &FixedPoint,
    out: &mut [f32],
) {
    let group_bytes = q6_k::group_bytes(hidden.cols());
    let (high, low) = fours(hidden);
    let (nibble, upper) = (vdupq_n_u8(0x0f), vdupq_n_u8(0x30));
    for (out, group) in out.chunks_mut(LANES).zip(groups.chunks_exact(group_bytes)) {
        let mut sums = [vdupq_n_f32(0.0); 2];
        let mut first = 0;
        for block in group.chunks(q6_k::D_BYTES + q6_k::PARTS * q6_k::PART_BYTES) {
            prefetch(block, AHEAD);
            let (d, parts) = block.split_at(q6_k::D_BYTES);
            let parts = parts.as_chunks::<{ q6_k::PART_BYTES }>().0;
            let mut scaled = [vdupq_n_f32(0.0); 2];
            let values = high[first..]
                .iter()
                .zip(&low[first..])
                .zip(&hidden.sums16_32[first..]);
            for (part, ((high, low), offsets)) in parts.iter().zip(values) {
                for line in 0..4 {
                    prefetch(part, AHEAD + 64 * line);
                }
                let vectors = part.as_chunks::<16>().0;
                let scales = vreinterpretq_s8_u8(load_u8x16(&vectors[0]));
                let scales = [
                    vmovl_s8(vget_low_s8(scales)),
                    vmovl_s8(vget_high_s8(scales)),
                ];
                for half in 0..2 {
                    let bits = [
                        load_u8x16(&vectors[1 + 2 * half]),
                        load_u8x16(&vectors[2 + 2 * half]),
                    ];
                    let mut open = multiply.zero;
                    for step in 0..4 {
                        let mut codes = [vdupq_n_s8(0); 2];
                        for vector in 0..2 {
                            let lower = load_u8x16(&vectors[5 + 2 * step + vector]);
                            let lower = if half == 0 {
                                vandq_u8(lower, nibble)
                            } else {
                                vshrq_n_u8::<4>(lower)
                            };
                            // The bits of step p stand at 2 p; they belong at 4.
                            let bits = match step {
                                0 => vshlq_n_u8::<4>(bits[vector]),
                                1 => vshlq_n_u8::<2>(bits[vector]),
                                2 => bits[vector],
                                _ => vshrq_n_u8::<2>(bits[vector]),
                            };
                            codes[vector] = vreinterpretq_s8_u8(vbslq_u8(upper, bits, lower));
                        }
                        let bytes = [high[4 * half + step], low[4 * half + step]];
                        open = (multiply.add)(open, codes, everywhere(bytes));
                    }
                    let products = combine::<8>((multiply.total)(open), offsets[half]);
                    let scales = [
                        vmovl_s16(vget_low_s16(scales[half])),
                        vmovl_s16(vget_high_s16(scales[half])),
                    ];
                    for vector in 0..2 {
                        let scale = vcvtq_f32_s32(scales[vector]);
                        scaled[vector] = multiply_add(scaled[vector], products[vector], scale);
                    }
                }
            }
            first += parts.len();
            let d = halves(d);
            for vector in 0..2 {
                sums[vector] = vaddq_f32(sums[vector], vmulq_f32(scaled[vector], d[vector]));
            }
        }
        finish(sums, hidden.scale, out);
    }
}

/// See [`super::Isa::screen`].
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn screen<S: Copy>(
    multiply: &Multiply<S, impl Fn(S, Codes, Bytes) -> S, impl Fn(S) -> [Sums; 2]>,
    groups: &[u8],
    hidden: &FixedPoint,
    value: &mut [f32],
    error: &mut [f32],
) {
    let group_bytes = hidden.blocks() * screened::BLOCK_BYTES;
    let (high, low) = fours(hidden);
    let nibble = vdupq_n_u8(0x0f);
    let outs = value.chunks_mut(LANES).zip(error.chunks_mut(LANES));
    for ((value, error), group) in outs.zip(groups.chunks_exact(group_bytes)) {
        let (mut sums, mut errors) = ([vdupq_n_f32(0.0); 2], [vdupq_n_f32(0.0); 2]);
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
            let vectors = block.as_chunks::<16>().0;
            let mut open = multiply.zero;
            for step in 0..4 {
                let codes = [
                    load_u8x16(&vectors[1 + 2 * step]),
                    load_u8x16(&vectors[2 + 2 * step]),
                ];
                let lower = codes.map(|codes| vreinterpretq_s8_u8(vandq_u8(codes, nibble)));
                let upper = codes.map(|codes| vreinterpretq_s8_u8(vshrq_n_u8::<4>(codes)));
                open = (multiply.add)(open, lower, everywhere([high[step], low[step]]));
                open = (multiply.add)(open, upper, everywhere([high[4 + step], low[4 + step]]));
            }
            let products = combine::<9>((multiply.total)(open), *offset);
            let scales = load_u8x16(&vectors[0]);
            let (s, t) = (
                vmovl_u8(vget_low_u8(scales)),
                vmovl_u8(vget_high_u8(scales)),
            );
            let (s, t) = (widened(s), widened(t));
            for vector in 0..2 {
                sums[vector] = multiply_add(sums[vector], products[vector], s[vector]);
                let error = vmulq_f32(t[vector], vdupq_n_f32(*norm));
                errors[vector] = vaddq_f32(errors[vector], error);
            }
        }
        finish(sums, 1.0, value);
        finish(errors, 1.0, error);
    }
}

/// See [`super::Isa::refine`].
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn refine<S: Copy>(
    multiply: &Multiply<S, impl Fn(S, Codes, Bytes) -> S, impl Fn(S) -> [Sums; 2]>,
    plane: &[u8],
    stride: usize,
    rows: &[u32],
    hidden: &FixedPoint,
    out: &mut [f32],
) {
    let scale_bytes = screened::refined_scale_bytes(hidden.cols());
    let row_bytes = |row: u32| &plane[row as usize * stride..][..stride];
    let high = hidden.high.as_chunks::<16>().0.as_chunks::<4>().0;
    let low = hidden.low.as_chunks::<16>().0.as_chunks::<4>().0;
    let offsets = hidden.fifteen_sums4.as_chunks::<2>().0;
    let nibble = vdupq_n_u8(0x0f);
    let ask = |row: u32| row_bytes(row).chunks(64).for_each(|line| prefetch(line, 0));
    rows.iter().take(ROWS_AHEAD).for_each(|row| ask(*row));
    for (index, (out, row)) in out.iter_mut().zip(rows).enumerate() {
        if let Some(row) = rows.get(index + ROWS_AHEAD) {
            ask(*row);
        }
        let (scales, codes) = row_bytes(*row).split_at(scale_bytes);
        let scales = scales.as_chunks::<2>().0;
        let mut sums = [vdupq_n_f32(0.0); 2];
        let values = high.iter().zip(low).zip(offsets);
        for ((codes, scales), ((high, low), offsets)) in
            codes.as_chunks::<BLOCK>().0.iter().zip(scales).zip(values)
        {
            let codes = codes.as_chunks::<16>().0;
            let codes = [load_u8x16(&codes[0]), load_u8x16(&codes[1])];
            for half in 0..2 {
                let codes = codes.map(|codes| {
                    vreinterpretq_s8_u8(if half == 0 {
                        vandq_u8(codes, nibble)
                    } else {
                        vshrq_n_u8::<4>(codes)
                    })
                });
                let bytes = [high, low].map(|bytes| {
                    [
                        load_i8x16(&bytes[2 * half]),
                        load_i8x16(&bytes[2 * half + 1]),
                    ]
                });
                let open = (multiply.add)(multiply.zero, codes, bytes);
                let products = combine::<9>((multiply.total)(open), 0);
                let offsets = offsets[half].as_chunks::<4>().0;
                let scale = vdupq_n_f32(f32::from(scales[half]));
                for vector in 0..2 {
                    let product = vsubq_s32(products[vector], load_i32x4(&offsets[vector]));
                    sums[vector] = multiply_add(sums[vector], product, scale);
                }
            }
        }
        let mut lanes = [0.0; LANES];
        store(&mut lanes, sums);
        *out = portable::sum(lanes);
    }
}

/// Four columns at a time, eight times four to a block.
type Fours = [[[i8; 4]; 8]];

/// The upper and the lower bytes.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn fours(hidden: &FixedPoint) -> (&Fours, &Fours) {
    let high = hidden.high.as_chunks::<4>().0.as_chunks::<8>().0;
    (high, hidden.low.as_chunks::<4>().0.as_chunks::<8>().0)
}

/// Four columns in every lane.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn everywhere([high, low]: [[i8; 4]; 2]) -> Bytes {
    [[broadcast_i8x4(high); 2], [broadcast_i8x4(low); 2]]
}

/// `high * 2^SHIFT + low * 2^(SHIFT - 8) - offset`
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn combine<const SHIFT: u32>([high, low]: [Sums; 2], offset: i32) -> Sums {
    let mut products = [vdupq_n_s32(0); 2];
    for vector in 0..2 {
        let high = vmulq_n_s32(high[vector], 1 << SHIFT);
        let low = vmulq_n_s32(low[vector], 1 << (SHIFT - 8));
        products[vector] = vsubq_s32(vaddq_s32(high, low), vdupq_n_s32(offset));
    }
    products
}

#[inline]
#[target_feature(enable = "neon")]
fn widened(bytes: uint16x8_t) -> Floats {
    [
        vcvtq_f32_u32(vmovl_u16(vget_low_u16(bytes))),
        vcvtq_f32_u32(vmovl_u16(vget_high_u16(bytes))),
    ]
}

/// `sums + products * factors`, rounded twice: fusing would give other bits than the portable loops do.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn multiply_add(
    sums: float32x4_t,
    products: int32x4_t,
    factors: float32x4_t,
) -> float32x4_t {
    vaddq_f32(sums, vmulq_f32(vcvtq_f32_s32(products), factors))
}

/// The half-precision scales of eight rows.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn halves(bytes: &[u8]) -> Floats {
    let bytes = bytes
        .first_chunk::<16>()
        .expect("a scale of two bytes for each row");
    let halves = vreinterpretq_f16_u8(load_u8x16(bytes));
    [
        vcvt_f32_f16(vget_low_f16(halves)),
        vcvt_high_f32_f16(halves),
    ]
}

#[inline]
#[target_feature(enable = "neon")]
fn store(lanes: &mut [f32; LANES], sums: Floats) {
    let vectors = lanes.as_chunks_mut::<4>().0;
    store_f32x4(&mut vectors[0], sums[0]);
    store_f32x4(&mut vectors[1], sums[1]);
}

#[inline]
#[target_feature(enable = "neon")]
pub(super) fn finish(sums: Floats, scale: f32, out: &mut [f32]) {
    let mut lanes = [0.0; LANES];
    let scale = vdupq_n_f32(scale);
    store(
        &mut lanes,
        [vmulq_f32(sums[0], scale), vmulq_f32(sums[1], scale)],
    );
    out.copy_from_slice(&lanes[..out.len()]);
}
