//! What all packed matrices have in common, so that a kernel's file holds its layout and its loops alone.

use super::{Family, KernelVariant, PackError, PackResult, Packed, PackedMatrix};
use crate::activations::Activations;
use crate::cpu::{Cpu, Proof};
use crate::grid::Tile;
use crate::weights::{LinearWeights, TernaryMatrix};

/// A kernel: how it packs weights, and what it does with them. `P` is the proof of the features that it is compiled for.
pub(super) struct Kernel<P: Proof> {
    pub(super) pack: Pack,
    /// Threads split the rows at multiples of this.
    pub(super) row_block: usize,
    /// See [`PackedMatrix::multiply`]; [`compiled_for`] makes it. The activations are for as many columns as the weights.
    pub(super) multiply: fn(P, &Packed, &Activations, &mut Tile<'_>),
    /// See [`PackedMatrix::unpack_row`].
    pub(super) unpack_row: fn(&Packed, usize, &mut [f32]),
}

/// What can be packed, and how.
pub(super) enum Pack {
    /// Ternary weights alone.
    Ternary(fn(&TernaryMatrix) -> Result<Packed, PackError>),
    /// Any weights.
    Linear(fn(&LinearWeights) -> Result<Packed, PackError>),
}

/// `multiply` of a kernel from a function that `#[target_feature]` compiles for what `$proof` proves, or for less.
macro_rules! compiled_for {
    ($proof:ident, $multiply:path) => {
        $crate::cpu::entry!(
            $proof,
            $multiply,
            (
                packed: &$crate::kernels::Packed,
                activations: &$crate::activations::Activations,
                out: &mut $crate::grid::Tile<'_>
            )
        )
    };
}

pub(super) use compiled_for;

impl<P: Proof> Kernel<P> {
    /// Packs weights for `variant`, which is this kernel's.
    pub(super) fn pack(
        &'static self,
        variant: &'static KernelVariant,
        weights: &LinearWeights,
        cpu: &Cpu,
    ) -> PackResult {
        let proof = P::of(cpu).map_err(|missing| PackError::Unsupported {
            variant: variant.name,
            missing,
        })?;
        let packed = match (&self.pack, weights) {
            (Pack::Linear(pack), weights) => pack(weights)?,
            (Pack::Ternary(pack), LinearWeights::Ternary(matrix)) => pack(matrix)?,
            (Pack::Ternary(_), LinearWeights::Dense(matrix)) => {
                return Err(PackError::NotTernary {
                    variant: variant.name,
                    reason: matrix.not_ternary().to_owned(),
                });
            }
        };
        Ok(Box::new(Matrix {
            kernel: self,
            family: variant.family,
            proof,
            packed,
        }))
    }
}

/// Weights packed by a kernel, with the proof that it can run.
struct Matrix<P: Proof> {
    kernel: &'static Kernel<P>,
    family: Family,
    proof: P,
    packed: Packed,
}

impl<P: Proof> PackedMatrix for Matrix<P> {
    fn packed(&self) -> &Packed {
        &self.packed
    }

    fn row_block(&self) -> usize {
        self.kernel.row_block
    }

    fn tokens_one_by_one(&self) -> usize {
        self.family.tokens_one_by_one()
    }

    fn decodes_by_tables(&self) -> bool {
        self.family.looks_up()
    }

    fn multiply(&self, activations: &Activations, out: &mut Tile<'_>) {
        assert_eq!(
            activations.cols(),
            self.packed.cols,
            "activations of this matrix"
        );
        (self.kernel.multiply)(self.proof, &self.packed, activations, out);
    }

    fn unpack_row(&self, row: usize, out: &mut [f32]) {
        (self.kernel.unpack_row)(&self.packed, row, out);
    }
}
