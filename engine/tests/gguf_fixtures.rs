//! Files written by llama.cpp and bitnet.cpp (`fixtures/README.md`): one model three times, so it must load three times alike.

use std::path::PathBuf;

use bitbench_engine::model::gguf::Gguf;
use bitbench_engine::model::{Architecture, Config, LoadOptions, Model, RopePairing, load};
use bitbench_engine::weights::LinearWeights;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

fn model(name: &str) -> Model {
    load(fixture(name), LoadOptions::default()).unwrap_or_else(|error| panic!("{error}"))
}

fn linear(model: &Model) -> impl Iterator<Item = (String, &LinearWeights)> {
    let layers = model.layers.iter().enumerate();
    layers.flat_map(|(at, layer)| {
        let linear = layer.linear();
        linear.map(move |(name, weights)| (format!("layer {at} {name}"), weights))
    })
}

#[test]
fn the_configuration_is_read_from_the_file() {
    let expected = Config {
        architecture: Architecture::Bitnet,
        vocab: 512,
        hidden: 256,
        ffn: 768,
        layers: 2,
        heads: 4,
        kv_heads: 2,
        head_dim: 64,
        rms_epsilon: 1e-5,
        rope_base: 500_000.0,
        rope_dims: 64,
        rope_pairing: RopePairing::Halves,
        rope_linear_factor: 1.0,
        context_length: 4096,
    };
    for name in ["tiny-F16.gguf", "tiny-TQ2_0.gguf", "tiny-I2_S.gguf"] {
        let model = model(name);
        assert_eq!(model.config, expected, "{name}");
        assert!(model.head.is_none() && model.rope_factors.is_none());
        assert_eq!(model.final_norm.len(), 256);
        for layer in &model.layers {
            assert_eq!(layer.attention_sub_norm.as_ref().map(Vec::len), Some(256));
            assert_eq!(layer.ffn_sub_norm.as_ref().map(Vec::len), Some(768));
        }
    }
}

#[test]
fn the_ternary_files_hold_what_the_half_precision_file_holds() {
    let half = model("tiny-F16.gguf");
    for name in ["tiny-TQ2_0.gguf", "tiny-I2_S.gguf"] {
        let other = model(name);
        for ((part, a), (_, b)) in linear(&half).zip(linear(&other)) {
            let (LinearWeights::Ternary(a), LinearWeights::Ternary(b)) = (a, b) else {
                panic!("{part} of {name} or of the F16 file is not ternary");
            };
            assert_eq!(a.scale(), b.scale(), "{name} {part}");
            let (mut row_a, mut row_b) = (vec![9; a.cols()], vec![9; b.cols()]);
            let mut seen = [false; 3];
            for row in 0..a.rows() {
                a.read_row(row, &mut row_a);
                b.read_row(row, &mut row_b);
                assert_eq!(row_a, row_b, "{name} {part} row {row}");
                row_a
                    .iter()
                    .for_each(|trit| seen[usize::try_from(trit + 1).unwrap()] = true);
            }
            assert_eq!(seen, [true; 3], "{part} has all three weights");
        }
        for (a, b) in half.layers.iter().zip(&other.layers) {
            assert_eq!(a.attention_norm, b.attention_norm);
            assert_eq!(a.ffn_norm, b.ffn_norm);
            assert_eq!(a.attention_sub_norm, b.attention_sub_norm);
            assert_eq!(a.ffn_sub_norm, b.ffn_sub_norm);
        }
        assert_eq!(half.final_norm, other.final_norm);
        let (mut row_a, mut row_b) = ([0.0; 256], [0.0; 256]);
        for row in 0..512 {
            half.embedding.read_row(row, &mut row_a);
            other.embedding.read_row(row, &mut row_b);
            assert_eq!(row_a, row_b, "{name} embedding row {row}");
        }
    }
}

#[test]
fn metadata_and_tensors_can_be_listed() {
    let gguf = Gguf::open(fixture("tiny-I2_S.gguf")).unwrap();
    assert_eq!(gguf.version(), 3);
    assert_eq!(gguf.tensors().len(), 24);
    let query = gguf.tensor("blk.0.attn_q.weight").unwrap();
    assert_eq!(
        (query.dims(), query.format().name),
        (&[256, 256][..], "I2_S")
    );
    assert_eq!(query.data().len(), 256 * 256 / 4 + 32);
    assert!(gguf.tensor("blk.0.attn_q").is_none());
    assert_eq!(
        gguf.get("general.name").unwrap().as_str(),
        Some("rand-tiny")
    );
    assert_eq!(gguf.get("bitnet.block_count").unwrap().as_u64(), Some(2));
    assert!(
        gguf.metadata()
            .any(|(key, _)| key == "bitnet.rope.freq_base")
    );
}

#[test]
fn a_file_in_the_program_is_read_like_one_on_disk() {
    let bytes = include_bytes!("fixtures/tiny-I2_S.gguf");
    let gguf = Gguf::from_static("built in", bytes).expect("a fixture loads");
    let inside = Model::from_gguf(&gguf, LoadOptions::default()).expect("a fixture loads");
    let outside = model("tiny-I2_S.gguf");
    assert_eq!(inside.config, outside.config);
    let tensors = Gguf::open(fixture("tiny-I2_S.gguf")).expect("a fixture opens");
    for (a, b) in gguf.tensors().zip(tensors.tensors()) {
        assert_eq!((a.name(), a.data()), (b.name(), b.data()));
    }
    let error = Gguf::from_static("built in", &bytes[..100]).expect_err("cut off");
    assert!(error.to_string().contains("built in"), "{error}");
}
