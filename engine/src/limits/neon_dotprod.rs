//! Limit of the dot product of Armv8.2: four byte products added to a 32-bit sum.
#![expect(unsafe_code, reason = "one instruction has no stable intrinsic")]

use super::{Numbers, Peak, compiled_for};
use crate::cpu::NeonDotprod;
use std::arch::aarch64::*;
use std::arch::asm;

/// Up to four instructions a cycle for a latency of four.
const SUMS: usize = 20;

pub(super) static INT8: Peak = Peak {
    name: "int8-neon-dotprod",
    numbers: Numbers::Int8,
    instruction: "sdot",
    requires: NeonDotprod::FEATURES,
    operations: 2 * (SUMS * 16) as u64,
    run: compiled_for!(NeonDotprod, int8),
};

#[target_feature(enable = "neon,dotprod")]
fn int8(_: NeonDotprod, repeats: u64) -> u64 {
    let one = vdupq_n_s8(1);
    let mut sums = [vdupq_n_s32(0); SUMS];
    for _ in 0..repeats {
        for sum in &mut sums {
            // Assembly that is not `pure` is never left out and never shared.
            // SAFETY: the instruction reads and writes registers alone.
            unsafe {
                asm!("sdot {0:v}.4s, {1:v}.16b, {1:v}.16b", inout(vreg) *sum, in(vreg) one, options(nomem, nostack, preserves_flags));
            }
        }
    }
    let mut total = 0;
    for sum in sums {
        total += u64::from(vaddvq_s32(sum).cast_unsigned());
    }
    total
}
