//! config.json up to the first byte of 0, then model.safetensors: opened, loaded, and all its weights read.
#![no_main]

use bitbench_engine::model::huggingface::Folder;
use bitbench_engine::model::{LoadOptions, Model};
use bitbench_engine::weights::{DenseMatrix, LinearWeights};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some(end) = bytes.iter().position(|byte| *byte == 0) else {
        return;
    };
    let (config, weights) = bytes.split_at(end);
    let path = std::env::temp_dir().join(format!("bitbench-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&path).expect("a folder");
    std::fs::write(path.join("config.json"), config).expect("a file");
    std::fs::write(path.join("model.safetensors"), &weights[1..]).expect("a file");
    let Ok(folder) = Folder::open(&path) else {
        return;
    };
    assert_eq!(folder.files().len(), 2);
    for ternarize in [false, true] {
        if let Ok(model) = Model::from_folder(&folder, LoadOptions { ternarize }) {
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
