//! Limit of 512-bit bfloat16 dot products: two products added to a single-precision sum.

use super::avx512::opaque;
use super::{Numbers, Peak, compiled_for};
use crate::cpu::Avx512Bf16;
use std::arch::x86_64::*;

/// Up to two instructions a cycle for a latency of six.
const SUMS: usize = 16;

pub(super) static BF16: Peak = Peak {
    name: "bf16-avx512-bf16",
    numbers: Numbers::Bf16,
    instruction: "vdpbf16ps (512 bits)",
    requires: Avx512Bf16::FEATURES,
    operations: 2 * (SUMS * 32) as u64,
    run: compiled_for!(Avx512Bf16, bf16),
};

#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512bf16")]
fn bf16(_: Avx512Bf16, repeats: u64) -> u64 {
    let ones = _mm512_set1_ps(1.0);
    let one = _mm512_cvtne2ps_pbh(ones, ones);
    let mut sums = [_mm512_setzero_ps(); SUMS];
    for sum in &mut sums {
        // Sums that the compiler knew to be equal would be one sum.
        *sum = _mm512_castsi512_ps(opaque(_mm512_castps_si512(*sum)));
    }
    for _ in 0..repeats {
        for sum in &mut sums {
            *sum = _mm512_dpbf16_ps(*sum, one, one);
        }
    }
    let mut total = 0;
    for sum in sums {
        total += super::count(_mm512_reduce_add_ps(sum));
    }
    total
}
