//! Peaks of SSE2, which every x86-64 CPU has: the yardstick of portable code compiled for this target.
#![expect(
    unsafe_code,
    reason = "calls across the target-feature boundary, and an empty piece of assembly that hides a value"
)]

use super::{Numbers, Peak};
use std::arch::asm;
use std::arch::x86_64::*;

/// Activations in registers.
const ACTIVATIONS: usize = 4;
/// Weights in registers.
const WEIGHTS: usize = 2;

pub(super) static INT8: Peak = Peak {
    name: "int8-sse2",
    numbers: Numbers::Int8,
    instruction: "pmaddwd + paddd",
    requires: &[],
    operations: 2 * (WEIGHTS * ACTIVATIONS * 8) as u64,
    run: |_, repeats| {
        // SAFETY: SSE2 is part of x86-64.
        Ok(unsafe { int8(repeats) })
    },
};

pub(super) static F32: Peak = Peak {
    name: "f32-sse2",
    numbers: Numbers::F32,
    instruction: "mulps + addps",
    requires: &[],
    operations: 2 * (WEIGHTS * ACTIVATIONS * 4) as u64,
    run: |_, repeats| {
        // SAFETY: SSE2 is part of x86-64.
        Ok(unsafe { f32(repeats) })
    },
};

/// The same vector, which the compiler can no longer know: a product of it is computed again in every repetition.
#[inline]
#[target_feature(enable = "sse2")]
fn opaque(mut x: __m128i) -> __m128i {
    // SAFETY: the template holds no instruction.
    unsafe { asm!("/* {0} */", inout(xmm_reg) x, options(nomem, nostack, preserves_flags)) };
    x
}

#[inline]
#[target_feature(enable = "sse2")]
fn opaque_ps(x: __m128) -> __m128 {
    _mm_castsi128_ps(opaque(_mm_castps_si128(x)))
}

/// Bytes are widened before they are multiplied: SSE2 has no byte products.
#[target_feature(enable = "sse2")]
fn int8(repeats: u64) -> u64 {
    let one = _mm_set1_epi16(1);
    let mut w = [one; WEIGHTS];
    let mut a = [one; ACTIVATIONS];
    let mut sums = [[_mm_setzero_si128(); ACTIVATIONS]; WEIGHTS];
    for v in a.iter_mut().chain(sums.iter_mut().flatten()) {
        *v = opaque(*v);
    }
    for _ in 0..repeats {
        for (w, sums) in w.iter_mut().zip(&mut sums) {
            *w = opaque(*w);
            for (a, sum) in a.iter().zip(sums) {
                *sum = _mm_add_epi32(*sum, _mm_madd_epi16(*w, *a));
            }
        }
    }
    let mut total = 0;
    for sum in sums.into_iter().flatten() {
        let lanes: [u32; 4] = bytemuck::cast(sum);
        total += lanes.into_iter().map(u64::from).sum::<u64>();
    }
    total
}

#[target_feature(enable = "sse2")]
fn f32(repeats: u64) -> u64 {
    let one = _mm_set1_ps(1.0);
    let mut w = [one; WEIGHTS];
    let mut a = [one; ACTIVATIONS];
    let mut sums = [[_mm_setzero_ps(); ACTIVATIONS]; WEIGHTS];
    for v in a.iter_mut().chain(sums.iter_mut().flatten()) {
        *v = opaque_ps(*v);
    }
    for _ in 0..repeats {
        for (w, sums) in w.iter_mut().zip(&mut sums) {
            *w = opaque_ps(*w);
            for (a, sum) in a.iter().zip(sums) {
                *sum = _mm_add_ps(*sum, _mm_mul_ps(*w, *a));
            }
        }
    }
    let mut total = 0;
    for sum in sums.into_iter().flatten() {
        let lanes: [f32; 4] = bytemuck::cast(sum);
        total += super::count(lanes.into_iter().sum());
    }
    total
}
