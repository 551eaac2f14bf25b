//! Kernel variants: one file each, one list.
//!
//! A variant packs canonical weights into a layout of its own and multiplies activations by them. To add one: write
//! `<family>_<isa>.rs` with a `VARIANT` in it, and name it here. The tests loop over [`VARIANTS`].

#[cfg(target_arch = "x86_64")]
mod bf16_avx2;
#[cfg(target_arch = "x86_64")]
mod bf16_avx512_bf16;
mod bf16_scalar;
#[cfg(target_arch = "x86_64")]
mod f16_avx2;
#[cfg(target_arch = "x86_64")]
mod f16_avx512;
#[cfg(target_arch = "aarch64")]
mod f16_neon;
mod f16_scalar;
#[cfg(target_arch = "x86_64")]
mod i2s_avx2;
#[cfg(target_arch = "x86_64")]
mod i2s_avx512;
#[cfg(target_arch = "x86_64")]
mod i2s_avx512_vnni;
#[cfg(target_arch = "x86_64")]
mod i2s_avxvnni;
#[cfg(target_arch = "aarch64")]
mod i2s_neon;
#[cfg(target_arch = "aarch64")]
mod i2s_neon_dotprod;
#[cfg(target_arch = "aarch64")]
mod i2s_neon_i8mm;
mod i2s_scalar;
mod matrix;
#[cfg(target_arch = "x86_64")]
mod tl1_avx2;
#[cfg(target_arch = "x86_64")]
mod tl1_avx512;
#[cfg(target_arch = "aarch64")]
mod tl1_neon;
mod tl1_scalar;
#[cfg(target_arch = "x86_64")]
mod tl2_avx2;
#[cfg(target_arch = "x86_64")]
mod tl2_avx512;
#[cfg(target_arch = "x86_64")]
mod tl2_avx512_vnni;
#[cfg(target_arch = "aarch64")]
mod tl2_neon;
mod tl2_scalar;
#[cfg(target_arch = "x86_64")]
mod trit5_avx2;
#[cfg(target_arch = "x86_64")]
mod trit5_avx512;
#[cfg(target_arch = "aarch64")]
mod trit5_neon;
#[cfg(target_arch = "aarch64")]
mod trit5_neon_dotprod;
mod trit5_scalar;

use crate::activations::{Activations, Preparation};
use crate::buffer::PackedBytes;
use crate::cpu::{Cpu, Feature, Unsupported};
use crate::grid::Tile;
use crate::weights::LinearWeights;

/// How weights are stored and what the arithmetic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// Ternary weights in two bits, int8 activations, multiply and add.
    I2s,
    /// Ternary weights in 1.6 bits, five in a byte to the base of 3, int8 activations, multiply and add.
    Trit5,
    /// Ternary weights by look-up, two to a 4-bit index, as TL1 of bitnet.cpp (arXiv 2502.11880), with exact sums.
    Tl1,
    /// Ternary weights by look-up, three to a sign and a 4-bit index, as TL2 of bitnet.cpp (arXiv 2502.11880), with exact
    /// sums.
    Tl2,
    /// Half-precision weights, single-precision activations and sums: the baseline.
    F16,
    /// Weights in bfloat16, single-precision sums: the other baseline.
    Bf16,
}

impl Family {
    /// Whether the weights are {-1, 0, +1}.
    pub fn is_ternary(self) -> bool {
        match self {
            Family::I2s | Family::Trit5 | Family::Tl1 | Family::Tl2 => true,
            Family::F16 | Family::Bf16 => false,
        }
    }

    /// Whether sums of activations are looked up in tables.
    pub(crate) fn looks_up(self) -> bool {
        match self {
            Family::Tl1 | Family::Tl2 => true,
            Family::I2s | Family::Trit5 | Family::F16 | Family::Bf16 => false,
        }
    }

