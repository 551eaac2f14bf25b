//! Canonical weights: the one form between what a file (or a generator) holds and what a kernel variant packs.
//!
//! Weights are not held as arrays: a matrix yields its rows on demand, from any thread, so that a model of any size goes
//! from its source straight into packed form.

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
}

/// Weights {-1, 0, +1} with one scale for the whole tensor (BitNet b1.58, arXiv 2402.17764): shape [rows][cols], a row for
/// each output.
#[derive(Clone)]
pub struct TernaryMatrix {
    rows: usize,
    cols: usize,
    scale: f32,
    source: Arc<dyn TernaryRows>,
}

/// Weights in floating point: shape [rows][cols], a row for each output.
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
