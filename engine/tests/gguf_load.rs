//! What the loader makes of a sound file: defaults of hyperparameters, ternary weights found or made, reasons for the rest.

mod support;

use bitbench_engine::model::{
    Architecture, LoadOptions, Model, Pooling, RopePairing, formats, load,
};
use bitbench_engine::weights::{DenseMatrix, LinearWeights, TernaryMatrix};
use support::{
    FFN, GgufWriter, HEAD_DIM, HIDDEN, KV_HEADS, Kv, Random, SCALE, Tiny, encode, tiny_model,
};

fn tiny(architecture: &'static str, format: &str, ternary: bool) -> GgufWriter {
    let linear = formats::FORMATS.iter().find(|known| known.name == format);
    tiny_model(&Tiny {
        architecture,
        linear: linear.unwrap(),
        ternary,
        head: false,
    })
}

fn loaded(file: &GgufWriter, ternarize: bool) -> Model {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.gguf");
    file.write(&path);
    load(&path, LoadOptions { ternarize }).unwrap_or_else(|error| panic!("{error}"))
}

fn ternary(weights: &LinearWeights) -> &TernaryMatrix {
    match weights {
        LinearWeights::Ternary(matrix) => matrix,
        LinearWeights::Dense(matrix) => panic!("{}", matrix.not_ternary()),
    }
}

fn dense(weights: &LinearWeights) -> &DenseMatrix {
    match weights {
        LinearWeights::Dense(matrix) => matrix,
        LinearWeights::Ternary(_) => panic!("the weights are ternary"),
    }
}

/// All weights of a layer's query projection, row after row, as the file has them.
fn query(file: &GgufWriter) -> Vec<f32> {
    let model = loaded(file, false);
    match &model.layers[0].query {
        LinearWeights::Ternary(matrix) => {
            let mut row = vec![0; matrix.cols()];
            let rows = (0..matrix.rows()).flat_map(|at| {
                matrix.read_row(at, &mut row);
                row.iter()
                    .map(|trit| f32::from(*trit) * matrix.scale())
                    .collect::<Vec<_>>()
            });
            rows.collect()
        }
        LinearWeights::Dense(matrix) => {
            let mut row = vec![0.0; matrix.cols()];
            let rows = (0..matrix.rows()).flat_map(|at| {
                matrix.read_row(at, &mut row);
                row.clone()
            });
            rows.collect()
        }
    }
}

const QUERY: &str = "blk.0.attn_q.weight";

#[test]
fn ternary_weights_are_found_in_any_format_that_holds_them_exactly() {
    let expected = query(&tiny("bitnet", "I2_S", true));
    for format in ["F32", "F16", "BF16", "TQ1_0", "TQ2_0"] {
        let file = tiny("bitnet", format, true);
        assert_eq!(query(&file), expected, "{format}");
        for layer in &loaded(&file, false).layers {
            for (_, weights) in layer.linear() {
                assert_eq!(ternary(weights).scale(), SCALE, "{format}");
            }
        }
    }
}

#[test]
fn blocks_of_zeros_may_have_any_scale() {
    let mut weights = vec![0.0; HIDDEN * HIDDEN];
    weights[3 * HIDDEN + 5] = -0.5;
    let mut file = tiny("bitnet", "TQ2_0", true);
    file.tensor(QUERY, &[HIDDEN, HIDDEN], 35, encode::by_id(35, &weights));
    assert_eq!(query(&file), weights);
    // Nothing but zeros is ternary by any scale.
    for id in [0, 35, 34] {
        let zeros = vec![0.0; HIDDEN * HIDDEN];
        file.tensor(QUERY, &[HIDDEN, HIDDEN], id, encode::by_id(id, &zeros));
        assert!(ternary(&loaded(&file, false).layers[0].query).scale() > 0.0);
        assert_eq!(query(&file), zeros);
    }
}

