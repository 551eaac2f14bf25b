//! Activations in the form a kernel family multiplies: once for all matrices that read them.

use crate::ops::{self, SharedIsa};
use crate::threads::Pool;
use std::ops::Range;
use std::sync::Mutex;

/// The form activations take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preparation {
    /// Absmax per token to int8, as in BitNet b1.58 (arXiv 2402.17764): q = round(x * 127 / max|x|), ties to even.
    Int8,
    /// Single precision, as they are.
    F32,
    /// Single precision, and beside it rounded to bfloat16, ties to even.
    F32AndBf16,
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
    rounded: Vec<u16>,
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
            rounded: Vec::new(),
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
        self.prepare_with(x.len() / cols, cols, pool, isa, &|token, row| {
            row.copy_from_slice(&x[token * cols..][..cols]);
        });
    }

    /// Prepares `batch` tokens of `cols` values each that `write(token, values)` makes, so that they go to the first-level
    /// cache and no further. Threads share out the tokens.
    pub(crate) fn prepare_with(
        &mut self,
        batch: usize,
        cols: usize,
        pool: &Pool,
        isa: SharedIsa,
        write: &(dyn Fn(usize, &mut [f32]) + Sync),
    ) {
        let stride = padded_stride(cols);
        (self.batch, self.cols, self.stride) = (batch, cols, stride);
        let (int8, bf16) = (
            self.form == Preparation::Int8,
            self.form == Preparation::F32AndBf16,
        );
        let share = batch.div_ceil(pool.threads()).max(1);
        // In int8, a row for each thread; else one for each token.
        let rows = if int8 { batch.div_ceil(share) } else { batch };
        self.dense.resize(rows * stride, 0.0);
        let size = |used: bool, each: usize| if used { batch * each } else { 0 };
        self.quantized.resize(size(int8, stride), 0);
        self.scales.resize(size(int8, 1), 0.0);
        self.sums.resize(size(int8, 1), 0);
        self.rounded.resize(size(bf16, stride), 0);

        let mut dense = self
            .dense
            .chunks_mut(if int8 { stride } else { share * stride });
        let mut quantized = self.quantized.chunks_mut(share * stride);
        let mut scales = self.scales.chunks_mut(share);
        let mut sums = self.sums.chunks_mut(share);
        let mut rounded = self.rounded.chunks_mut(share * stride);
        let mut part = |first: usize| Part {
            tokens: first..batch.min(first + share),
            dense: dense.next().unwrap_or_default(),
            quantized: quantized.next().unwrap_or_default(),
            scales: scales.next().unwrap_or_default(),
            sums: sums.next().unwrap_or_default(),
            rounded: rounded.next().unwrap_or_default(),
        };
        if batch == 1 {
            return part(0).prepare(cols, stride, isa, write);
        }
        let parts: Vec<_> = (0..batch)
            .step_by(share)
            .map(|first| Mutex::new(Some(part(first))))
            .collect();
        pool.run(&|thread| {
            let part = parts.get(thread).and_then(|p| p.lock().ok()?.take());
            if let Some(part) = part {
                part.prepare(cols, stride, isa, write);
            }
        });
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
    #[inline]
    pub fn f32(&self, token: usize) -> &[f32] {
        assert_ne!(
            self.form,
            Preparation::Int8,
            "activations were prepared in another form"
        );
        &self.dense[token * self.stride..][..self.stride]
    }

    /// The bfloat16 bits of the values of one token, two columns together, padded as [`Activations::f32`] is.
    ///
    /// # Panics
    /// If these activations are not in bfloat16.
    #[inline]
    pub fn bf16(&self, token: usize) -> &[[u16; 2]] {
        assert_eq!(
            self.form,
            Preparation::F32AndBf16,
            "activations were prepared in another form"
        );
        bytemuck::cast_slice(&self.rounded[token * self.stride..][..self.stride])
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

/// What one thread prepares: some tokens, and the memory of each form, empty where it is not used.
struct Part<'a> {
    tokens: Range<usize>,
    /// `[tokens][stride]`, or a single row that all tokens pass through on their way to int8.
    dense: &'a mut [f32],
    quantized: &'a mut [i8],
    scales: &'a mut [f32],
    sums: &'a mut [i32],
    rounded: &'a mut [u16],
}

impl Part<'_> {
    fn prepare(
        self,
        cols: usize,
        stride: usize,
        isa: SharedIsa,
        write: &(dyn Fn(usize, &mut [f32]) + Sync),
    ) {
        let int8 = !self.quantized.is_empty();
        for (index, token) in self.tokens.enumerate() {
            let from = if int8 { 0 } else { index * stride };
            let row = &mut self.dense[from..][..stride];
            let (values, padding) = row.split_at_mut(cols);
            write(token, values);
            if int8 {
                let (out, padding) = self.quantized[index * stride..][..stride].split_at_mut(cols);
                (self.scales[index], self.sums[index]) =
                    ops::quantize_absmax(isa, values, SMALLEST_ABSMAX, out);
                padding.fill(0);
                continue;
            }
            padding.fill(0.0);
            if !self.rounded.is_empty() {
                ops::round_to_bf16(isa, row, &mut self.rounded[index * stride..][..stride]);
            }
        }
    }
}
