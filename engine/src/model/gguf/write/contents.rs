//! What a tensor holds, turned into its bytes a few rows at a time, on all CPUs.

use rayon::prelude::*;

use crate::model::formats::{Encode, LARGEST_BLOCK, TensorFormat};
use crate::weights::{DenseMatrix, LinearWeights, TernaryMatrix};

/// Bytes that are made before they are written.
const PIECE: usize = 4 << 20;
/// A rounded scale further from its own than this is not that scale: bfloat16 rounds by half of it at most.
const LARGEST_ROUNDING: f32 = 1.0 / 128.0;

/// Where the bytes of a tensor come from.
#[derive(Debug)]
pub(super) enum Contents<'a> {
    /// They are there.
    Stored(&'a [u8]),
    /// Numbers in single precision.
    Vector(&'a [f32]),
    /// Rows of -1, 0 and +1.
    Ternary(TernaryMatrix),
    /// Rows of numbers.
    Dense(DenseMatrix),
}

impl Contents<'_> {
    /// The matrix, if the format can be written and takes it; otherwise why not.
    pub(super) fn encoded(
        weights: &LinearWeights,
        format: &TensorFormat,
    ) -> Result<Contents<'static>, String> {
        let encoder = format
            .encode
            .as_ref()
            .ok_or("this format is read, not written")?;
        let (cols, block) = (weights.cols(), format.block_elements);
        if !cols.is_multiple_of(block) {
            return Err(format!(
                "its rows have {cols} columns, and the format needs a multiple of {block}"
            ));
        }
        match (weights, &encoder.encode) {
            (LinearWeights::Ternary(matrix), _) => Ok(Contents::Ternary(matrix.clone())),
            (LinearWeights::Dense(matrix), Encode::Numbers { .. }) => {
                Ok(Contents::Dense(matrix.clone()))
            }
            (LinearWeights::Dense(matrix), Encode::Ternary { .. }) => {
                Err(format!("it is not ternary: {}", matrix.not_ternary()))
            }
        }
    }

    /// Gives all bytes in order to `write`.
    ///
    /// # Errors
    /// What `write` fails with, and what `unfit` makes of the reason why a row cannot be stored.
    pub(super) fn each_piece<E>(
        &self,
        format: &TensorFormat,
        write: &mut dyn FnMut(&[u8]) -> Result<(), E>,
        unfit: &dyn Fn(String) -> E,
    ) -> Result<(), E> {
        match self {
            Contents::Stored(bytes) => bytes.chunks(PIECE).try_for_each(write),
            Contents::Vector(numbers) => {
                let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
                write(&bytes)
            }
            Contents::Ternary(matrix) => {
                let encode_row = |row, trits: &mut [i8], blocks: &mut [u8]| {
                    matrix.read_row(row, trits);
                    encode_ternary(trits, matrix.scale(), format, blocks)
                };
                let mut pieces = Pieces::new(matrix.rows(), matrix.cols(), format);
                while let Some(piece) = pieces.next(encode_row).map_err(unfit)? {
                    write(piece)?;
                }
                let mut bytes = vec![0; format.trailer_bytes];
                encode_trailer(matrix.scale(), format, &mut bytes);
                write(&bytes)
            }
            Contents::Dense(matrix) => {
                let encode_row = |row, numbers: &mut [f32], blocks: &mut [u8]| {
                    matrix.read_row(row, numbers);
                    encode_numbers(numbers, format, blocks)
                        .map_err(|reason| format!("row {row}: {reason}"))
                };
                let mut pieces = Pieces::new(matrix.rows(), matrix.cols(), format);
                while let Some(piece) = pieces.next(encode_row).map_err(unfit)? {
                    write(piece)?;
                }
                Ok(())
            }
        }
    }
}

/// The blocks of a matrix, a few megabytes of rows at a time.
struct Pieces {
    rows: usize,
    cols: usize,
    row_bytes: usize,
    /// The rows before this one were made.
    next: usize,
    bytes: Vec<u8>,
}

