//! Linear layers on all threads.

use crate::activations::Activations;
use crate::grid::Grid;
use crate::kernels::PackedMatrix;
use crate::threads::Pool;
use crate::turns::Turns;

/// Bytes of weights that a thread takes at a time in decode: some microseconds, many times what it costs to take them.
const PIECE_BYTES: usize = 128 << 10;

/// Multiplies activations by some matrices that read them, in one region: `out` of each is `[tokens][rows]`. With one token
/// threads take pieces of the rows, the slower ones fewer; with more each takes its stripe, because a piece of a prompt has
/// costs of its own, such as laying out all activations.
///
/// # Panics
/// If the activations were prepared in another form or for another number of columns, or an output is not whole rows.
pub fn linear(
    pool: &Pool,
    activations: &Activations,
    products: &mut [(&dyn PackedMatrix, &mut [f32])],
) {
    let threads = pool.threads();
    let pieces: Vec<(&dyn PackedMatrix, Grid<'_>, Turns)> = products
        .iter_mut()
        .map(|(matrix, out)| {
            let rows = matrix.rows();
            let stripe = rows.div_ceil(threads);
            let piece = if out.len() > rows || matrix.decodes_by_tables() {
                stripe
            } else {
                let row_bytes = (matrix.bytes().len() / rows).max(1);
                stripe.min(PIECE_BYTES / row_bytes).max(1)
            };
            let tokens = out.len() / rows;
            let grid = Grid::new(
                out,
                rows,
                tokens.max(1),
                piece.next_multiple_of(matrix.row_block()),
            );
            let turns = Turns::new(grid.len(), threads);
            (*matrix, grid, turns)
        })
        .collect();
    pool.run(&|thread| {
        for (matrix, grid, turns) in &pieces {
            while let Some(mut tile) = turns.next(thread).and_then(|piece| grid.take(piece)) {
                matrix.multiply(activations, &mut tile);
            }
        }
    });
}