    /// Up to so many tokens are multiplied faster one after the other, as in decode, than together: weights that are in the cache
    /// already are cheap, and the tiles of prefill are made for six tokens and more. Measured with AVX2; the tiles of the other
    /// instruction sets are of the same kind.
    pub(crate) fn tokens_one_by_one(self) -> usize {
        match self {
            Family::I2s | Family::Tl1 | Family::Tl2 => 4,
            Family::Trit5 | Family::F16 | Family::Bf16 => 3,
        }
    }

    /// The form activations take before they meet these weights.
    pub fn preparation(self) -> Preparation {
        match self {
            Family::I2s | Family::Trit5 | Family::Tl1 | Family::Tl2 => Preparation::Int8,
            Family::F16 => Preparation::F32,
            Family::Bf16 => Preparation::F32AndBf16,
        }
    }
}

/// How close a variant comes to the oracle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Agreement {
    /// Bit for bit: sums are integers.
    Exact,
    /// Within this many units of `f32::EPSILON` times the sum of the absolute products and the root of the column count:
    /// only the order of the additions differs.
    Rounding(f32),
    /// The same for activations that were rounded to bfloat16 before. Against the activations as they are, that adds at most
    /// 2^-9 of the sum of the absolute products: bfloat16 has eight significant bits, so that rounding to nearest changes no
    /// value by more than half a unit of the eighth.
    RoundedToBf16(f32),
}

/// One way of multiplying by weights.
#[derive(Debug)]
pub struct KernelVariant {
    /// `{family}-{isa}`, also the name of the file.
    pub name: &'static str,
    /// Storage and arithmetic.
    pub family: Family,
    /// Features without which it cannot run.
    pub requires: &'static [Feature],
    /// Bits for each weight as stored, without the padding of odd shapes.
    pub bits_per_weight: f32,
    /// How close it comes to the oracle.
    pub agreement: Agreement,
    /// One line on how it works.
    pub about: &'static str,
    /// Packs weights into the layout of this variant.
    pub pack: fn(&LinearWeights, &Cpu) -> PackResult,
}

/// What packing gives.
pub type PackResult = Result<Box<dyn PackedMatrix>, PackError>;

/// Why weights could not be packed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    /// The CPU lacks an instruction set.
    #[error("{variant} cannot run here: {missing}")]
    Unsupported {
        /// The variant.
        variant: &'static str,
        /// What is missing.
        missing: Unsupported,
    },
    /// A ternary variant was given other weights.
    #[error("{variant} needs ternary weights: {reason}")]
    NotTernary {
        /// The variant.
        variant: &'static str,
        /// What the weights are, and what to do.
        reason: String,
    },
    /// A weight is infinite or not a number.
    #[error("row {row} holds a weight that is not a finite number: the file is damaged")]
    NotFinite {
        /// The row.
        row: usize,
    },
    /// The system gave no memory.
    #[error("no memory for {bytes} bytes of packed weights: {reason}")]
    NoMemory {
        /// What was asked for.
        bytes: usize,
        /// What the system said.
        reason: String,
    },
}

/// What every packed matrix is: shape `[rows][cols]`, a row for each output, the scale of the tensor, and bytes that the
/// variant alone can read.
#[derive(Debug)]
pub struct Packed {
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) scale: f32,
    pub(crate) bytes: PackedBytes,
}