#[test]
fn blocks_of_different_scales_stay_dense_and_say_so() {
    let mut weights = vec![0.25; HIDDEN * HIDDEN];
    weights[HIDDEN..3 * HIDDEN].fill(0.5);
    for (id, name) in [(34, "TQ1_0"), (35, "TQ2_0")] {
        let mut file = tiny("bitnet", "I2_S", true);
        file.tensor(QUERY, &[HIDDEN, HIDDEN], id, encode::by_id(id, &weights));
        assert_eq!(query(&file), weights);
        let model = loaded(&file, false);
        let reason = dense(&model.layers[0].query).not_ternary();
        let parts = [
            QUERY,
            name,
            "2 of 256 blocks",
            "--ternarize",
            "half-precision",
        ];
        assert!(parts.iter().all(|part| reason.contains(part)), "{reason}");
    }
}

#[test]
fn other_weights_are_rounded_only_when_asked() {
    let mut random = Random(31);
    let weights: Vec<f32> = (0..HIDDEN * HIDDEN).map(|_| random.uniform()).collect();
    let mut file = tiny("llama", "F16", true);
    file.tensor(QUERY, &[HIDDEN, HIDDEN], 0, encode::f32(&weights));
    assert_eq!(query(&file), weights);
    let model = loaded(&file, false);
    let reason = dense(&model.layers[0].query).not_ternary();
    assert!(
        reason.contains("F32") && reason.contains("--ternarize"),
        "{reason}"
    );

    let model = loaded(&file, true);
    let matrix = ternary(&model.layers[0].query);
    let count = u16::try_from(weights.len() / 256).unwrap();
    let mean = weights.iter().map(|w| f64::from(w.abs())).sum::<f64>() / (f64::from(count) * 256.0);
    assert!((f64::from(matrix.scale()) - mean).abs() < 1e-7);
    let mut row = vec![9; HIDDEN];
    for (at, weights) in weights.chunks(HIDDEN).enumerate() {
        matrix.read_row(at, &mut row);
        for (trit, weight) in row.iter().zip(weights) {
            let ratio = f64::from(*weight) / f64::from(matrix.scale());
            assert_eq!(f64::from(*trit), ratio.round_ties_even().clamp(-1.0, 1.0));
        }
    }
    // What is ternary as it is does not change.
    assert_eq!(ternary(&model.layers[0].key).scale(), SCALE);
}

#[test]
fn a_separate_scale_of_an_early_file_is_multiplied_in() {
    let mut file = tiny("bitnet", "F16", true);
    let expected: Vec<f32> = query(&file).iter().map(|w| w * 1.5).collect();
    file.tensor("blk.0.attn_q.scale", &[1], 0, encode::f32(&[1.5]));
    assert_eq!(query(&file), expected);

    let mut file = tiny("bitnet", "F16", false);
    let expected: Vec<f32> = query(&file).iter().map(|w| w * 1.5).collect();
    file.tensor("blk.0.attn_q.scale", &[1], 0, encode::f32(&[1.5]));
    assert_eq!(query(&file), expected);
}

#[test]
fn defaults_are_those_of_the_specification() {
    let mut file = GgufWriter::new();
    let sound = tiny("llama", "I2_S", true);
    for (key, value) in sound.entries() {
        let left_out = ["head_count_kv", "dimension_count", "freq_base"];
        if !left_out.iter().any(|part| key.ends_with(part)) {
            file.kv(key, value.clone());
        }
    }
    for (name, dims, type_id, data) in sound.tensors() {
        file.tensor(name, dims, *type_id, data.clone());
    }
    // As many key and value heads as query heads, so wider projections.
    for layer in 0..2 {
        for part in ["attn_k", "attn_v"] {
            let weights = vec![1.0; HIDDEN * HIDDEN];
            let data = encode::by_id(36, &weights);
            file.tensor(
                &format!("blk.{layer}.{part}.weight"),
                &[HIDDEN, HIDDEN],
                36,
                data,
            );
        }
    }
    let config = loaded(&file, false).config;
    assert_eq!(
        (config.kv_heads, config.heads),
        (2 * KV_HEADS, 2 * KV_HEADS)
    );
    assert_eq!((config.rope_base, config.rope_dims), (10_000.0, HEAD_DIM));
    assert_eq!(
        (config.rope_linear_factor, config.rope_pairing),
        (1.0, RopePairing::Adjacent)
    );
}

