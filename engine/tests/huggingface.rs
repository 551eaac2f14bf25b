//! Folders as Hugging Face has them: the greedy tokens of transformers, and one network written in every way that is read.

mod folder;
mod support;
mod transformers_names;

use std::path::Path;
use std::sync::Arc;

use bitbench_engine::cpu::Cpu;
use bitbench_engine::kernels::{self, KernelVariant, VARIANTS};
use bitbench_engine::model::huggingface::Folder;
use bitbench_engine::model::{Architecture, LoadOptions, Model, formats, load};
use bitbench_engine::network::Network;
use bitbench_engine::session::Session;
use bitbench_engine::weights::LinearWeights;
use folder::{FolderFiles, Stored, fixture};
use safetensors::Dtype;
use serde_json::{Value, json};
use support::{GgufWriter, Tiny, tiny_model};
use transformers_names::transformers_name;

fn model(path: &Path) -> Model {
    load(path, LoadOptions::default()).unwrap_or_else(|error| panic!("{error}"))
}

fn written(files: &FolderFiles) -> Model {
    let folder = tempfile::tempdir().unwrap();
    files.write(folder.path());
    model(folder.path())
}

fn refused(files: &FolderFiles) -> String {
    let folder = tempfile::tempdir().unwrap();
    files.write(folder.path());
    match load(folder.path(), LoadOptions::default()) {
        Ok(_) => panic!("accepted"),
        Err(error) => error.to_string(),
    }
}

fn session(model: &Model, kernel: &'static KernelVariant) -> Session {
    let network = Network::pack(model, kernel, &Cpu::detect()).expect("it packs");
    Session::new(Arc::new(network), 2, 64).expect("a session")
}

fn logits(model: &Model, tokens: &[u32]) -> Vec<f32> {
    let ternary = matches!(model.layers[0].query, LinearWeights::Ternary(_));
    let name = if ternary { "i2s-scalar" } else { "f16-scalar" };
    let kernel = kernels::find(name).expect("a variant");
    session(model, kernel).run_all(tokens).expect("tokens")
}

fn expected(key: &str) -> Vec<u32> {
    let bytes = std::fs::read(fixture().join("expected.json")).expect("a fixture");
    let object: Value = serde_json::from_slice(&bytes).expect("JSON");
    let ids = object[key].as_array().expect("ids").iter();
    ids.map(|id| u32::try_from(id.as_u64().expect("an id")).expect("an id"))
        .collect()
}

/// |a - b| / |b|
fn distance(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let pairs = || a.iter().zip(b).map(|(a, b)| (f64::from(*a), f64::from(*b)));
    let difference: f64 = pairs().map(|(a, b)| (a - b).powi(2)).sum();
    let size: f64 = pairs().map(|(_, b)| b * b).sum();
    (difference / size).sqrt()
}

fn ternary_variants() -> impl Iterator<Item = &'static KernelVariant> {
    let cpu = Cpu::detect();
    let all = VARIANTS.iter().copied();
    all.filter(move |v| v.family.is_ternary() && cpu.require(v.requires).is_ok())
}

#[test]
fn the_greedy_continuation_is_that_of_transformers() {
    let model = model(&fixture());
    let (mut ids, theirs) = (expected("greedy_prompt"), expected("greedy"));
    for variant in ternary_variants() {
        ids.truncate(8);
        let mut session = session(&model, variant);
        let mut next = session.run_greedy(&ids).expect("tokens");
        while ids.len() < theirs.len() {
            ids.push(next);
            next = session.run_greedy(&[next]).expect("a token");
        }
        assert_eq!(ids, theirs, "{}", variant.name);
    }
}

/// The scale of a packed tensor, out of the files.
fn take_scale(files: &mut FolderFiles, packed: &str) -> f32 {
    let scale = files.tensors.remove(&format!("{packed}_scale"));
    scale.expect("a scale").numbers()[0]
}

/// Master weights whose mean magnitude is the scale: all of one size but the first that is not 0, which makes up for what
/// rounding that size took.
#[expect(clippy::cast_possible_truncation, reason = "nearest f32 is meant")]
fn masters(trits: &[f32], scale: f32) -> Vec<f32> {
    let all = trits.len() as f64;
    let nonzero: f64 = trits.iter().map(|t| f64::from(t.abs())).sum();
    let size = (f64::from(scale) * all / nonzero) as f32;
    let mut weights: Vec<f32> = trits.iter().map(|trit| trit * size).collect();
    let rest = f64::from(scale) * all - f64::from(size) * (nonzero - 1.0);
    let first = weights.iter_mut().find(|w| **w != 0.0).expect("a weight");
    *first = (rest as f32).copysign(*first);
    weights
}