/// Weights packed by one variant. To hold one is proof that the variant can run.
pub trait PackedMatrix: Send + Sync {
    /// Shape, scale and bytes.
    fn packed(&self) -> &Packed;
    /// Outputs.
    fn rows(&self) -> usize {
        self.packed().rows
    }
    /// Inputs.
    fn cols(&self) -> usize {
        self.packed().cols
    }
    /// The packed bytes, padding included; the scale of the tensor lies beside them.
    fn bytes(&self) -> &[u8] {
        self.packed().bytes.bytes()
    }
    /// Threads split the rows at multiples of this.
    fn row_block(&self) -> usize;
    /// Up to so many tokens are multiplied faster one after the other, as in decode, than together.
    fn tokens_one_by_one(&self) -> usize;
    /// Whether decode first makes tables that serve all rows of a tile, so that many small tiles cost more than one.
    fn decodes_by_tables(&self) -> bool;
    /// Multiplies the rows `out.cols()` by the tokens `out.tokens()` of `activations`: `out.token(t)[r]` is the product of
    /// row `r` and token `t`. With one token this is decode (GEMV), with more it is prefill (GEMM).
    ///
    /// # Panics
    /// If the activations were prepared in another form or for another number of columns.
    fn multiply(&self, activations: &Activations, out: &mut Tile<'_>);
    /// Writes one row as it will be multiplied, scale included.
    fn unpack_row(&self, row: usize, out: &mut [f32]);
}

/// Every variant built for this architecture, best first within each family.
pub static VARIANTS: &[&KernelVariant] = &[
    #[cfg(target_arch = "x86_64")]
    &i2s_avx512_vnni::VARIANT,
    #[cfg(target_arch = "x86_64")]
    &i2s_avx512::VARIANT,
    #[cfg(target_arch = "x86_64")]
    &i2s_avxvnni::VARIANT,
    #[cfg(target_arch = "x86_64")]
    &i2s_avx2::VARIANT,
    #[cfg(target_arch = "aarch64")]
    &i2s_neon_i8mm::VARIANT,
    #[cfg(target_arch = "aarch64")]
    &i2s_neon_dotprod::VARIANT,
    #[cfg(target_arch = "aarch64")]
    &i2s_neon::VARIANT,
    &i2s_scalar::VARIANT,
    #[cfg(target_arch = "x86_64")]
    &tl1_avx512::VARIANT,
    #[cfg(target_arch = "x86_64")]
    &tl1_avx2::VARIANT,
    #[cfg(target_arch = "aarch64")]
    &tl1_neon::VARIANT,
    &tl1_scalar::VARIANT,
    #[cfg(target_arch = "x86_64")]
    &tl2_avx512_vnni::VARIANT,
    #[cfg(target_arch = "x86_64")]
    &tl2_avx512::VARIANT,
    #[cfg(target_arch = "x86_64")]
    &tl2_avx2::VARIANT,
    #[cfg(target_arch = "aarch64")]
    &tl2_neon::VARIANT,
    &tl2_scalar::VARIANT,
    #[cfg(target_arch = "x86_64")]
    &trit5_avx512::VARIANT,
    #[cfg(target_arch = "x86_64")]
    &trit5_avx2::VARIANT,
    #[cfg(target_arch = "aarch64")]
    &trit5_neon_dotprod::VARIANT,
    #[cfg(target_arch = "aarch64")]
    &trit5_neon::VARIANT,
    &trit5_scalar::VARIANT,
    #[cfg(target_arch = "x86_64")]
    &f16_avx512::VARIANT,
    #[cfg(target_arch = "x86_64")]
    &f16_avx2::VARIANT,
    #[cfg(target_arch = "aarch64")]
    &f16_neon::VARIANT,
    &f16_scalar::VARIANT,
    #[cfg(target_arch = "x86_64")]
    &bf16_avx512_bf16::VARIANT,
    #[cfg(target_arch = "x86_64")]
    &bf16_avx2::VARIANT,
    &bf16_scalar::VARIANT,
];

/// The variant of this name.
pub fn find(name: &str) -> Option<&'static KernelVariant> {
    VARIANTS.iter().copied().find(|v| v.name == name)
}

/// The first variant of a family that this CPU can run; every family ends in a portable one.
pub fn best(family: Family, cpu: &Cpu) -> &'static KernelVariant {
    VARIANTS
        .iter()
        .copied()
        .find(|v| v.family == family && cpu.require(v.requires).is_ok())
        .expect("every family has a variant that requires nothing")
}