impl Pieces {
    fn new(rows: usize, cols: usize, format: &TensorFormat) -> Pieces {
        let row_bytes = cols / format.block_elements * format.block_bytes;
        let piece_rows = (PIECE / row_bytes).max(1).min(rows);
        Pieces {
            rows,
            cols,
            row_bytes,
            next: 0,
            bytes: vec![0; piece_rows * row_bytes],
        }
    }

    /// Makes the next rows, on all CPUs: `encode_row(row, scratch for its weights, its blocks)`.
    fn next<T: Clone + Default + Send>(
        &mut self,
        encode_row: impl Fn(usize, &mut [T], &mut [u8]) -> Result<(), String> + Sync,
    ) -> Result<Option<&[u8]>, String> {
        let first = self.next;
        let rows = (self.bytes.len() / self.row_bytes).min(self.rows - first);
        if rows == 0 {
            return Ok(None);
        }
        let piece = &mut self.bytes[..rows * self.row_bytes];
        piece
            .par_chunks_exact_mut(self.row_bytes)
            .enumerate()
            .try_for_each_init(
                || vec![T::default(); self.cols],
                |weights, (at, blocks)| encode_row(first + at, weights, blocks),
            )?;
        self.next += rows;
        Ok(Some(piece))
    }
}

fn encode(format: &TensorFormat) -> Option<&Encode> {
    format.encode.as_ref().map(|encoder| &encoder.encode)
}

fn encode_ternary(
    trits: &[i8],
    scale: f32,
    format: &TensorFormat,
    blocks: &mut [u8],
) -> Result<(), String> {
    match encode(format) {
        Some(Encode::Ternary { blocks: encode, .. }) => {
            encode(trits, scale, blocks);
            Ok(())
        }
        Some(Encode::Numbers { .. }) => {
            let mut numbers = [0.0; LARGEST_BLOCK];
            let span_bytes = LARGEST_BLOCK / format.block_elements * format.block_bytes;
            let spans = trits
                .chunks(LARGEST_BLOCK)
                .zip(blocks.chunks_mut(span_bytes));
            for (trits, blocks) in spans {
                let numbers = &mut numbers[..trits.len()];
                for (number, trit) in numbers.iter_mut().zip(trits) {
                    *number = scale * f32::from(*trit);
                }
                encode_numbers(numbers, format, blocks)?;
            }
            Ok(())
        }
        None => Err("this format is read, not written".to_owned()),
    }
}

fn encode_trailer(scale: f32, format: &TensorFormat, bytes: &mut [u8]) {
    if let Some(Encode::Ternary { trailer, .. }) = encode(format) {
        trailer(scale, bytes);
    }
}

fn encode_numbers(numbers: &[f32], format: &TensorFormat, blocks: &mut [u8]) -> Result<(), String> {
    let Some(Encode::Numbers {
        blocks: encode,
        largest,
    }) = encode(format)
    else {
        return Err("the format takes ternary weights".to_owned());
    };
    // NaN is not within either.
    let within = |number: &f32| number.abs() <= *largest;
    if let Some(number) = numbers.iter().find(|number| !within(number)) {
        return Err(format!(
            "it holds {number}, and the format goes to {largest}"
        ));
    }
    encode(numbers, blocks);
    Ok(())
}

/// How far the scale of ternary weights moves when it is stored in this format, relative to itself.
///
/// # Errors
/// If it moves so far that it is another scale.
pub(super) fn scale_rounding(scale: f32, format: &TensorFormat) -> Result<f32, String> {
    let trits = vec![1; format.block_elements];
    let mut bytes = vec![0; format.block_bytes + format.trailer_bytes];
    let (blocks, trailer) = bytes.split_at_mut(format.block_bytes);
    encode_ternary(&trits, scale, format, blocks)?;
    encode_trailer(scale, format, trailer);
    let mut weights = vec![0.0; format.block_elements];
    (format.decode)(blocks, trailer, &mut weights);
    let stored = weights.first().copied().unwrap_or(0.0);
    let moved = if stored == scale {
        0.0
    } else {
        ((stored - scale) / scale).abs()
    };
    // Not finite is not within either.
    if moved <= LARGEST_ROUNDING {
        Ok(moved)
    } else {
        Err(format!("its scale {scale} would become {stored}"))
    }
}