fn online(mut files: FolderFiles) -> FolderFiles {
    files.config["quantization_config"]["quantization_mode"] = json!("online");
    for name in files.packed() {
        let scale = take_scale(&mut files, &name);
        let tensor = &files.tensors[&name];
        let shape = [4 * tensor.shape[0], tensor.shape[1]];
        let weights = masters(&tensor.unpacked(), scale);
        files.tensors.insert(name, Stored::f32(&shape, &weights));
    }
    files
}

#[test]
fn one_network_in_every_form_gives_equal_logits() {
    let files = FolderFiles::read(&fixture());
    let tokens = expected("tokens");
    let ours = logits(&model(&fixture()), &tokens);
    let same = |case: &str, files: &FolderFiles| {
        assert!(logits(&written(files), &tokens) == ours, "{case}");
    };
    same("written again", &files);
    same("masters, rounded at load", &online(files.clone()));

    let mut divided = files.clone();
    divided.config["quantization_config"]["linear_class"] = json!("bitlinear");
    let mut unpacked = files.clone();
    for name in files.packed() {
        let scale = take_scale(&mut divided, &name);
        // The number whose inverse, rounded, is the scale.
        let near = scale.recip();
        let inverse = [near, near.next_up(), near.next_down()]
            .into_iter()
            .find(|number| number.recip() == scale)
            .expect("an inverse");
        let inverse = Stored::f32(&[1], &[inverse]);
        divided.tensors.insert(format!("{name}_scale"), inverse);
        let tensor = &files.tensors[&name];
        let shape = [4 * tensor.shape[0], tensor.shape[1]];
        let weights = Stored::f32(&shape, &tensor.unpacked());
        unpacked.tensors.insert(name, weights);
    }
    same("scales that divide", &divided);
    same("weights that are not packed", &unpacked);

    let mut older = files.clone();
    older.set("rope_parameters", Value::Null);
    older.set("rope_theta", json!(500_000.0));
    older.set("rope_scaling", json!({"type": "linear", "factor": 1}));
    older.set("architectures", Value::Null);
    let buffer = Stored::f32(&[16], &[0.5; 16]);
    let name = "model.layers.0.self_attn.rotary_emb.inv_freq";
    older.tensors.insert(name.into(), buffer);
    same("keys and buffers of earlier versions", &older);

    let mut copied = files.clone();
    let embedding = files.tensors["model.embed_tokens.weight"].clone();
    copied.tensors.insert("lm_head.weight".into(), embedding);
    same("a head that is the tied embedding", &copied);
    copied.set("tie_word_embeddings", json!(false));
    same("a head that equals the embedding", &copied);

    for count in [1, 2, 5] {
        let folder = tempfile::tempdir().unwrap();
        files.write_sharded(folder.path(), count);
        let sharded = logits(&model(folder.path()), &tokens);
        assert!(sharded == ours, "{count} shards");
        let paths = Folder::open(folder.path()).unwrap().files();
        assert_eq!(paths.len(), count + 2, "{paths:?}");
    }
}

#[test]
fn the_1bitllm_code_rounds_masters_without_being_told() {
    let mut theirs = online(FolderFiles::read(&fixture()));
    theirs.set("hidden_act", json!("silu"));
    let expected_logits = logits(&written(&theirs), &expected("tokens"));
    theirs.rename("attn_sub_norm", "inner_attn_ln");
    theirs.rename("ffn_sub_norm", "ffn_layernorm");
    theirs.set("architectures", json!(["BitnetForCausalLM"]));
    theirs.set("model_type", json!("llama"));
    theirs.set("input_bits", json!(8));
    theirs.set("weight_bits", json!(1));
    assert!(refused(&theirs).contains("quantization_config"));
    theirs.set("quantization_config", Value::Null);
    let model = written(&theirs);
    assert_eq!(model.config.architecture, Architecture::Bitnet);
    assert!(logits(&model, &expected("tokens")) == expected_logits);
    theirs.set("input_bits", json!(4));
    assert!(refused(&theirs).contains("input_bits"));
}

#[test]
fn bitnet_without_quantization_is_computed_as_stored() {
    let mut files = online(FolderFiles::read(&fixture()));
    files.set("quantization_config", Value::Null);
    let model = written(&files);
    let LinearWeights::Dense(query) = &model.layers[0].query else {
        panic!("masters are not ternary");
    };
    assert!(query.not_ternary().contains("--ternarize"));
    let name = "model.layers.0.self_attn.q_proj.weight";
    let mut row = vec![0.0; 256];
    query.read_row(3, &mut row);
    assert_eq!(row, files.tensors[name].numbers()[3 * 256..4 * 256]);
}

