//! Reading what a loader accepted, to the end.

use bitbench_engine::model::Model;
use bitbench_engine::weights::{DenseMatrix, LinearWeights};

/// Reads all weights of a model.
pub(crate) fn read_all(model: &Model) {
    let dense = |matrix: &DenseMatrix| {
        let mut row = vec![0.0; matrix.cols()];
        (0..matrix.rows()).for_each(|at| matrix.read_row(at, &mut row));
    };
    dense(&model.embedding);
    model.head.iter().for_each(dense);
    for layer in &model.layers {
        for (_, weights) in layer.linear() {
            match weights {
                LinearWeights::Dense(matrix) => dense(matrix),
                LinearWeights::Ternary(matrix) => {
                    assert!(matrix.scale().is_finite());
                    let mut row = vec![9; matrix.cols()];
                    for at in 0..matrix.rows() {
                        matrix.read_row(at, &mut row);
                        assert!(row.iter().all(|trit| (-1..=1).contains(trit)));
                    }
                }
            }
        }
    }
}
