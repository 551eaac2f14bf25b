//! Canonical weights: the one form between what a file (or a generator) holds and what a kernel variant packs.
//!
//! Weights are not held as arrays: a matrix yields its rows on demand, from any thread, so that a model of any size goes
//! from its source straight into packed form.

use crate::kernels::PackError;
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use half::{bf16, f16};
use std::fmt;
use std::sync::Arc;

/// Source of the rows of a ternary matrix.
pub trait TernaryRows: Send + Sync {
    /// Writes the weights of `row`, each -1, 0 or +1, over the whole of `out` (one row: `cols` long).
    fn read_row(&self, row: usize, out: &mut [i8]);
}

/// Source of the rows of a dense matrix.
pub trait DenseRows: Send + Sync {
    /// Writes the weights of `row` over the whole of `out` (one row: `cols` long).
    fn read_row(&self, row: usize, out: &mut [f32]);
    /// The stored blocks of `row` where the source holds it in this format (a name of [`crate::model::formats`]) and the
    /// weights are what the blocks say, so that a packed form of the same format can take them over without loss.
    fn stored(&self, row: usize, format: &str) -> Option<&[u8]> {
        let _ = (row, format);
        None
    }
}

/// Weights {-1, 0, +1} with one scale for the whole tensor (BitNet b1.58, arXiv 2402.17764): shape `[rows][cols]`, a row for
/// each output.
#[derive(Clone)]
pub struct TernaryMatrix {
    rows: usize,
    cols: usize,
    scale: f32,
    source: Arc<dyn TernaryRows>,
}

/// Weights in floating point: shape `[rows][cols]`, a row for each output.
#[derive(Clone)]
pub struct DenseMatrix {
    rows: usize,
    cols: usize,
    source: Arc<dyn DenseRows>,
    /// Why these weights are no ternary matrix, for the message when a ternary kernel is asked for.
    not_ternary: Arc<str>,
}

/// Weights of one linear layer.
#[derive(Clone, Debug)]
pub enum LinearWeights {
    /// {-1, 0, +1} and one scale.
    Ternary(TernaryMatrix),
    /// Floating point.
    Dense(DenseMatrix),
}

impl TernaryMatrix {
    /// A matrix of `rows` x `cols` whose rows come from `source`; the weight is `scale` times what `source` yields.
    pub fn new(rows: usize, cols: usize, scale: f32, source: Arc<dyn TernaryRows>) -> Self {
        TernaryMatrix {
            rows,
            cols,
            scale,
            source,
        }
    }

    /// Outputs.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Inputs.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// What -1, 0 and +1 are multiplied by.
    pub fn scale(&self) -> f32 {
        self.scale
    }

    /// Writes one row of -1, 0 and +1.
    ///
    /// # Panics
    /// If `row` is out of range or `out` is not `cols` long.
    pub fn read_row(&self, row: usize, out: &mut [i8]) {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        assert_eq!(out.len(), self.cols, "a row of the matrix");
        self.source.read_row(row, out);
    }
}

impl DenseMatrix {
    /// A matrix of `rows` x `cols` whose rows come from `source`; `not_ternary` says why it is not a ternary one.
    pub fn new(rows: usize, cols: usize, source: Arc<dyn DenseRows>, not_ternary: &str) -> Self {
        DenseMatrix {
            rows,
            cols,
            source,
            not_ternary: not_ternary.into(),
        }
    }

    /// Outputs.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Inputs.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Why these weights are no ternary matrix.
    pub fn not_ternary(&self) -> &str {
        &self.not_ternary
    }

    /// Writes one row.
    ///
    /// # Panics
    /// If `row` is out of range or `out` is not `cols` long.
    pub fn read_row(&self, row: usize, out: &mut [f32]) {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        assert_eq!(out.len(), self.cols, "a row of the matrix");
        self.source.read_row(row, out);
    }

    /// See [`DenseRows::stored`].
    ///
    /// # Panics
    /// If `row` is out of range.
    pub(crate) fn stored(&self, row: usize, format: &str) -> Option<&[u8]> {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        self.source.stored(row, format)
    }
}

impl LinearWeights {
    /// Outputs.
    pub fn rows(&self) -> usize {
        match self {
            LinearWeights::Ternary(m) => m.rows(),
            LinearWeights::Dense(m) => m.rows(),
        }
    }

    /// Inputs.
    pub fn cols(&self) -> usize {
        match self {
            LinearWeights::Ternary(m) => m.cols(),
            LinearWeights::Dense(m) => m.cols(),
        }
    }
}

impl LinearWeights {
    /// What a half-precision copy multiplies its sums by: the scale of ternary weights, which are stored as -1, 0 and +1.
    pub(crate) fn scale(&self) -> f32 {
        match self {
            LinearWeights::Ternary(m) => m.scale(),
            LinearWeights::Dense(_) => 1.0,
        }
    }
}