/// A Llama in GGUF, whose query and key rows go by adjacent pairs, and the same as a folder, where they go by halves.
#[test]
fn llama_folders_are_the_files_of_llama_cpp() {
    let gguf = tiny_model(&Tiny {
        architecture: "llama",
        linear: formats::by_id(1).unwrap(),
        ternary: false,
        head: true,
    });
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("llama.gguf");
    gguf.write(&path);
    let files = llama_folder(&gguf);
    let folder = written(&files);
    assert_eq!(folder.config.architecture, Architecture::Llama);
    let tokens: Vec<u32> = (1..40).collect();
    let theirs = logits(&model(&path), &tokens);
    let off = distance(&logits(&folder, &tokens), &theirs);
    assert!(off < 1e-5, "{off:.2e}");

    let mut packed = files.clone();
    packed.set("quantization_config", json!({"quant_method": "bitnet"}));
    assert!(refused(&packed).contains("weight_scale"));
    let plain = json!([
        "self_attn",
        "mlp.gate_proj",
        "up_proj",
        "model.layers.0.mlp",
        "model.layers.1",
        "lm_head"
    ]);
    packed.config["quantization_config"]["modules_to_not_convert"] = plain;
    // Every name ends or begins with one of these, but for the attention, of which the list names no end.
    assert!(refused(&packed).contains("layers.0.self_attn.q_proj"));
    packed.config["quantization_config"]["modules_to_not_convert"] = json!(["model", "lm_head"]);
    let off = distance(&logits(&written(&packed), &tokens), &theirs);
    assert!(off < 1e-5, "{off:.2e}");
    packed.config["quantization_config"]["modules_to_not_convert"] = json!(["model"]);
    assert!(refused(&packed).contains("lm_head"));
}

fn llama_folder(gguf: &GgufWriter) -> FolderFiles {
    let mut tensors = std::collections::BTreeMap::new();
    for (name, dims, type_id, data) in gguf.tensors() {
        let shape: Vec<usize> = dims.iter().rev().copied().collect();
        let dtype = if *type_id == 0 {
            Dtype::F32
        } else {
            Dtype::F16
        };
        let is_rotated = name.contains("attn_q") || name.contains("attn_k");
        let data = if is_rotated {
            by_halves(data, shape[1] * 2)
        } else {
            data.clone()
        };
        let name = transformers_name(name);
        tensors.insert(name, Stored { dtype, shape, data });
    }
    let config = json!({
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": support::VOCAB,
        "hidden_size": support::HIDDEN,
        "intermediate_size": support::FFN,
        "num_hidden_layers": support::LAYERS,
        "num_attention_heads": support::HEADS,
        "num_key_value_heads": support::KV_HEADS,
        "head_dim": support::HEAD_DIM,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "max_position_embeddings": 128,
        "attention_bias": false,
        "rope_interleaved": false,
        "torch_dtype": "float16",
        "pretraining_tp": 1,
        "transformers.js_config": {"kv_cache_dtype": "float16"},
    });
    FolderFiles { config, tensors }
}

/// Rows of pairs (2i, 2i + 1) of a head, in the order of pairs (i, i + half).
fn by_halves(data: &[u8], row_bytes: usize) -> Vec<u8> {
    let rows: Vec<&[u8]> = data.chunks(row_bytes).collect();
    let heads = rows.chunks(support::HEAD_DIM);
    let ordered = heads.flat_map(|head| {
        let firsts = head.iter().step_by(2);
        firsts.chain(head.iter().skip(1).step_by(2))
    });
    ordered.flat_map(|row| row.iter().copied()).collect()
}

/// Divisors of Llama 3.1 (base 500000, heads of 128), computed by hand from the formula of its release.
#[test]
fn llama_3_frequencies_are_stretched() {
    let gguf = tiny_model(&Tiny {
        architecture: "llama",
        linear: formats::by_id(1).unwrap(),
        ternary: false,
        head: true,
    });
    let mut files = llama_folder(&gguf);
    for key in ["rope_scaling", "rope_parameters"] {
        files.set("rope_scaling", Value::Null);
        files.set("rope_theta", json!(500_000.0));
        files.set("num_attention_heads", json!(2));
        files.set("num_key_value_heads", json!(1));
        files.set("head_dim", json!(128));
        let scaling = json!({
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
            "rope_type": "llama3",
        });
        files.set(key, scaling);
        let factors = written(&files).rope_factors.expect("factors");
        assert_eq!(factors.len(), 64);
        assert!(factors[..29].iter().all(|factor| *factor == 1.0));
        assert!(factors[35..].iter().all(|factor| *factor == 8.0));
        for (found, expected) in factors[29..35].iter().zip([
            1.207_484, 1.553_415, 2.026_313, 2.694_53, 3.684_253, 5.257_327,
        ]) {
            let off: f32 = found / expected - 1.0;
            assert!(off.abs() < 1e-6, "{found} for {expected}");
        }
    }
}

