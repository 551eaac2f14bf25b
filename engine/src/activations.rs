//! Activations in the form a kernel family multiplies: once for all matrices that read them.

use crate::ops::{self, SharedIsa};
use crate::threads::Pool;
use std::sync::Mutex;

/// The form activations take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preparation {
    /// Absmax per token to int8, as in BitNet b1.58 (arXiv 2402.17764): q = round(x * 127 / max|x|), ties to even.
    Int8,
    /// Single precision, as they are.
    F32,
}

/// Columns are padded with zeros to a multiple of this, so that kernels need no tail for a ragged last block.
pub const COLUMN_PADDING: usize = 128;

/// The stride of a token's values: at least [`COLUMN_PADDING`] zeros follow the columns, so that a kernel may also work in
/// blocks of a size that does not divide it.
fn padded_stride(cols: usize) -> usize {
    cols.next_multiple_of(COLUMN_PADDING) + COLUMN_PADDING
}

/// Smallest absmax: a row of zeros must not divide by zero (the 1e-5 of the reference implementation's clamp).
const SMALLEST_ABSMAX: f32 = 1e-5;

/// A batch of token activations, shape `[batch][cols]`, prepared for one family.
#[derive(Debug)]
pub struct Activations {
    form: Preparation,
    batch: usize,
    cols: usize,
    stride: usize,
    quantized: Vec<i8>,
    scales: Vec<f32>,
    sums: Vec<i32>,
    dense: Vec<f32>,
}

impl Activations {
    /// Room for activations of one form; it grows with use and is kept.
    pub fn new(form: Preparation) -> Self {
        Activations {
            form,
            batch: 0,
            cols: 0,
            stride: 0,
            quantized: Vec::new(),
            scales: Vec::new(),
            sums: Vec::new(),
            dense: Vec::new(),
        }
    }

    /// Prepares `x`, shape `[batch][cols]`.
    ///
    /// # Panics
    /// If `x` is not a whole number of tokens.
    pub fn prepare(&mut self, x: &[f32], cols: usize, pool: &Pool, isa: SharedIsa) {
        assert!(
            cols > 0 && x.len().is_multiple_of(cols),
            "{} values in rows of {cols}",
            x.len()
        );
        self.batch = x.len() / cols;
        self.cols = cols;
        self.stride = padded_stride(cols);
        match self.form {
            Preparation::Int8 => self.prepare_int8(x, pool, isa),
            Preparation::F32 => self.prepare_f32(x),
        }
    }

    /// Activations that are int8 already, shape `[batch][cols]`, with a scale for each token: to measure or test kernels on
    /// values that quantisation would not give.
    ///
    /// # Panics
    /// If `values` is not `scales.len()` tokens.
    pub fn from_int8(values: &[i8], scales: &[f32]) -> Self {
        let batch = scales.len();
        assert!(
            batch > 0 && values.len().is_multiple_of(batch),
            "{} values for {batch} tokens",
            values.len()
        );
        let cols = values.len() / batch;
        let stride = padded_stride(cols);
        let mut quantized = vec![0; batch * stride];
        for (row, values) in quantized
            .chunks_exact_mut(stride)
            .zip(values.chunks_exact(cols))
        {
            row[..cols].copy_from_slice(values);
        }
        let sums = values
            .chunks_exact(cols)
            .map(|row| row.iter().map(|v| i32::from(*v)).sum())
            .collect();
        let mut activations = Activations::new(Preparation::Int8);
        (activations.batch, activations.cols, activations.stride) = (batch, cols, stride);
        (activations.quantized, activations.scales, activations.sums) =
            (quantized, scales.to_vec(), sums);
        activations
    }

    fn prepare_int8(&mut self, x: &[f32], pool: &Pool, isa: SharedIsa) {
        let (batch, cols, stride) = (self.batch, self.cols, self.stride);
        self.quantized.resize(batch * stride, 0);
        self.scales.resize(batch, 0.0);
        self.sums.resize(batch, 0);
        let quantize = |x: &[f32], quantized: &mut [i8], scales: &mut [f32], sums: &mut [i32]| {
            for (t, row) in quantized.chunks_exact_mut(stride).enumerate() {
                let (values, padding) = row.split_at_mut(cols);
                (scales[t], sums[t]) =
                    ops::quantize_absmax(isa, &x[t * cols..][..cols], SMALLEST_ABSMAX, values);
                padding.fill(0);
            }
        };
        if batch == 1 {
            quantize(x, &mut self.quantized, &mut self.scales, &mut self.sums);
            return;
        }
        let share = batch.div_ceil(pool.threads());
        let parts: Vec<_> = x
            .chunks(share * cols)
            .zip(self.quantized.chunks_mut(share * stride))
            .zip(
                self.scales
                    .chunks_mut(share)
                    .zip(self.sums.chunks_mut(share)),
            )
            .map(|part| Mutex::new(Some(part)))
            .collect();
        pool.run(&|thread| {
            let part = parts.get(thread).and_then(|p| p.lock().ok()?.take());
            if let Some(((x, quantized), (scales, sums))) = part {
                quantize(x, quantized, scales, sums);
            }
        });
    }

    fn prepare_f32(&mut self, x: &[f32]) {
        self.dense.resize(self.batch * self.stride, 0.0);
        for (row, x) in self
            .dense
            .chunks_exact_mut(self.stride)
            .zip(x.chunks_exact(self.cols))
        {
            let (values, padding) = row.split_at_mut(self.cols);
            values.copy_from_slice(x);
            padding.fill(0.0);
        }
    }

    /// Tokens.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Inputs of each token, without the padding.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The int8 values of one token, followed by at least [`COLUMN_PADDING`] zeros; the length is a multiple of it.
    ///
    /// # Panics
    /// If these activations are not in int8.
    pub fn int8(&self, token: usize) -> &[i8] {
        assert_eq!(
            self.form,
            Preparation::Int8,
            "activations were prepared in another form"
        );
        &self.quantized[token * self.stride..][..self.stride]
    }

    /// What the int8 values of one token are multiplied by: max|x| / 127.
    pub fn scale(&self, token: usize) -> f32 {
        self.scales[token]
    }

    /// Sum of the int8 values of one token.
    pub fn sum(&self, token: usize) -> i32 {
        self.sums[token]
    }

    /// The single-precision values of one token, followed by at least [`COLUMN_PADDING`] zeros; the length is a multiple of it.
    ///
    /// # Panics
    /// If these activations are not in single precision.
    pub fn f32(&self, token: usize) -> &[f32] {
        assert_eq!(
            self.form,
            Preparation::F32,
            "activations were prepared in another form"
        );
        &self.dense[token * self.stride..][..self.stride]
    }

    /// The output for an integer sum: the one place where ternary results get their scale, so that all variants agree
    /// bit for bit.
    #[inline]
    #[expect(
        clippy::cast_precision_loss,
        reason = "the output is single precision; the sum is exact before this"
    )]
    pub fn rescale(&self, token: usize, sum: i32, weight_scale: f32) -> f32 {
        sum as f32 * (self.scales[token] * weight_scale)
    }
}
