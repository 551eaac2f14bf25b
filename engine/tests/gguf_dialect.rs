//! What llama.cpp and bitnet.cpp mean by the same numbers, and what a file does not say.

mod support;

use std::path::PathBuf;

use bitbench_engine::model::gguf::Gguf;
use bitbench_engine::model::{LoadOptions, Model, formats};
use bitbench_engine::weights::LinearWeights;
use support::{GgufWriter, Kv, Random, Tiny, encode, tiny_model};
use tempfile::TempDir;

fn written(file: &GgufWriter) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.gguf");
    file.write(&path);
    (folder, path)
}

fn open(file: &GgufWriter) -> Result<Gguf, String> {
    let (_folder, path) = written(file);
    Gguf::open(path).map_err(|error| error.to_string())
}

fn tiny(type_id: u32) -> GgufWriter {
    tiny_model(&Tiny {
        architecture: "bitnet",
        linear: formats::by_id(type_id).unwrap(),
        ternary: true,
        head: false,
    })
}

/// I2_S in blocks of 64: by position, unlike the decoder.
fn i2_s_of_arm(weights: &[f32]) -> Vec<u8> {
    let scale = weights.iter().fold(0.0, |most: f32, w| w.abs().max(most));
    let mut out = vec![0; weights.len() / 4 + 32];
    for (at, weight) in weights.iter().enumerate() {
        let code = 1 + u8::from(*weight > 0.0) - u8::from(*weight < 0.0);
        out[at / 64 * 16 + at % 16] |= code << (6 - at % 64 / 16 * 2);
    }
    out[weights.len() / 4..][..4].copy_from_slice(&scale.to_le_bytes());
    out
}

fn trits(count: usize) -> Vec<f32> {
    let mut random = Random(19);
    (0..count).map(|_| f32::from(random.trit()) * 0.5).collect()
}

fn decoded(gguf: &Gguf, name: &str) -> Vec<f32> {
    let tensor = gguf.tensor(name).unwrap();
    let format = tensor.format();
    let count: u64 = tensor.dims().iter().product();
    let mut out = vec![9.0; usize::try_from(count).unwrap()];
    let (blocks, trailer) = tensor
        .data()
        .split_at(tensor.data().len() - format.trailer_bytes);
    (format.decode)(blocks, trailer, &mut out);
    out
}

#[test]
fn rows_of_64_alone_were_packed_on_arm() {
    let weights = trits(192 * 4);
    let mut file = GgufWriter::new();
    file.tensor("odd", &[192, 4], 36, i2_s_of_arm(&weights));
    file.tensor("even", &[256, 3], 36, i2_s_of_arm(&weights));
    let gguf = open(&file).unwrap();
    for name in ["odd", "even"] {
        assert_eq!(gguf.tensor(name).unwrap().format().name, "I2_S of ARM");
        assert_eq!(decoded(&gguf, name), weights);
    }
    assert!(
        gguf.notes()
            .iter()
            .any(|note| note.contains("blocks of 64"))
    );
    // No row of whole blocks of either size.
    file.tensor("odd", &[96, 8], 36, i2_s_of_arm(&weights));
    assert!(open(&file).unwrap_err().contains("odd"));
}

#[test]
fn where_i2_s_was_packed_is_asked_for_or_said_aloud() {
    let weights = trits(256 * 256);
    let name = "blk.0.attn_q.weight";
    let mut file = tiny(36);
    file.tensor(name, &[256, 256], 36, i2_s_of_arm(&weights));

    let mut gguf = open(&file).unwrap();
    assert!(
        gguf.notes()[0].contains("blocks of 128"),
        "{:?}",
        gguf.notes()
    );
    assert_ne!(decoded(&gguf, name), weights);
    gguf.read_i2_s_of_arm();
    assert_eq!(decoded(&gguf, name), weights);
    assert!(gguf.notes().is_empty());
    let model = Model::from_gguf(&gguf, LoadOptions::default()).unwrap();
    let LinearWeights::Ternary(query) = &model.layers[0].query else {
        panic!("the weights are ternary");
    };
    let mut row = [9; 256];
    query.read_row(255, &mut row);
    let row = row.map(|trit| f32::from(trit) * query.scale());
    assert_eq!(row, weights[255 * 256..]);

    file.kv("bitbench.i2_s.block", Kv::U32(64));
    assert_eq!(decoded(&open(&file).unwrap(), name), weights);
    file.kv("bitbench.i2_s.block", Kv::U32(128));
    let gguf = open(&file).unwrap();
    assert!(gguf.notes().is_empty());
    assert_ne!(decoded(&gguf, name), weights);
    for value in [Kv::U32(32), Kv::Str("64".into())] {
        file.kv("bitbench.i2_s.block", value);
        assert!(open(&file).unwrap_err().contains("bitbench.i2_s.block"));
    }
    assert!(open(&tiny(35)).unwrap().notes().is_empty());
}

#[test]
fn type_39_is_what_its_bytes_are() {
    let mxfp4 = encode::by_id(39, &trits(512 * 8));
    let mut file = GgufWriter::new();
    file.tensor("a", &[512, 8], 39, mxfp4.clone());
    file.tensor("b", &[512, 8], 39, mxfp4.clone());
    let gguf = open(&file).unwrap();
    assert_eq!(decoded(&gguf, "b"), trits(512 * 8));
    assert!(gguf.notes()[0].contains("2 tensors of type 39 are read as llama.cpp's MXFP4"));

    // bitnet.cpp's arithmetic: (512 - 256) * 8 weights by threes in 5 bits, 256 * 8 by pairs in 4, and 32 for the scale.
    let tl2 = (256 * 8 / 3 * 5 / 8 + 256 * 8 / 2 * 4 / 8usize).next_multiple_of(32) + 32;
    for last in [false, true] {
        let mut file = GgufWriter::new();
        file.tensor("weights", &[512, 8], 39, vec![7; tl2]);
        if !last {
            file.tensor("after", &[4], 0, encode::f32(&[1.0; 4]));
        }
        let error = open(&file).unwrap_err();
        for part in ["weights", "TL2", "ggml-model-i2_s.gguf", "tiny.gguf"] {
            assert!(error.contains(part), "{error}");
        }
    }
    // Neither the one nor the other.
    let mut file = GgufWriter::new();
    file.tensor("cut", &[512, 8], 39, mxfp4[..mxfp4.len() / 2].to_vec());
    assert!(open(&file).unwrap_err().contains("truncated"));
}

#[test]
fn tl1_names_the_file_to_use() {
    let mut file = GgufWriter::new();
    file.tensor("weights", &[512, 8], 38, vec![7; 512 * 8 / 4 + 32]);
    let error = open(&file).unwrap_err();
    assert!(
        error.contains("TL1") && error.contains("ggml-model-i2_s.gguf"),
        "{error}"
    );
}
