//! Limit of 512-bit VNNI: four byte products added to a 32-bit sum.

use super::avx512::opaque;
use super::{Numbers, Peak, compiled_for};
use crate::cpu::Avx512Vnni;
use std::arch::x86_64::*;

/// Two instructions a cycle for a latency of up to five.
const SUMS: usize = 12;

pub(super) static INT8: Peak = Peak {
    name: "int8-avx512-vnni",
    numbers: Numbers::Int8,
    instruction: "vpdpbusd (512 bits)",
    requires: Avx512Vnni::FEATURES,
    operations: 2 * (SUMS * 64) as u64,
    run: compiled_for!(Avx512Vnni, int8),
};

#[target_feature(enable = "avx2,avx512f,avx512bw,avx512vnni")]
fn int8(_: Avx512Vnni, repeats: u64) -> u64 {
    let one = _mm512_set1_epi8(1);
    let mut sums = [_mm512_setzero_si512(); SUMS];
    for sum in &mut sums {
        // Sums that the compiler knew to be equal would be one sum.
        *sum = opaque(*sum);
    }
    for _ in 0..repeats {
        for sum in &mut sums {
            *sum = _mm512_dpbusd_epi32(*sum, one, one);
        }
    }
    let mut total = 0;
    for sum in sums {
        total += u64::from(_mm512_reduce_add_epi32(sum).cast_unsigned());
    }
    total
}
