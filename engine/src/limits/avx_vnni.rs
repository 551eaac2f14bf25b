//! Limit of 256-bit VNNI, as laptop CPUs without AVX-512 have it: four byte products added to a 32-bit sum.
#![expect(
    unsafe_code,
    reason = "calls across the target-feature boundary, and an empty piece of assembly that hides a value"
)]

use super::{Numbers, Peak};
use crate::cpu::AvxVnni;
use std::arch::asm;
use std::arch::x86_64::*;

/// Two instructions a cycle for a latency of up to five.
const SUMS: usize = 12;

pub(super) static INT8: Peak = Peak {
    name: "int8-avxvnni",
    numbers: Numbers::Int8,
    instruction: "vpdpbusd (256 bits)",
    requires: AvxVnni::FEATURES,
    operations: 2 * (SUMS * 32) as u64,
    run: |cpu, repeats| {
        let proof = cpu.avx_vnni()?;
        // SAFETY: `proof` exists only where 256-bit VNNI was detected.
        Ok(unsafe { int8(proof, repeats) })
    },
};

#[target_feature(enable = "avx2,avxvnni")]
fn int8(_: AvxVnni, repeats: u64) -> u64 {
    let one = _mm256_set1_epi8(1);
    let mut sums = [_mm256_setzero_si256(); SUMS];
    for sum in &mut sums {
        // Sums that the compiler knew to be equal would be one sum.
        // SAFETY: the template holds no instruction.
        unsafe {
            asm!(
                "/* {0} */",
                inout(ymm_reg) * sum,
                options(nomem, nostack, preserves_flags)
            );
        }
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
