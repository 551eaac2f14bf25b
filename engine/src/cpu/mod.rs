//! What this CPU can do, and values that prove it.
//!
//! A proof such as [`Avx2`] is handed out by [`Cpu`] alone, and only where the CPU has the feature. Packed weights hold the
//! proof, which is what makes the call from safe code into a `#[target_feature]` function sound: see `entry.rs`.

#[cfg(target_arch = "aarch64")]
pub(crate) mod aarch64;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
pub(crate) mod entry;
#[cfg(target_arch = "x86_64")]
pub(crate) mod x86_64;

pub(crate) use entry::entry;
use std::fmt;

/// Instruction-set features that kernels can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Feature {
    /// 256-bit integer vectors (x86-64).
    Avx2,
    /// 256-bit fused multiply-add (x86-64).
    Fma,
    /// Half-precision conversion (x86-64).
    F16c,
    /// 256-bit int8 dot products (x86-64).
    AvxVnni,
    /// 512-bit vectors, foundation (x86-64).
    Avx512F,
    /// 512-bit byte and word operations (x86-64).
    Avx512Bw,
    /// 512-bit int8 dot products (x86-64).
    Avx512Vnni,
    /// 512-bit byte permutes (x86-64).
    Avx512Vbmi,
    /// 512-bit bfloat16 dot products (x86-64).
    Avx512Bf16,
    /// 128-bit vectors (AArch64).
    Neon,
    /// Half-precision arithmetic (AArch64).
    Fp16,
    /// Int8 dot products (AArch64).
    Dotprod,
    /// Int8 matrix multiplication (AArch64).
    I8mm,
}

impl Feature {
    /// Every feature.
    pub const ALL: [Feature; 13] = [
        Feature::Avx2,
        Feature::Fma,
        Feature::F16c,
        Feature::AvxVnni,
        Feature::Avx512F,
        Feature::Avx512Bw,
        Feature::Avx512Vnni,
        Feature::Avx512Vbmi,
        Feature::Avx512Bf16,
        Feature::Neon,
        Feature::Fp16,
        Feature::Dotprod,
        Feature::I8mm,
    ];

    /// The usual lower-case name, as in `/proc/cpuinfo` or rustc's `target_feature`.
    pub const fn name(self) -> &'static str {
        match self {
            Feature::Avx2 => "avx2",
            Feature::Fma => "fma",
            Feature::F16c => "f16c",
            Feature::AvxVnni => "avxvnni",
            Feature::Avx512F => "avx512f",
            Feature::Avx512Bw => "avx512bw",
            Feature::Avx512Vnni => "avx512vnni",
            Feature::Avx512Vbmi => "avx512vbmi",
            Feature::Avx512Bf16 => "avx512bf16",
            Feature::Neon => "neon",
            Feature::Fp16 => "fp16",
            Feature::Dotprod => "dotprod",
            Feature::I8mm => "i8mm",
        }
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The features this process may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cpu {
    features: u32,
}

/// A feature that is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this CPU has no {0}")]
pub struct Unsupported(pub Feature);

impl Cpu {
    /// Asks the CPU. Call it once and pass the value on.
    pub fn detect() -> Cpu {
        let mut cpu = Cpu::scalar();
        for feature in Feature::ALL {
            if detected(feature) {
                cpu.features |= 1 << feature as u32;
            }
        }
        cpu
    }

    /// A CPU without any optional feature: portable variants only.
    pub const fn scalar() -> Cpu {
        Cpu { features: 0 }
    }

    /// This CPU with one feature masked.
    #[must_use]
    pub fn without(self, feature: Feature) -> Cpu {
        Cpu {
            features: self.features & !(1 << feature as u32),
        }
    }

    /// Whether the feature may be used.
    pub fn has(&self, feature: Feature) -> bool {
        self.features & (1 << feature as u32) != 0
    }

    /// The features that may be used, in the order of [`Feature::ALL`].
    pub fn features(&self) -> impl Iterator<Item = Feature> {
        Feature::ALL.into_iter().filter(|f| self.has(*f))
    }

    /// The first of `required` that is missing, if one is.
    ///
    /// # Errors
    /// [`Unsupported`] names it.
    pub fn require(&self, required: &[Feature]) -> Result<(), Unsupported> {
        match required.iter().find(|f| !self.has(**f)) {
            Some(missing) => Err(Unsupported(*missing)),
            None => Ok(()),
        }
    }
}

/// A value that only a CPU with certain features hands out.
pub(crate) trait Proof: Copy + Send + Sync + 'static {
    /// The proof that `cpu` has the features.
    ///
    /// # Errors
    /// [`Unsupported`] names the first feature that is missing.
    fn of(cpu: &Cpu) -> Result<Self, Unsupported>;
}

/// The proof of nothing, which portable code asks for.
impl Proof for () {
    fn of(_: &Cpu) -> Result<Self, Unsupported> {
        Ok(())
    }
}

