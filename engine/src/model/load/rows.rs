//! Rows of a tensor that lies in a mapped file, decoded when asked for.

use std::ops::Range;
use std::sync::Arc;

use crate::model::formats::{LARGEST_BLOCK, TensorFormat, TernaryView};
use crate::model::gguf::MappedFile;
use crate::weights::{DenseMatrix, DenseRows, TernaryRows};

/// A matrix in a file. Cloning it copies no weights.
#[derive(Clone)]
pub(in crate::model) struct FileRows {
    file: Arc<MappedFile>,
    range: Range<usize>,
    pub(super) format: &'static TensorFormat,
    pub(super) rows: usize,
    pub(super) cols: usize,
    row_bytes: usize,
}

impl FileRows {
    /// The tensor in `range` of a file as a matrix; its shape was checked to be `rows` x `cols`, and its columns to be whole
    /// blocks.
    pub(in crate::model) fn new(
        file: Arc<MappedFile>,
        range: Range<usize>,
        format: &'static TensorFormat,
        rows: usize,
        cols: usize,
    ) -> Self {
        FileRows {
            file,
            range,
            format,
            rows,
            cols,
            row_bytes: cols / format.block_elements * format.block_bytes,
        }
    }

    fn data(&self) -> &[u8] {
        self.file.get(self.range.clone()).unwrap_or_default()
    }

    /// The stored blocks of a row.
    pub(super) fn row(&self, row: usize) -> &[u8] {
        let start = row * self.row_bytes;
        self.data()
            .get(start..start + self.row_bytes)
            .unwrap_or_default()
    }

    /// What the format stores after the last row.
    pub(super) fn trailer(&self) -> &[u8] {
        self.data()
            .get(self.rows * self.row_bytes..)
            .unwrap_or_default()
    }

    /// Gives the weights of a row to `each`, at most [`LARGEST_BLOCK`] at a time, until it gives false.
    ///
    /// Returns whether it went through the whole row.
    pub(super) fn each_span(&self, row: usize, mut each: impl FnMut(&[f32]) -> bool) -> bool {
        let mut weights = [0.0; LARGEST_BLOCK];
        let span_bytes = LARGEST_BLOCK / self.format.block_elements * self.format.block_bytes;
        self.row(row).chunks(span_bytes).all(|blocks| {
            let len = blocks.len() / self.format.block_bytes * self.format.block_elements;
            let weights = &mut weights[..len];
            (self.format.decode)(blocks, self.trailer(), weights);
            each(weights)
        })
    }

    pub(in crate::model) fn into_dense(self, factor: f32, not_ternary: &str) -> DenseMatrix {
        let (rows, cols) = (self.rows, self.cols);
        DenseMatrix::new(
            rows,
            cols,
            Arc::new(Dense { rows: self, factor }),
            not_ternary,
        )
    }
}

/// Weights as stored, times a factor.
struct Dense {
    rows: FileRows,
    factor: f32,
}

impl DenseRows for Dense {
    fn read_row(&self, row: usize, out: &mut [f32]) {
        (self.rows.format.decode)(self.rows.row(row), self.rows.trailer(), out);
        #[expect(clippy::float_cmp, reason = "exactly 1 where the file has no factor")]
        if self.factor != 1.0 {
            out.iter_mut().for_each(|weight| *weight *= self.factor);
        }
    }

    fn stored(&self, row: usize, format: &str) -> Option<&[u8]> {
        #[expect(clippy::float_cmp, reason = "exactly 1 where the file has no factor")]
        let as_stored = self.factor == 1.0;
        (as_stored && self.rows.format.name == format).then(|| self.rows.row(row))
    }
}

/// Weights of a ternary format.
pub(super) struct Stored {
    pub(super) rows: FileRows,
    pub(super) view: &'static TernaryView,
}

impl TernaryRows for Stored {
    fn read_row(&self, row: usize, out: &mut [i8]) {
        (self.view.decode)(self.rows.row(row), out);
    }
}

/// The nearest of {-1, 0, +1} to each weight over a scale. Weights that are {-s, 0, +s} come out exact.
pub(super) struct Rounded {
    rows: FileRows,
    inverse: f32,
}

impl Rounded {
    pub(super) fn new(rows: FileRows, scale: f32) -> Self {
        let inverse = scale.recip();
        Rounded { rows, inverse }
    }
}

impl TernaryRows for Rounded {
    fn read_row(&self, row: usize, out: &mut [i8]) {
        // As in the reference code of the paper: multiplied by the inverse, rounded to nearest with half to even, so half is
        // 0 and more is 1.
        let mut out = out.chunks_mut(LARGEST_BLOCK);
        self.rows.each_span(row, |weights| {
            let Some(out) = out.next() else { return false };
            for (trit, weight) in out.iter_mut().zip(weights) {
                let weight = *weight * self.inverse;
                *trit = i8::from(weight > 0.5) - i8::from(weight < -0.5);
            }
            true
        });
    }
}
