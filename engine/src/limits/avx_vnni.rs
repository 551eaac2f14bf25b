//! Limit of 256-bit VNNI, as laptop CPUs without AVX-512 have it: four byte products added to a 32-bit sum.

use super::avx2::opaque;
use super::{Numbers, Peak, compiled_for};
use crate::cpu::AvxVnni;
use std::arch::x86_64::*;

/// Two instructions a cycle for a latency of up to five.
const SUMS: usize = 12;

pub(super) static INT8: Peak = Peak {
    name: "int8-avxvnni",
    numbers: Numbers::Int8,
    instruction: "vpdpbusd (256 bits)",
    requires: AvxVnni::FEATURES,
    operations: 2 * (SUMS * 32) as u64,
    run: compiled_for!(AvxVnni, int8),
};

#[target_feature(enable = "avx2,avxvnni")]
fn int8(_: AvxVnni, repeats: u64) -> u64 {
    let one = _mm256_set1_epi8(1);
    let mut sums = [_mm256_setzero_si256(); SUMS];
    for sum in &mut sums {
        // Sums that the compiler knew to be equal would be one sum.
        *sum = opaque(*sum);
    }
    for _ in 0..repeats {
        for sum in &mut sums {
            *sum = _mm256_dpbusd_avx_epi32(*sum, one, one);
        }
    }
    let mut total = 0;
    for sum in sums {
        let lanes: [u32; 8] = bytemuck::cast(sum);
        total += lanes.into_iter().map(u64::from).sum::<u64>();
    }
    total
}
