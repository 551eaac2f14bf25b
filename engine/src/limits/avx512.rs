//! Limits of AVX-512 F and BW: byte multiply-add into 16-bit sums, fused multiply-add, 512-bit reads.
#![expect(unsafe_code, reason = "an empty piece of assembly hides a value")]

use super::{Numbers, Peak, Reader, compiled_for};
use crate::cpu::avx512::load_u8x64;
use crate::cpu::x86_64::prefetch;
use crate::cpu::{Avx512, Proof, entry};
use std::arch::asm;
use std::arch::x86_64::*;

/// Weights of the byte loop; with six activations that is twelve products.
const WEIGHTS: usize = 2;
const ACTIVATIONS: usize = 6;
/// Sums of the fused loop: two multiply-adds a cycle for a latency of up to five.
const SUMS: usize = 12;
/// Bytes that a turn of the read loop takes, one register for each load.
const TURN: usize = 512;

pub(super) static INT8: Peak = Peak {
    name: "int8-avx512",
    numbers: Numbers::Int8,
    instruction: "vpmaddubsw + vpaddw (512)",
    requires: Avx512::FEATURES,
    operations: 2 * (WEIGHTS * ACTIVATIONS * 64) as u64,
    run: compiled_for!(Avx512, int8),
};

pub(super) static F32: Peak = Peak {
    name: "f32-avx512",
    numbers: Numbers::F32,
    instruction: "vfmadd (512 bits)",
    requires: Avx512::FEATURES,
    operations: 2 * (SUMS * 16) as u64,
    run: compiled_for!(Avx512, f32),
};

pub(super) static READER: Reader = Reader {
    name: "512-bit loads",
    requires: Avx512::FEATURES,
    run: |cpu, bytes, passes, ahead| {
        let read = entry!(Avx512, read, (bytes: &[u8], passes: u64, ahead: Option<usize>) -> u64);
        Ok(read(Proof::of(cpu)?, bytes, passes, ahead))
    },
};

/// The same vector, which the compiler can no longer know: a product of it is computed again in every repetition.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn opaque(mut x: __m512i) -> __m512i {
    // SAFETY: the template holds no instruction.
    unsafe { asm!("/* {0} */", inout(zmm_reg) x, options(nomem, nostack, preserves_flags)) };
    x
}

#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw")]
fn int8(_: Avx512, repeats: u64) -> u64 {
    let one = _mm512_set1_epi8(1);
    let mut w = [one; WEIGHTS];
    let mut a = [one; ACTIVATIONS];
    let mut sums = [[_mm512_setzero_si512(); ACTIVATIONS]; WEIGHTS];
    for v in a.iter_mut().chain(sums.iter_mut().flatten()) {
        *v = opaque(*v);
    }
    for _ in 0..repeats {
        for (w, sums) in w.iter_mut().zip(&mut sums) {
            *w = opaque(*w);
            for (a, sum) in a.iter().zip(sums) {
                *sum = _mm512_add_epi16(*sum, _mm512_maddubs_epi16(*w, *a));
            }
        }
    }
    let mut total = 0;
    for sum in sums.into_iter().flatten() {
        let pairs = _mm512_madd_epi16(sum, _mm512_set1_epi16(1));
        total += u64::from(_mm512_reduce_add_epi32(pairs).cast_unsigned());
    }
    total
}

#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw")]
fn f32(_: Avx512, repeats: u64) -> u64 {
    let w = _mm512_castsi512_ps(opaque(_mm512_castps_si512(_mm512_set1_ps(1.0))));
    let a = _mm512_castsi512_ps(opaque(_mm512_castps_si512(_mm512_set1_ps(1.0))));
    let mut sums = [_mm512_setzero_ps(); SUMS];
    for sum in &mut sums {
        *sum = _mm512_castsi512_ps(opaque(_mm512_castps_si512(*sum)));
    }
    for _ in 0..repeats {
        for sum in &mut sums {
            *sum = _mm512_fmadd_ps(w, a, *sum);
        }
    }
    let mut total = 0;
    for sum in sums {
        total += super::count(_mm512_reduce_add_ps(sum));
    }
    total
}

#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw")]
fn read(_: Avx512, bytes: &[u8], passes: u64, ahead: Option<usize>) -> u64 {
    match ahead {
        Some(ahead) => read_turns::<true>(bytes, passes, ahead),
        None => read_turns::<false>(bytes, passes, 0),
    }
}

#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw")]
fn read_turns<const PREFETCH: bool>(bytes: &[u8], passes: u64, ahead: usize) -> u64 {
    let mut sums = [_mm512_setzero_si512(); TURN / 64];
    for _ in 0..passes {
        for turn in std::hint::black_box(bytes).as_chunks::<TURN>().0 {
            if PREFETCH {
                for line in 0..TURN / 64 {
                    prefetch(turn, ahead + line * 64);
                }
            }
            for (sum, vector) in sums.iter_mut().zip(turn.as_chunks::<64>().0) {
                *sum = _mm512_or_si512(*sum, load_u8x64(vector));
            }
        }
    }
    let mut all = 0;
    for sum in sums {
        all |= _mm512_reduce_or_epi64(sum).cast_unsigned();
    }
    all
}
