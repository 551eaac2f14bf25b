//! Products of unpacked weights in portable Rust, shaped so that compilers make vectors of whatever width the target has.

use crate::activations::{Activations, COLUMN_PADDING};
use crate::grid::Tile;
use crate::kernels::Packed;

/// Rows unpacked together: each activation that is loaded is used this often.
pub(crate) const ROWS: usize = 4;
/// Tokens widened together: 32 rows of 6912 columns in 16 bits are 432 KiB, which a second-level cache holds.
const TOKEN_BLOCK: usize = 32;
/// Lanes of the sums.
const LANES: usize = 16;
/// Columns of a block.
const BLOCK: usize = 4 * LANES;
/// Blocks whose products fit in 16 bits: each adds at most 4 * 128 to a lane, and 63 * 512 < 32768.
const BLOCKS_PER_SUM: usize = 63;

/// Multiplies the rows of `out` by its tokens. `unpack(row, weights)` writes -1, 0 and +1 of a row; there is room for at least
/// [`COLUMN_PADDING`] zeros after its columns, so that it can write in whole blocks.
pub(crate) fn multiply(
    packed: &Packed,
    activations: &Activations,
    out: &mut Tile<'_>,
    unpack: impl Fn(usize, &mut [i16]),
) {
    let (tokens, rows) = (out.tokens(), out.cols());
    let padded = packed.cols.next_multiple_of(COLUMN_PADDING);
    let mut values = vec![0i16; TOKEN_BLOCK.min(tokens.len()) * padded];
    let room = padded + COLUMN_PADDING;
    let mut weights = vec![0i16; ROWS * room];
    for first_token in tokens.clone().step_by(TOKEN_BLOCK) {
        let tokens = first_token..tokens.end.min(first_token + TOKEN_BLOCK);
        for (token, values) in tokens.clone().zip(values.chunks_exact_mut(padded)) {
            for (wide, value) in values.iter_mut().zip(activations.int8(token)) {
                *wide = i16::from(*value);
            }
        }
        for first_row in rows.clone().step_by(ROWS) {
            let group = first_row..rows.end.min(first_row + ROWS);
            for (row, weights) in group.clone().zip(weights.chunks_exact_mut(room)) {
                unpack(row, weights);
            }
            for (token, values) in tokens.clone().zip(values.chunks_exact(padded)) {
                let out = &mut out.token(token)[group.start - rows.start..][..group.len()];
                for (out, weights) in out.iter_mut().zip(weights.chunks_exact(room)) {
                    let sum = dot(&weights[..padded], values);
                    *out = activations.rescale(token, sum, packed.scale);
                }
            }
        }
    }
}

/// Sum of `w * a` over one row.
fn dot(weights: &[i16], values: &[i16]) -> i32 {
    let mut total = [0i32; LANES];
    let (weights, _) = weights.as_chunks::<BLOCK>();
    let (values, _) = values.as_chunks::<BLOCK>();
    for (weights, values) in weights
        .chunks(BLOCKS_PER_SUM)
        .zip(values.chunks(BLOCKS_PER_SUM))
    {
        let mut sums = [0i16; LANES];
        for (weights, values) in weights.iter().zip(values) {
            let (w, _) = weights.as_chunks::<LANES>();
            let (a, _) = values.as_chunks::<LANES>();
            for lane in 0..LANES {
                sums[lane] += w[0][lane] * a[0][lane]
                    + w[1][lane] * a[1][lane]
                    + w[2][lane] * a[2][lane]
                    + w[3][lane] * a[3][lane];
            }
        }
        for (total, sum) in total.iter_mut().zip(sums) {
            *total += i32::from(sum);
        }
    }
    total.iter().sum()
}
