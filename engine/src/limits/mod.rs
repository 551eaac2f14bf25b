//! What the hardware allows: peak rates of multiply-adds in registers and of plain reads, to hold kernels against.
//!
//! One file an instruction set, one list of [`PEAKS`] and one of [`READERS`]. To add a peak: write a loop with enough
//! independent sums that the latency of the instruction does not bind, and name it here, widest first. The weights and the
//! activations of a loop are ones, so that the sum of all its lanes is the number of its multiply-adds: that is how a test
//! knows that nothing was optimised away.
//!
//! A peak is what one instruction (or the pair that AVX2 needs) can do when nothing else is asked of the core. It is no
//! ceiling: a kernel that also computes by table look-up uses other ports beside it and can pass 100 %.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avx512_bf16;
#[cfg(target_arch = "x86_64")]
mod avx512_vnni;
#[cfg(target_arch = "x86_64")]
mod avx_vnni;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "aarch64")]
mod neon_dotprod;
#[cfg(target_arch = "aarch64")]
mod neon_fp16;
#[cfg(target_arch = "aarch64")]
mod neon_i8mm;
mod portable;
mod read;
#[cfg(target_arch = "x86_64")]
mod sse2;

pub use read::{ReadSet, Reader};

use crate::cpu::{Cpu, Feature, Unsupported};
use crate::kernels::{Family, KernelVariant};
use crate::threads::Pool;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What is multiplied, and so which kernels a peak is a limit of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Numbers {
    /// Bytes, summed in 16 or 32 bits.
    Int8,
    /// Single precision.
    F32,
    /// bfloat16, summed in single precision.
    Bf16,
    /// Half precision, summed in half precision.
    F16,
}

/// The peak rate of one way to multiply and add.
#[derive(Debug)]
pub struct Peak {
    /// `{numbers}-{isa}`, such as `int8-avx2`.
    pub name: &'static str,
    /// What is multiplied.
    pub numbers: Numbers,
    /// The instructions, as an assembler spells them.
    pub instruction: &'static str,
    /// Features without which it cannot run.
    pub requires: &'static [Feature],
    /// Operations of one repetition on one thread; a multiply-add is two.
    pub operations: u64,
    /// Repeats the loop and gives the sum of all lanes.
    run: fn(&Cpu, u64) -> Result<u64, Unsupported>,
}

/// [`Peak::run`] of a function that `#[target_feature]` compiles for what `$proof` proves, or for less.
macro_rules! compiled_for {
    ($proof:ident, $function:path) => {
        |cpu, repeats| {
            let run = $crate::cpu::entry!($proof, $function, (repeats: u64) -> u64);
            Ok(run($crate::cpu::Proof::of(cpu)?, repeats))
        }
    };
}

use compiled_for;

/// Every peak of this architecture, within each kind of numbers the widest first.
pub static PEAKS: &[&Peak] = &[
    #[cfg(target_arch = "x86_64")]
    &avx512_vnni::INT8,
    #[cfg(target_arch = "x86_64")]
    &avx512::INT8,
    #[cfg(target_arch = "x86_64")]
    &avx_vnni::INT8,
    #[cfg(target_arch = "x86_64")]
    &avx2::INT8,
    #[cfg(target_arch = "x86_64")]
    &sse2::INT8,
    #[cfg(target_arch = "x86_64")]
    &avx512_bf16::BF16,
    #[cfg(target_arch = "x86_64")]
    &avx512::F32,
    #[cfg(target_arch = "x86_64")]
    &avx2::F32,
    #[cfg(target_arch = "x86_64")]
    &sse2::F32,
    #[cfg(target_arch = "aarch64")]
    &neon_i8mm::INT8,
    #[cfg(target_arch = "aarch64")]
    &neon_dotprod::INT8,
    #[cfg(target_arch = "aarch64")]
    &neon::INT8,
    #[cfg(target_arch = "aarch64")]
    &neon_fp16::F16,
    #[cfg(target_arch = "aarch64")]
    &neon::F32,
];

/// Every way to read memory plainly, the widest first; the last runs anywhere.
pub static READERS: &[&Reader] = &[
    #[cfg(target_arch = "x86_64")]
    &avx512::READER,
    #[cfg(target_arch = "x86_64")]
    &avx2::READER,
    #[cfg(target_arch = "aarch64")]
    &neon::READER,
    &portable::READER,
];

/// Features that every CPU of this target has: even a variant that asks for nothing is compiled to use them.
const BASELINE: &[Feature] = if cfg!(target_arch = "aarch64") {
    &[Feature::Neon]
} else {
    &[]
};

