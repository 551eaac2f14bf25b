//! Finding out whether the weights of a linear layer are {-s, 0, +s}, without loss, or rounding them to it when asked.

use std::sync::Arc;

use rayon::prelude::*;

use super::LoadOptions;
use super::rows::{FileRows, Rounded, Stored};
use crate::model::formats::{LARGEST_BLOCK, Scale, TernaryView};
use crate::model::ternarize;
use crate::weights::{LinearWeights, TernaryMatrix, TernaryRows};

/// The weights of a layer, each multiplied by `factor`.
///
/// # Errors
/// What is wrong with the stored weights.
pub(in crate::model) fn weights(
    rows: FileRows,
    name: &str,
    factor: f32,
    options: LoadOptions,
) -> Result<LinearWeights, String> {
    let found = match &rows.format.ternary {
        Some(view) => stored_ternary(&rows, view)?,
        None => hidden_ternary(&rows),
    };
    let reason = match found {
        Ok(ternary) => return ternary.into_weights(rows, factor),
        Err(reason) => reason,
    };
    if options.ternarize {
        return rounded(rows, factor);
    }
    let reason = format!(
        "{name} is {} {reason}: round it with --ternarize, or choose a half-precision kernel",
        rows.format.name
    );
    Ok(LinearWeights::Dense(rows.into_dense(factor, &reason)))
}

/// The weights of a layer, rounded to {-1, 0, +1} times their mean magnitude, all of it multiplied by `factor`.
///
/// # Errors
/// What is wrong with the stored weights.
pub(in crate::model) fn rounded(rows: FileRows, factor: f32) -> Result<LinearWeights, String> {
    let scale = ternarize::absmean(rows.rows, rows.cols, |row, each| {
        rows.each_span(row, |weights| {
            each(weights);
            true
        });
    })
    .ok_or("it holds weights that are not finite, so it has no mean magnitude")?;
    let ternary = Ternary { scale, view: None };
    ternary.into_weights(rows, factor)
}

/// What was found of a ternary tensor: its scale, and how to read it where the format is ternary itself.
struct Ternary {
    scale: f32,
    view: Option<&'static TernaryView>,
}

impl Ternary {
    fn into_weights(self, rows: FileRows, factor: f32) -> Result<LinearWeights, String> {
        let (row_count, cols, scale) = (rows.rows, rows.cols, self.scale);
        if !(scale * factor).is_finite() {
            return Err(format!("its scale is {scale} times {factor}"));
        }
        let source: Arc<dyn TernaryRows> = match self.view {
            Some(view) => Arc::new(Stored { rows, view }),
            None => Arc::new(Rounded::new(rows, scale)),
        };
        let matrix = TernaryMatrix::new(row_count, cols, scale * factor, source);
        Ok(LinearWeights::Ternary(matrix))
    }
}

/// Whether a scan found a ternary matrix, or why not.
type Found = Result<Ternary, String>;

/// A tensor of a ternary format: all codes must be valid and all scales the same.
fn stored_ternary(rows: &FileRows, view: &'static TernaryView) -> Result<Found, String> {
    if let Some(row) = (0..rows.rows)
        .into_par_iter()
        .find_first(|row| (view.has_invalid_code)(rows.row(*row)))
    {
        return Err(format!(
            "row {row} holds code 3, which stands for no weight; download the file again"
        ));
    }
    let scale = match view.scale {
        Scale::Tensor(scale) => scale(rows.trailer()),
        Scale::Block(scale) => match common_scale(rows, view, scale) {
            Ok(scale) => scale,
            Err(reason) => return Ok(Err(reason)),
        },
    };
    Ok(Ok(Ternary {
        scale,
        view: Some(view),
    }))
}

/// The one scale of all blocks that hold any weight but 0, or how many blocks differ from the first of them.
fn common_scale(
    rows: &FileRows,
    view: &TernaryView,
    scale: fn(&[u8]) -> f32,
) -> Result<f32, String> {
    let format = rows.format;
    let blocks = |row| rows.row(row).chunks_exact(format.block_bytes);
    let is_zero = |block: &[u8]| {
        let mut weights = [0; LARGEST_BLOCK];
        let weights = &mut weights[..format.block_elements];
        (view.decode)(block, weights);
        weights.iter().all(|weight| *weight == 0)
    };
    let Some(common) = (0..rows.rows)
        .flat_map(blocks)
        .find(|block| !is_zero(block))
        .map(scale)
    else {
        return Ok(1.0);
    };
    let differ: usize = (0..rows.rows)
        .into_par_iter()
        .map(|row| {
            blocks(row)
                .filter(|block| scale(block).to_bits() != common.to_bits() && !is_zero(block))
                .count()
        })
        .sum();
    if differ == 0 {
        return Ok(common);
    }
    let all = rows.rows * (rows.cols / format.block_elements);
    Err(format!(
        "with more than one scale ({differ} of {all} blocks differ from the first)"
    ))
}

/// A tensor of a general format whose weights may still be exactly {-s, 0, +s}.
fn hidden_ternary(rows: &FileRows) -> Found {
    let mut scale = 0.0f32;
    for row in 0..rows.rows {
        let all_zero = rows.each_span(row, |weights| {
            scale = weights
                .iter()
                .map(|weight| weight.abs())
                .find(|weight| *weight != 0.0)
                .unwrap_or(0.0);
            scale == 0.0
        });
        if !all_zero {
            break;
        }
    }
    if scale == 0.0 {
        return Ok(Ternary {
            scale: 1.0,
            view: None,
        });
    }
    let is_ternary = scale.is_finite()
        && (0..rows.rows).into_par_iter().all(|row| {
            rows.each_span(row, |weights| {
                weights
                    .iter()
                    .fold(true, |all, w| all & ((w.abs() == scale) | (*w == 0.0)))
            })
        });
    if is_ternary {
        Ok(Ternary { scale, view: None })
    } else {
        Err("and its weights are not exactly {-s, 0, +s}".to_owned())
    }
}