/// Defines the proofs: a type that only [`Cpu`] hands out, and only where all of its features were detected.
macro_rules! proofs {
    ($($(#[$doc:meta])* $proof:ident, $method:ident: $($feature:ident),+;)+) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Copy)]
            pub struct $proof {
                _private: (),
            }

            impl $proof {
                /// The features this is the proof of.
                pub const FEATURES: &[Feature] = &[$(Feature::$feature),+];
            }

            impl Proof for $proof {
                fn of(cpu: &Cpu) -> Result<Self, Unsupported> {
                    cpu.$method()
                }
            }
        )+

        impl Cpu {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                /// [`Unsupported`] names the first feature that is missing.
                pub fn $method(&self) -> Result<$proof, Unsupported> {
                    self.require($proof::FEATURES)?;
                    Ok($proof { _private: () })
                }
            )+
        }
    };
}

proofs! {
    /// Proof of AVX2. Enables `avx2`.
    Avx2, avx2: Avx2;
    /// Proof of AVX2 with FMA and F16C, as every CPU since Haswell and Zen has them. Enables `avx2,fma,f16c`.
    Avx2F16c, avx2_f16c: Avx2, Fma, F16c;
    /// Proof of 256-bit VNNI. Enables `avx2,avxvnni`.
    AvxVnni, avx_vnni: Avx2, AvxVnni;
    /// Proof of AVX-512 F and BW, with what every CPU that has them has. Enables `avx2,fma,f16c,avx512f,avx512bw`.
    Avx512, avx512: Avx2, Fma, F16c, Avx512F, Avx512Bw;
    /// Proof of AVX-512 with VNNI. Enables `avx2,avx512f,avx512bw,avx512vnni`.
    Avx512Vnni, avx512_vnni: Avx2, Avx512F, Avx512Bw, Avx512Vnni;
    /// Proof of AVX-512 with byte permutes and VNNI. Enables `avx2,avx512f,avx512bw,avx512vbmi,avx512vnni`.
    Avx512Vbmi, avx512_vbmi: Avx2, Avx512F, Avx512Bw, Avx512Vbmi, Avx512Vnni;
    /// Proof of AVX-512 with bfloat16 dot products. Enables `avx2,fma,f16c,avx512f,avx512bw,avx512bf16`.
    Avx512Bf16, avx512_bf16: Avx2, Fma, F16c, Avx512F, Avx512Bw, Avx512Bf16;
    /// Proof of Advanced SIMD, which every 64-bit ARM CPU that runs Linux has. Enables `neon`.
    Neon, neon: Neon;
    /// Proof of half-precision arithmetic. Enables `neon,fp16`.
    NeonFp16, neon_fp16: Neon, Fp16;
    /// Proof of int8 dot products. Enables `neon,dotprod`.
    NeonDotprod, neon_dotprod: Neon, Dotprod;
    /// Proof of int8 matrix multiplication, with the dot products of every CPU that has it. Enables `neon,dotprod,i8mm`.
    NeonI8mm, neon_i8mm: Neon, Dotprod, I8mm;
}

#[cfg(target_arch = "x86_64")]
fn detected(feature: Feature) -> bool {
    match feature {
        Feature::Avx2 => is_x86_feature_detected!("avx2"),
        Feature::Fma => is_x86_feature_detected!("fma"),
        Feature::F16c => is_x86_feature_detected!("f16c"),
        Feature::AvxVnni => is_x86_feature_detected!("avxvnni"),
        Feature::Avx512F => is_x86_feature_detected!("avx512f"),
        Feature::Avx512Bw => is_x86_feature_detected!("avx512bw"),
        Feature::Avx512Vnni => is_x86_feature_detected!("avx512vnni"),
        Feature::Avx512Vbmi => is_x86_feature_detected!("avx512vbmi"),
        Feature::Avx512Bf16 => is_x86_feature_detected!("avx512bf16"),
        Feature::Neon | Feature::Fp16 | Feature::Dotprod | Feature::I8mm => false,
    }
}

#[cfg(target_arch = "aarch64")]
fn detected(feature: Feature) -> bool {
    match feature {
        Feature::Neon => std::arch::is_aarch64_feature_detected!("neon"),
        Feature::Fp16 => std::arch::is_aarch64_feature_detected!("fp16"),
        Feature::Dotprod => std::arch::is_aarch64_feature_detected!("dotprod"),
        Feature::I8mm => std::arch::is_aarch64_feature_detected!("i8mm"),
        _ => false,
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn detected(_: Feature) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scalar_cpu_proves_nothing() {
        assert_eq!(Cpu::scalar().avx2().err(), Some(Unsupported(Feature::Avx2)));
        assert_eq!(Cpu::scalar().features().count(), 0);
    }

    #[test]
    fn a_masked_feature_is_missing_and_the_others_stay() {
        let cpu = Cpu::detect();
        for feature in cpu.features() {
            let masked = cpu.without(feature);
            assert!(!masked.has(feature));
            assert_eq!(masked.features().count() + 1, cpu.features().count());
        }
    }

    #[test]
    fn all_lists_each_feature_once() {
        let mut names: Vec<_> = Feature::ALL.iter().map(|f| f.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Feature::ALL.len());
    }
}
