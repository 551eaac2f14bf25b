//! Plain Advanced SIMD: multiply-adds of bytes in 16-bit sums.
//!
//! Codes of 4 and 6 bits are multiplied by the upper and by the lower bytes of the hidden state (`smlal`), which overflows
//! nowhere: of a 4-bit code, eight products add up to 8 * 15 * 128 = 15360; of a 6-bit code, four to 4 * 63 * 128 = 32256.
//! Bytes of `q8_0` are widened to 16 bits, because two products of a signed byte have no such room.
#![expect(unsafe_code, reason = "calls across the target-feature boundary")]

use super::super::fixed_point::{BLOCK, FixedPoint};
use super::super::lanes::LANES;
use super::super::q8_0;
use super::Isa;
use super::neon_loops::{self, AHEAD, Bytes, Codes, Multiply, Sums, finish, halves, multiply_add};
use crate::cpu::aarch64::*;
use crate::cpu::{Cpu, Neon};
use std::arch::aarch64::*;

struct Plain {
    proof: Neon,
}

pub(super) fn detect(cpu: &Cpu) -> Option<Box<dyn Isa>> {
    Some(Box::new(Plain {
        proof: cpu.neon().ok()?,
    }))
}

impl Isa for Plain {
    fn name(&self) -> &'static str {
        "neon"
    }

    fn q8_0(&self, groups: &[u8], hidden: &FixedPoint, out: &mut [f32]) {
        // SAFETY: `self.proof` exists only where this feature was detected.
        unsafe { q8_0_rows(self.proof, groups, hidden, out) }
    }

    fn q6_k(&self, groups: &[u8], hidden: &FixedPoint, out: &mut [f32]) {
        // SAFETY: `self.proof` exists only where this feature was detected.
        unsafe { q6_k_rows(self.proof, groups, hidden, out) }
    }

    fn screen(&self, groups: &[u8], hidden: &FixedPoint, value: &mut [f32], error: &mut [f32]) {
        // SAFETY: `self.proof` exists only where this feature was detected.
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
        // SAFETY: `self.proof` exists only where this feature was detected.
        unsafe { refine_rows(self.proof, plane, stride, rows, hidden, out) }
    }
}

/// Sums of columns, for the upper bytes and for the lower ones: eight columns, in the order of codes, in each vector.
type Open = [[int16x8_t; 4]; 2];

#[inline]
#[target_feature(enable = "neon")]
fn add(mut open: Open, codes: Codes, bytes: Bytes) -> Open {
    for byte in 0..2 {
        for vector in 0..2 {
            let (first, second) = (2 * vector, 2 * vector + 1);
            let value = bytes[byte][vector];
            open[byte][first] = smlal_low(open[byte][first], codes[vector], value);
            open[byte][second] = smlal_high(open[byte][second], codes[vector], value);
        }
    }
    open
}

#[inline]
#[target_feature(enable = "neon")]
fn total(open: Open) -> [Sums; 2] {
    let mut sums = [[vdupq_n_s32(0); 2]; 2];
    for byte in 0..2 {
        for vector in 0..2 {
            let first = vpaddlq_s16(open[byte][2 * vector]);
            let second = vpaddlq_s16(open[byte][2 * vector + 1]);
            sums[byte][vector] = vpaddq_s32(first, second);
        }
    }
    sums
}

#[target_feature(enable = "neon")]
fn q8_0_rows(_: Neon, groups: &[u8], hidden: &FixedPoint, out: &mut [f32]) {
    let group_bytes = hidden.blocks() * q8_0::BLOCK_BYTES;
    let pairs = hidden
        .values
        .as_chunks::<2>()
        .0
        .as_chunks::<{ BLOCK / 2 }>()
        .0;
    for (out, group) in out.chunks_mut(LANES).zip(groups.chunks_exact(group_bytes)) {
        let mut sums = [vdupq_n_f32(0.0); 2];
        let blocks = group.as_chunks::<{ q8_0::BLOCK_BYTES }>().0;
        for (block, pairs) in blocks.iter().zip(pairs) {
            for line in 0..4 {
                prefetch(block, AHEAD + 64 * line);
            }
            let (d, weights) = block.split_at(q8_0::SCALE_BYTES);
            let weights = weights.as_chunks::<16>().0;
            // The products of two rows in each.
            let mut products = [vdupq_n_s32(0); 4];
            for step in 0..BLOCK / 2 {
                let bytes = vreinterpretq_s8_u8(load_u8x16(&weights[step]));
                let rows = [vmovl_s8(vget_low_s8(bytes)), vmovl_s8(vget_high_s8(bytes))];
                let pair = broadcast_i16x2(pairs[step]);
                for half in 0..2 {
                    let (first, second) = (2 * half, 2 * half + 1);
                    let (low, value) = (vget_low_s16(rows[half]), vget_low_s16(pair));
                    products[first] = vmlal_s16(products[first], low, value);
                    products[second] = vmlal_high_s16(products[second], rows[half], pair);
                }
            }
            let products = [
                vpaddq_s32(products[0], products[1]),
                vpaddq_s32(products[2], products[3]),
            ];
            let d = halves(d);
            for vector in 0..2 {
                sums[vector] = multiply_add(sums[vector], products[vector], d[vector]);
            }
        }
        finish(sums, hidden.scale, out);
    }
}

#[target_feature(enable = "neon")]
fn q6_k_rows(_: Neon, groups: &[u8], hidden: &FixedPoint, out: &mut [f32]) {
    let multiply = Multiply {
        zero: [[vdupq_n_s16(0); 4]; 2],
        add: |open, codes, bytes| add(open, codes, bytes),
        total: |open: Open| total(open),
    };
    neon_loops::q6_k(&multiply, groups, hidden, out);
}

#[target_feature(enable = "neon")]
fn screen_rows(_: Neon, groups: &[u8], hidden: &FixedPoint, value: &mut [f32], error: &mut [f32]) {
    let multiply = Multiply {
        zero: [[vdupq_n_s16(0); 4]; 2],
        add: |open, codes, bytes| add(open, codes, bytes),
        total: |open: Open| total(open),
    };
    neon_loops::screen(&multiply, groups, hidden, value, error);
}

#[target_feature(enable = "neon")]
fn refine_rows(
    _: Neon,
    plane: &[u8],
    stride: usize,
    rows: &[u32],
    hidden: &FixedPoint,
    out: &mut [f32],
) {
    let multiply = Multiply {
        zero: [[vdupq_n_s16(0); 4]; 2],
        add: |open, codes, bytes| add(open, codes, bytes),
        total: |open: Open| total(open),
    };
    neon_loops::refine(&multiply, plane, stride, rows, hidden, out);
}
