//! Linear layers on all threads.

use crate::activations::Activations;
use crate::kernels::PackedMatrix;
use crate::pieces::{PIECE_BYTES, Pieces};
use crate::threads::Pool;

/// Multiplies activations by some matrices that read them, in one region: `out` of each is `[tokens][rows]`. With few tokens
/// threads take pieces of the rows, the slower ones fewer, and multiply a piece by one token after the other, for which it
/// comes from memory once. With more each takes its stripe, because a piece of a prompt has costs of its own, such as laying
/// out all activations.
///
/// # Panics
/// If the activations were prepared in another form or for another number of columns, or an output is not whole rows.
pub fn linear(
    pool: &Pool,
    activations: &Activations,
    products: &mut [(&dyn PackedMatrix, &mut [f32])],
) {
    let threads = pool.threads();
    let pieces: Vec<(&dyn PackedMatrix, Pieces<'_>)> = products
        .iter_mut()
        .map(|(matrix, out)| {
            let rows = matrix.rows();
            let stripe = rows.div_ceil(threads);
            let whole = match out.len() / rows {
                0 | 1 => threads == 1,
                tokens => tokens > matrix.tokens_one_by_one(),
            };
            let piece = if whole || matrix.decodes_by_tables() {
                stripe
            } else {
                let row_bytes = (matrix.bytes().len() / rows).max(1);
                stripe.min(PIECE_BYTES / row_bytes).max(1)
            };
            let piece = piece.next_multiple_of(matrix.row_block());
            (*matrix, Pieces::new(out, rows, piece, threads))
        })
        .collect();
    pool.run(&|thread| {
        for (matrix, pieces) in &pieces {
            while let Some(mut tile) = pieces.next(thread) {
                if tile.tokens().len() > matrix.tokens_one_by_one() {
                    matrix.multiply(activations, &mut tile);
                    continue;
                }
                for token in tile.tokens() {
                    matrix.multiply(activations, &mut tile.one(token));
                }
            }
        }
    });
}