#[test]
fn what_would_change_the_network_is_refused() {
    let files = FolderFiles::read(&fixture());
    for (key, value) in [
        ("attention_bias", json!(true)),
        ("mlp_bias", json!(true)),
        ("sliding_window", json!(4096)),
        ("rope_interleaved", json!(true)),
        ("num_experts", json!(8)),
        ("is_encoder_decoder", json!(true)),
        ("attn_logit_softcapping", json!(50.0)),
        ("hidden_act", json!("gelu")),
        ("model_type", json!("mamba")),
        ("architectures", json!(["LlamaForCausalLM"])),
        ("architectures", json!(["BitNetForSequenceClassification"])),
        (
            "layer_types",
            json!(["full_attention", "sliding_attention"]),
        ),
        ("partial_rotary_factor", json!(0.5)),
        ("rope_scaling", json!({"type": "linear", "factor": 2})),
        ("rope_parameters", json!({"rope_type": "yarn", "factor": 2})),
        (
            "rope_parameters",
            json!({"rope_type": "llama3", "factor": 2}),
        ),
        (
            "rope_parameters",
            json!({"rope_type": "default", "beta": 2}),
        ),
        ("quantization_config", json!({"quant_method": "gptq"})),
        (
            "quantization_config",
            json!({"quant_method": "bitnet", "use_rms_norm": true}),
        ),
        (
            "quantization_config",
            json!({"quant_method": "bitnet", "linear_class": "other"}),
        ),
        (
            "quantization_config",
            json!({"quant_method": "bitnet", "modules_to_not_convert": ["layers.*"]}),
        ),
        ("vocab_size", json!(321)),
        ("hidden_size", json!(512)),
        ("intermediate_size", json!(639)),
        ("num_hidden_layers", json!(2)),
        ("num_hidden_layers", json!(4)),
        ("num_hidden_layers", json!(4_000_000_000u32)),
        ("num_attention_heads", json!(7)),
        ("num_attention_heads", json!(0)),
        ("num_key_value_heads", json!(3)),
        ("num_key_value_heads", json!("2")),
        ("head_dim", json!(31)),
        ("head_dim", json!(u64::MAX)),
        ("rms_norm_eps", json!(-1)),
        ("rms_norm_eps", Value::Null),
        ("max_position_embeddings", json!(1u64 << 40)),
        ("tie_word_embeddings", json!(false)),
        ("tie_word_embeddings", json!(1)),
    ] {
        let mut files = files.clone();
        files.set(key, value.clone());
        let text = refused(&files);
        println!("{key} = {value}: {text}");
    }
    let ones = Stored::f32(&[256], &[1.0; 256]);
    let mut more = files.clone();
    let name = "model.layers.0.self_attn.q_proj.bias";
    more.tensors.insert(name.into(), ones.clone());
    assert!(refused(&more).contains(name));
    let mut head = files.clone();
    let other = Stored::f32(&[320, 256], &vec![0.5; 320 * 256]);
    head.tensors.insert("lm_head.weight".into(), other);
    assert!(refused(&head).contains("tie_word_embeddings"));
    for (name, tensor) in [
        ("model.norm.weight", Stored::f32(&[256], &[f32::NAN; 256])),
        ("model.norm.weight", Stored::f32(&[1, 256], &[1.0; 256])),
        ("model.layers.0.mlp.up_proj.weight", ones.clone()),
        ("model.layers.0.mlp.up_proj.weight_scale", ones),
        (
            "model.layers.0.mlp.up_proj.weight_scale",
            Stored::f32(&[1], &[f32::INFINITY]),
        ),
    ] {
        let mut files = files.clone();
        files.tensors.insert(name.into(), tensor);
        let text = refused(&files);
        assert!(text.contains(name), "{name}: {text}");
        files.tensors.remove(name);
        let text = refused(&files);
        assert!(text.contains(name), "{name}: {text}");
    }
    let mut invalid = files;
    let tensor = invalid.tensors.get_mut("model.layers.1.mlp.up_proj.weight");
    tensor.unwrap().data[700] |= 0x0c;
    assert!(refused(&invalid).contains("code 3"));
}
