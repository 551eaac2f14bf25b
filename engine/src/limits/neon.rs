//! Limits of Advanced SIMD: widening byte multiply-add into 16-bit sums, fused multiply-add, 128-bit reads.
#![expect(unsafe_code, reason = "an empty piece of assembly hides a value")]

use super::{Numbers, Peak, Reader, compiled_for};
use crate::cpu::aarch64::load_u8x16;
use crate::cpu::{Neon, Proof, entry};
use std::arch::aarch64::*;
use std::arch::asm;

/// Weights and activations of the byte loop; each pair is two instructions, for the low and the high bytes: 16 sums.
const WEIGHTS: usize = 2;
const ACTIVATIONS: usize = 4;
/// Sums of the fused loop: up to four multiply-adds a cycle for a latency of four.
const SUMS: usize = 20;
/// Bytes that a turn of the read loop takes, one register for each load.
const TURN: usize = 128;

pub(super) static INT8: Peak = Peak {
    name: "int8-neon",
    numbers: Numbers::Int8,
    instruction: "smlal",
    requires: Neon::FEATURES,
    operations: 2 * (WEIGHTS * ACTIVATIONS * 16) as u64,
    run: compiled_for!(Neon, int8),
};

pub(super) static F32: Peak = Peak {
    name: "f32-neon",
    numbers: Numbers::F32,
    instruction: "fmla (single precision)",
    requires: Neon::FEATURES,
    operations: 2 * (SUMS * 4) as u64,
    run: compiled_for!(Neon, f32),
};

pub(super) static READER: Reader = Reader {
    name: "128-bit loads",
    requires: Neon::FEATURES,
    run: |cpu, bytes, passes, _| {
        let read = entry!(Neon, read, (bytes: &[u8], passes: u64) -> u64);
        Ok(read(Proof::of(cpu)?, bytes, passes))
    },
};

/// The same vector, which the compiler can no longer know: a product of it is computed again in every repetition.
#[inline]
#[target_feature(enable = "neon")]
fn opaque(mut x: int8x16_t) -> int8x16_t {
    // SAFETY: the template holds no instruction.
    unsafe { asm!("/* {0:v} */", inout(vreg) x, options(nomem, nostack, preserves_flags)) };
    x
}

#[inline]
#[target_feature(enable = "neon")]
fn opaque_f32(x: float32x4_t) -> float32x4_t {
    vreinterpretq_f32_s8(opaque(vreinterpretq_s8_f32(x)))
}

#[target_feature(enable = "neon")]
fn int8(_: Neon, repeats: u64) -> u64 {
    let mut w = [vdupq_n_s8(1); WEIGHTS];
    let mut a = [vdupq_n_s8(1); ACTIVATIONS];
    let mut sums = [[[vdupq_n_s16(0); 2]; ACTIVATIONS]; WEIGHTS];
    for a in &mut a {
        *a = opaque(*a);
    }
    for sum in sums.iter_mut().flatten().flatten() {
        *sum = vreinterpretq_s16_s8(opaque(vreinterpretq_s8_s16(*sum)));
    }
    for _ in 0..repeats {
        for (w, sums) in w.iter_mut().zip(&mut sums) {
            *w = opaque(*w);
            for (a, [low, high]) in a.iter().zip(sums) {
                *low = vmlal_s8(*low, vget_low_s8(*w), vget_low_s8(*a));
                *high = vmlal_high_s8(*high, *w, *a);
            }
        }
    }
    let mut total = 0;
    for sum in sums.into_iter().flatten().flatten() {
        total += u64::from(vaddlvq_s16(sum).cast_unsigned());
    }
    total
}

#[target_feature(enable = "neon")]
fn f32(_: Neon, repeats: u64) -> u64 {
    let w = opaque_f32(vdupq_n_f32(1.0));
    let a = opaque_f32(vdupq_n_f32(1.0));
    let mut sums = [vdupq_n_f32(0.0); SUMS];
    for sum in &mut sums {
        *sum = opaque_f32(*sum);
    }
    for _ in 0..repeats {
        for sum in &mut sums {
            *sum = vfmaq_f32(*sum, w, a);
        }
    }
    let mut total = 0;
    for sum in sums {
        total += super::count(vaddvq_f32(sum));
    }
    total
}

#[target_feature(enable = "neon")]
fn read(_: Neon, bytes: &[u8], passes: u64) -> u64 {
    let mut sums = [vdupq_n_u8(0); TURN / 16];
    for _ in 0..passes {
        for turn in std::hint::black_box(bytes).as_chunks::<TURN>().0 {
            for (sum, vector) in sums.iter_mut().zip(turn.as_chunks::<16>().0) {
                *sum = vorrq_u8(*sum, load_u8x16(vector));
            }
        }
    }
    let mut all = 0;
    for sum in sums {
        let words = vreinterpretq_u64_u8(sum);
        all |= vgetq_lane_u64::<0>(words) | vgetq_lane_u64::<1>(words);
    }
    all
}