/// Writes one row as half-precision bits, to be multiplied by [`LinearWeights::scale`]. What is too large for half precision
/// becomes its largest finite number.
///
/// # Errors
/// [`PackError::NotFinite`] where the source holds an infinity or NaN.
pub(crate) fn read_row_f16(
    weights: &LinearWeights,
    row: usize,
    out: &mut [u16],
) -> Result<(), PackError> {
    match weights {
        LinearWeights::Ternary(matrix) => {
            // Bits of -1, 0 and +1.
            const HALF: [u16; 3] = [0xbc00, 0, 0x3c00];
            let mut trits = vec![0i8; out.len()];
            matrix.read_row(row, &mut trits);
            for (out, trit) in out.iter_mut().zip(trits) {
                *out = HALF[usize::from((trit + 1).cast_unsigned())];
            }
        }
        LinearWeights::Dense(matrix) => {
            let mut values = vec![0.0f32; out.len()];
            matrix.read_row(row, &mut values);
            if !values.iter().all(|v| v.is_finite()) {
                return Err(PackError::NotFinite { row });
            }
            saturate(&mut values);
            out.reinterpret_cast_mut::<f16>()
                .convert_from_f32_slice(&values);
        }
    }
    Ok(())
}

/// Writes one row as bfloat16 bits, rounded to nearest with ties to even, to be multiplied by [`LinearWeights::scale`]. What
/// would round to infinity becomes the largest finite number.
///
/// # Errors
/// [`PackError::NotFinite`] where the source holds an infinity or NaN.
pub(crate) fn read_row_bf16(
    weights: &LinearWeights,
    row: usize,
    out: &mut [u16],
) -> Result<(), PackError> {
    match weights {
        LinearWeights::Ternary(matrix) => {
            // Bits of -1, 0 and +1.
            const BFLOAT: [u16; 3] = [0xbf80, 0, 0x3f80];
            let mut trits = vec![0i8; out.len()];
            matrix.read_row(row, &mut trits);
            for (out, trit) in out.iter_mut().zip(trits) {
                *out = BFLOAT[usize::from((trit + 1).cast_unsigned())];
            }
        }
        LinearWeights::Dense(matrix) => {
            let mut values = vec![0.0f32; out.len()];
            matrix.read_row(row, &mut values);
            if !values.iter().all(|v| v.is_finite()) {
                return Err(PackError::NotFinite { row });
            }
            let largest = bf16::MAX.to_f32();
            for (out, v) in out.iter_mut().zip(values) {
                *out = round_bf16(v.clamp(-largest, largest));
            }
        }
    }
    Ok(())
}

/// The bfloat16 bits nearest to a number, ties to even; NaN stays NaN.
#[inline(always)]
pub(crate) fn round_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    let rounded = (bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16) as u16;
    if value.is_nan() { 0x7fc0 } else { rounded }
}

/// Brings values into the finite range of half precision.
pub(crate) fn saturate(values: &mut [f32]) {
    for v in values {
        *v = v.clamp(-65504.0, 65504.0);
    }
}

impl fmt::Debug for TernaryMatrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "TernaryMatrix({} x {}, scale {})",
            self.rows, self.cols, self.scale
        )
    }
}

impl fmt::Debug for DenseMatrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DenseMatrix({} x {})", self.rows, self.cols)
    }
}

/// Rows held in memory: tests and small models.
impl TernaryRows for Vec<Vec<i8>> {
    fn read_row(&self, row: usize, out: &mut [i8]) {
        out.copy_from_slice(&self[row]);
    }
}

/// Rows held in memory: tests and small models.
impl DenseRows for Vec<Vec<f32>> {
    fn read_row(&self, row: usize, out: &mut [f32]) {
        out.copy_from_slice(&self[row]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bfloat16_is_the_nearest_and_ties_go_to_even() {
        let mut bits = 0u32;
        for _ in 0..1 << 16 {
            bits = bits.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // Random numbers, and those half way between two of bfloat16.
            for bits in [bits, bits & 0xffff_0000 | 0x8000] {
                let value = f32::from_bits(bits);
                let (ours, theirs) = (round_bf16(value), bf16::from_f32(value));
                if value.is_nan() {
                    assert!(bf16::from_bits(ours).is_nan());
                } else {
                    assert_eq!(ours, theirs.to_bits(), "{bits:#010x}");
                }
            }
        }
    }

    #[test]
    fn what_is_too_large_becomes_the_largest_bfloat16() {
        let row = vec![f32::MAX, -f32::MAX, 1.0, 0.0];
        let weights =
            LinearWeights::Dense(DenseMatrix::new(1, 4, Arc::new(vec![row]), "not ternary"));
        let mut out = [0u16; 4];
        read_row_bf16(&weights, 0, &mut out).expect("finite");
        assert_eq!(out, [0x7f7f, 0xff7f, 0x3f80, 0]);
    }
}
