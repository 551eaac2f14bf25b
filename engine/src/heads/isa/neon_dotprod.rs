//! Advanced SIMD with dot products of bytes (`sdot`): 32-bit sums of four columns of a row in each lane.
//!
//! Two pairs of columns of `q8_0` are put together to four (`zip`), so that its bytes are multiplied as they are.
#![expect(unsafe_code, reason = "calls across the target-feature boundary")]

use super::super::fixed_point::{BLOCK, FixedPoint};
use super::super::lanes::LANES;
use super::super::q8_0;
use super::Isa;
use super::neon_loops::{
    self, AHEAD, Bytes, Codes, Multiply, Sums, combine, everywhere, finish, fours, halves,
    multiply_add,
};
use crate::cpu::aarch64::*;
use crate::cpu::{Cpu, NeonDotprod};
use std::arch::aarch64::*;

struct WithDotprod {
    proof: NeonDotprod,
}

pub(super) fn detect(cpu: &Cpu) -> Option<Box<dyn Isa>> {
    Some(Box::new(WithDotprod {
        proof: cpu.neon_dotprod().ok()?,
    }))
}

impl Isa for WithDotprod {
    fn name(&self) -> &'static str {
        "neon-dotprod"
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

/// Sums for the upper bytes and for the lower ones.
type Open = [Sums; 2];

#[inline]
#[target_feature(enable = "neon,dotprod")]
fn add(mut open: Open, codes: Codes, bytes: Bytes) -> Open {
    for byte in 0..2 {
        for vector in 0..2 {
            open[byte][vector] = sdot(open[byte][vector], codes[vector], bytes[byte][vector]);
        }
    }
    open
}

#[target_feature(enable = "neon,dotprod")]
fn q8_0_rows(_: NeonDotprod, groups: &[u8], hidden: &FixedPoint, out: &mut [f32]) {
    let group_bytes = hidden.blocks() * q8_0::BLOCK_BYTES;
    let (high, low) = fours(hidden);
    for (out, group) in out.chunks_mut(LANES).zip(groups.chunks_exact(group_bytes)) {
        let mut sums = [vdupq_n_f32(0.0); 2];
        let blocks = group.as_chunks::<{ q8_0::BLOCK_BYTES }>().0;
        for (block, (high, low)) in blocks.iter().zip(high.iter().zip(low)) {
            for line in 0..4 {
                prefetch(block, AHEAD + 64 * line);
            }
            let (d, weights) = block.split_at(q8_0::SCALE_BYTES);
            let weights = weights.as_chunks::<16>().0;
            let mut open = [[vdupq_n_s32(0); 2]; 2];
            for step in 0..BLOCK / 4 {
                let first = vreinterpretq_s16_u8(load_u8x16(&weights[2 * step]));
                let second = vreinterpretq_s16_u8(load_u8x16(&weights[2 * step + 1]));
                let codes = [
                    vreinterpretq_s8_s16(vzip1q_s16(first, second)),
                    vreinterpretq_s8_s16(vzip2q_s16(first, second)),
                ];
                open = add(open, codes, everywhere([high[step], low[step]]));
            }
            let (products, d) = (combine::<8>(open, 0), halves(d));
            for vector in 0..2 {
                sums[vector] = multiply_add(sums[vector], products[vector], d[vector]);
            }
        }
        finish(sums, hidden.scale, out);
    }
}

#[target_feature(enable = "neon,dotprod")]
fn q6_k_rows(_: NeonDotprod, groups: &[u8], hidden: &FixedPoint, out: &mut [f32]) {
    let multiply = Multiply {
        zero: [[vdupq_n_s32(0); 2]; 2],
        add: |open, codes, bytes| add(open, codes, bytes),
        total: |open: Open| open,
    };
    neon_loops::q6_k(&multiply, groups, hidden, out);
}

#[target_feature(enable = "neon,dotprod")]
fn screen_rows(
    _: NeonDotprod,
    groups: &[u8],
    hidden: &FixedPoint,
    value: &mut [f32],
    error: &mut [f32],
) {
    let multiply = Multiply {
        zero: [[vdupq_n_s32(0); 2]; 2],
        add: |open, codes, bytes| add(open, codes, bytes),
        total: |open: Open| open,
    };
    neon_loops::screen(&multiply, groups, hidden, value, error);
}

#[target_feature(enable = "neon,dotprod")]
fn refine_rows(
    _: NeonDotprod,
    plane: &[u8],
    stride: usize,
    rows: &[u32],
    hidden: &FixedPoint,
    out: &mut [f32],
) {
    let multiply = Multiply {
        zero: [[vdupq_n_s32(0); 2]; 2],
        add: |open, codes, bytes| add(open, codes, bytes),
        total: |open: Open| open,
    };
    neon_loops::refine(&multiply, plane, stride, rows, hidden, out);
}
