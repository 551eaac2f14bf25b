//! Any bytes as a GGUF file: opened, its tokenizer made, loaded, and all its weights read.
#![no_main]

use bitbench_engine::model::gguf::Gguf;
use bitbench_engine::model::{LoadOptions, Model};
use bitbench_engine::tokenizer::Tokenizer;
use bitbench_engine::weights::{DenseMatrix, LinearWeights};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let name = format!("bitbench-fuzz-{}.gguf", std::process::id());
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, bytes).expect("a file for the bytes");
    let Ok(gguf) = Gguf::open(&path) else {
        return;
    };
    for tensor in gguf.tensors() {
        assert!(gguf.tensor(tensor.name()).is_some());
    }
    let _ = gguf.notes();
    if let Ok(Some(tokenizer)) = Tokenizer::from_gguf(&gguf) {
        let _ = tokenizer.encode("Text, 123 of it.");
    }
    for ternarize in [false, true] {
        let options = LoadOptions { ternarize };
        if let Ok(model) = Model::from_gguf(&gguf, options) {
            read(&model);
        }
    }
});

fn read(model: &Model) {
    dense(&model.embedding);
    model.head.iter().for_each(dense);
    for (_, weights) in model.layers.iter().flat_map(|layer| layer.linear()) {
        match weights {
            LinearWeights::Dense(matrix) => dense(matrix),
            LinearWeights::Ternary(matrix) => {
                let mut row = vec![9; matrix.cols()];
                for at in 0..matrix.rows() {
                    matrix.read_row(at, &mut row);
                    assert!(row.iter().all(|trit| (-1..=1).contains(trit)));
                }
            }
        }
    }
}

fn dense(matrix: &DenseMatrix) {
    let mut row = vec![0.0; matrix.cols()];
    (0..matrix.rows()).for_each(|at| matrix.read_row(at, &mut row));
}