#[test]
fn rotary_settings_are_read() {
    let mut file = tiny("llama", "I2_S", true);
    file.kv("llama.rope.dimension_count", Kv::U32(32));
    file.kv("llama.rope.scaling.type", Kv::Str("linear".into()));
    file.kv("llama.rope.scaling.factor", Kv::F32(4.0));
    file.tensor("rope_freqs.weight", &[16], 0, encode::f32(&[2.0; 16]));
    let model = loaded(&file, false);
    assert_eq!(
        (model.config.rope_dims, model.config.rope_linear_factor),
        (32, 4.0)
    );
    assert_eq!(model.rope_factors, Some(vec![2.0; 16]));
    file.kv("llama.rope.scaling.type", Kv::Str("none".into()));
    assert_eq!(loaded(&file, false).config.rope_linear_factor, 1.0);
}

#[test]
fn qwen3_has_norms_of_heads_and_may_embed() {
    let mut file = tiny("qwen3", "I2_S", true);
    file.kv("qwen3.attention.key_length", size(HEAD_DIM));
    file.kv("qwen3.attention.value_length", size(HEAD_DIM));
    let model = loaded(&file, false);
    let config = &model.config;
    assert_eq!(config.architecture, Architecture::Qwen3);
    assert_eq!(config.rope_pairing, RopePairing::Halves);
    let heads = model.layers[1].head_norms.as_ref().unwrap();
    assert_eq!(
        (&heads.query, &heads.key),
        (&vec![1.25; HEAD_DIM], &vec![1.25; HEAD_DIM])
    );
    assert!(model.layers[1].input_norms.is_none() && model.pooling.is_none());
    for (number, pooling) in [
        (0, None),
        (1, Some(Pooling::Mean)),
        (3, Some(Pooling::Last)),
    ] {
        file.kv("qwen3.pooling_type", Kv::U32(number));
        assert_eq!(loaded(&file, false).pooling, pooling);
    }
}

/// Names and shapes as bitnet.cpp's `utils/convert-bitnet-embedding-to-gguf.py` writes them; norms in half precision.
#[test]
fn bitnet_embedding_models_are_qwen3_with_a_norm_before_each_projection() {
    let mut file = tiny("qwen3", "I2_S", true);
    let mut weight = 0.5;
    for layer in 0..2 {
        for (part, len) in [
            ("attn_q", HIDDEN),
            ("attn_k", HIDDEN),
            ("attn_v", HIDDEN),
            ("attn_output", HIDDEN),
            ("ffn_gate", HIDDEN),
            ("ffn_up", HIDDEN),
            ("ffn_down", FFN),
        ] {
            let name = format!("blk.{layer}.{part}_norm_in.weight");
            file.tensor(&name, &[len], 1, encode::f16(&vec![weight; len]));
            weight += 0.25;
        }
    }
    let model = loaded(&file, false);
    assert_eq!(model.config.architecture, Architecture::BitnetQwen3);
    let layer = &model.layers[1];
    let norms = layer.input_norms.as_ref().unwrap();
    let found = [
        &norms.query,
        &norms.key,
        &norms.value,
        layer.attention_sub_norm.as_ref().unwrap(),
        &norms.gate,
        &norms.up,
        layer.ffn_sub_norm.as_ref().unwrap(),
    ];
    for (at, (norm, first)) in found
        .iter()
        .zip([2.25, 2.5, 2.75, 3.0, 3.25, 3.5, 3.75])
        .enumerate()
    {
        assert_eq!(norm[0], first, "norm {at}");
    }
    assert_eq!(found[6].len(), FFN);
}

fn size(size: usize) -> Kv {
    Kv::U32(u32::try_from(size).unwrap())
}