impl Peak {
    /// How many repeats take at least so long on this CPU: the loop is run once or a few times to learn it.
    ///
    /// # Errors
    /// [`Unsupported`] names the first feature that this CPU lacks.
    pub fn repeats_for(&self, cpu: &Cpu, pool: &Pool, least: Duration) -> Result<u64, Unsupported> {
        let mut repeats = 1024;
        loop {
            let start = Instant::now();
            self.run(cpu, pool, repeats)?;
            if start.elapsed() >= least {
                return Ok(repeats);
            }
            repeats *= 2;
        }
    }

    /// Runs the loop `repeats` times on every thread of `pool` and gives the operations of all threads together.
    ///
    /// # Errors
    /// [`Unsupported`] names the first feature that this CPU lacks.
    pub fn run(&self, cpu: &Cpu, pool: &Pool, repeats: u64) -> Result<u64, Unsupported> {
        cpu.require(self.requires)?;
        let refused = AtomicBool::new(false);
        pool.run(&|_| match (self.run)(cpu, repeats) {
            Ok(sum) => {
                std::hint::black_box(sum);
            }
            Err(_) => refused.store(true, Ordering::Relaxed),
        });
        assert!(
            !refused.into_inner(),
            "{} asks for a feature that it does not list",
            self.name
        );
        Ok(self.operations * repeats * pool.threads() as u64)
    }
}

impl KernelVariant {
    /// The peak that this variant is held against: of the numbers its family multiplies, the widest that needs no feature
    /// beyond those the variant asks for. `None` on an architecture without a list.
    pub fn peak(&self) -> Option<&'static Peak> {
        let numbers: &[Numbers] = match self.family {
            family if family.is_ternary() => &[Numbers::Int8],
            // Halves are widened: products and sums are in single precision unless the CPU multiplies bfloat16 itself.
            Family::Bf16 => &[Numbers::Bf16, Numbers::F32],
            _ => &[Numbers::F32],
        };
        let given = |f: &Feature| self.requires.contains(f) || BASELINE.contains(f);
        numbers.iter().find_map(|numbers| {
            let fits = |p: &&&Peak| p.numbers == *numbers && p.requires.iter().all(given);
            PEAKS.iter().find(fits).copied()
        })
    }
}

/// A sum of ones as a number; exact up to 2^24, which is as far as anyone looks at it.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a sum of ones is positive; beyond the exact range it only keeps a loop alive"
)]
fn count(ones: f32) -> u64 {
    ones as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::VARIANTS;
    use std::collections::HashSet;

    const REPEATS: u64 = 3;

    /// Prints why a check was not made; `BITBENCH_TEST_EVERY_VARIANT` makes it a failure.
    fn skip(name: &str, missing: Unsupported) {
        assert!(
            std::env::var_os("BITBENCH_TEST_EVERY_VARIANT").is_none(),
            "skipped: {name}: {missing}"
        );
        println!("skipped: {name}: {missing}");
    }

    #[test]
    fn every_peak_does_the_multiply_adds_it_claims() {
        let cpu = Cpu::detect();
        for peak in PEAKS {
            match (peak.run)(&cpu, REPEATS) {
                Ok(sum) => assert_eq!(2 * sum, peak.operations * REPEATS, "{}", peak.name),
                Err(missing) => skip(peak.name, missing),
            }
        }
    }

    #[test]
    fn a_peak_asks_for_what_it_lists() {
        let cpu = Cpu::detect();
        for peak in PEAKS {
            for feature in peak.requires {
                let masked = cpu.without(*feature);
                assert!(
                    (peak.run)(&masked, 1).is_err(),
                    "{} without {feature}",
                    peak.name
                );
            }
        }
        let names: HashSet<&str> = PEAKS.iter().map(|p| p.name).collect();
        assert_eq!(names.len(), PEAKS.len());
    }

    #[test]
    fn every_variant_has_a_peak_that_it_could_use() {
        for variant in VARIANTS {
            let Some(peak) = variant.peak() else {
                assert!(PEAKS.is_empty(), "{} has no peak", variant.name);
                continue;
            };
            for feature in peak.requires {
                assert!(
                    variant.requires.contains(feature) || BASELINE.contains(feature),
                    "{} is held against {}",
                    variant.name,
                    peak.name
                );
            }
            let int8 = peak.numbers == Numbers::Int8;
            assert_eq!(variant.family.is_ternary(), int8, "{}", variant.name);
        }
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn the_yardstick_is_the_widest_that_the_variant_asks_for() {
        let of = |name| {
            let variant = crate::kernels::find(name).expect(name);
            variant.peak().map(|p| p.name)
        };
        assert_eq!(of("i2s-scalar"), Some("int8-sse2"));
        assert_eq!(of("i2s-avx2"), Some("int8-avx2"));
        assert_eq!(of("f16-avx2"), Some("f32-avx2"));
    }
}
