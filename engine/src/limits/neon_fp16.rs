//! Limit of half-precision arithmetic of Armv8.2: fused multiply-add with half-precision sums.
#![expect(unsafe_code, reason = "one instruction has no stable intrinsic")]

use super::{Numbers, Peak, compiled_for};
use crate::cpu::NeonFp16;
use std::arch::aarch64::*;
use std::arch::asm;

/// Up to four instructions a cycle for a latency of four.
const SUMS: usize = 20;

pub(super) static F16: Peak = Peak {
    name: "f16-neon-fp16",
    numbers: Numbers::F16,
    instruction: "fmla (half precision)",
    requires: NeonFp16::FEATURES,
    operations: 2 * (SUMS * 8) as u64,
    run: compiled_for!(NeonFp16, f16),
};

#[target_feature(enable = "neon,fp16")]
fn f16(_: NeonFp16, repeats: u64) -> u64 {
    let one = vdupq_n_u16(0x3c00);
    let mut sums = [vdupq_n_u16(0); SUMS];
    for _ in 0..repeats {
        for sum in &mut sums {
            // Assembly that is not `pure` is never left out and never shared.
            // SAFETY: the instruction reads and writes registers alone.
            unsafe {
                asm!("fmla {0:v}.8h, {1:v}.8h, {1:v}.8h", inout(vreg) *sum, in(vreg) one, options(nomem, nostack, preserves_flags));
            }
        }
    }
    let mut total = 0;
    for sum in sums {
        let lanes: [u16; 8] = {
            let mut lanes = [0; 8];
            // SAFETY: the array is 16 bytes long, and the intrinsic needs no alignment.
            unsafe { vst1q_u16(lanes.as_mut_ptr(), sum) };
            lanes
        };
        total += super::count(
            lanes
                .iter()
                .map(|bits| half::f16::from_bits(*bits).to_f32())
                .sum(),
        );
    }
    total
}
