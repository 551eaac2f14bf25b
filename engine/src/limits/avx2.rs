//! Limits of AVX2: byte multiply-add into 16-bit sums, fused multiply-add, 256-bit reads.
#![expect(unsafe_code, reason = "an empty piece of assembly hides a value")]

use super::{Numbers, Peak, Reader, compiled_for};
use crate::cpu::x86_64::{load_u8x32, prefetch};
use crate::cpu::{Avx2, Avx2F16c, Proof, entry};
use std::arch::asm;
use std::arch::x86_64::*;

/// Weights of the byte loop. With four activations that is eight products, eight sums and a register for the product: 15 of 16.
const WEIGHTS: usize = 2;
const ACTIVATIONS: usize = 4;
/// Sums of the fused loop: two multiply-adds a cycle for a latency of up to five.
const SUMS: usize = 12;
/// Bytes that a turn of the read loop takes, one register for each load.
const TURN: usize = 256;

pub(super) static INT8: Peak = Peak {
    name: "int8-avx2",
    numbers: Numbers::Int8,
    instruction: "vpmaddubsw + vpaddw",
    requires: Avx2::FEATURES,
    operations: 2 * (WEIGHTS * ACTIVATIONS * 32) as u64,
    run: compiled_for!(Avx2, int8),
};

pub(super) static F32: Peak = Peak {
    name: "f32-avx2",
    numbers: Numbers::F32,
    instruction: "vfmadd (256 bits)",
    requires: Avx2F16c::FEATURES,
    operations: 2 * (SUMS * 8) as u64,
    run: compiled_for!(Avx2F16c, f32),
};

pub(super) static READER: Reader = Reader {
    name: "256-bit loads",
    requires: Avx2::FEATURES,
    run: |cpu, bytes, passes, ahead| {
        let read = entry!(Avx2, read, (bytes: &[u8], passes: u64, ahead: Option<usize>) -> u64);
        Ok(read(Proof::of(cpu)?, bytes, passes, ahead))
    },
};

/// The same vector, which the compiler can no longer know: a product of it is computed again in every repetition.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn opaque(mut x: __m256i) -> __m256i {
    // SAFETY: the template holds no instruction.
    unsafe { asm!("/* {0} */", inout(ymm_reg) x, options(nomem, nostack, preserves_flags)) };
    x
}

#[target_feature(enable = "avx2")]
fn int8(_: Avx2, repeats: u64) -> u64 {
    let one = _mm256_set1_epi8(1);
    let mut w = [one; WEIGHTS];
    let mut a = [one; ACTIVATIONS];
    let mut sums = [[_mm256_setzero_si256(); ACTIVATIONS]; WEIGHTS];
    for v in a.iter_mut().chain(sums.iter_mut().flatten()) {
        *v = opaque(*v);
    }
    for _ in 0..repeats {
        for (w, sums) in w.iter_mut().zip(&mut sums) {
            *w = opaque(*w);
            for (a, sum) in a.iter().zip(sums) {
                *sum = _mm256_add_epi16(*sum, _mm256_maddubs_epi16(*w, *a));
            }
        }
    }
    let mut total = 0;
    for sum in sums.into_iter().flatten() {
        let lanes: [u16; 16] = bytemuck::cast(sum);
        total += lanes.into_iter().map(u64::from).sum::<u64>();
    }
    total
}

#[target_feature(enable = "avx2,fma,f16c")]
fn f32(_: Avx2F16c, repeats: u64) -> u64 {
    let w = _mm256_castsi256_ps(opaque(_mm256_castps_si256(_mm256_set1_ps(1.0))));
    let a = _mm256_castsi256_ps(opaque(_mm256_castps_si256(_mm256_set1_ps(1.0))));
    let mut sums = [_mm256_setzero_ps(); SUMS];
    for sum in &mut sums {
        *sum = _mm256_castsi256_ps(opaque(_mm256_castps_si256(*sum)));
    }
    for _ in 0..repeats {
        for sum in &mut sums {
            *sum = _mm256_fmadd_ps(w, a, *sum);
        }
    }
    let mut total = 0;
    for sum in sums {
        let lanes: [f32; 8] = bytemuck::cast(sum);
        total += super::count(lanes.into_iter().sum());
    }
    total
}

#[target_feature(enable = "avx2")]
fn read(_: Avx2, bytes: &[u8], passes: u64, ahead: Option<usize>) -> u64 {
    match ahead {
        Some(ahead) => read_turns::<true>(bytes, passes, ahead),
        None => read_turns::<false>(bytes, passes, 0),
    }
}

#[target_feature(enable = "avx2")]
fn read_turns<const PREFETCH: bool>(bytes: &[u8], passes: u64, ahead: usize) -> u64 {
    let mut sums = [_mm256_setzero_si256(); TURN / 32];
    for _ in 0..passes {
        for turn in std::hint::black_box(bytes).as_chunks::<TURN>().0 {
            if PREFETCH {
                for line in 0..TURN / 64 {
                    prefetch(turn, ahead + line * 64);
                }
            }
            for (sum, vector) in sums.iter_mut().zip(turn.as_chunks::<32>().0) {
                *sum = _mm256_or_si256(*sum, load_u8x32(vector));
            }
        }
    }
    let mut all = 0;
    for sum in sums {
        let lanes: [u64; 4] = bytemuck::cast(sum);
        all |= lanes[0] | lanes[1] | lanes[2] | lanes[3];
    }
    all
}
