//! Qwen3 folders: the network of a GGUF file, written as transformers would have it, gives its bits.

mod folder;
mod support;
mod transformers_names;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bitbench_engine::cpu::Cpu;
use bitbench_engine::kernels::{self, Family};
use bitbench_engine::model::gguf::Gguf;
use bitbench_engine::model::huggingface::Folder;
use bitbench_engine::model::{Architecture, LoadOptions, Model, Pooling, formats, load};
use bitbench_engine::network::Network;
use bitbench_engine::session::Session;
use bitbench_engine::weights::LinearWeights;
use folder::{FolderFiles, Stored};
use safetensors::Dtype;
use serde_json::{Value, json};
use support::{Tiny, tiny_model};
use transformers_names::transformers_name;

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-qwen3-F16.gguf")
}

/// The folder of a file whose tensors are in single and half precision.
fn folder_of(path: &Path) -> FolderFiles {
    let gguf = Gguf::open(path).unwrap();
    let model = Model::from_gguf(&gguf, LoadOptions::default()).unwrap();
    let tensors = gguf.tensors().map(|tensor| {
        let name = transformers_name(tensor.name());
        let dims = tensor.dims().iter().rev();
        let stored = Stored {
            dtype: match tensor.format().name {
                "F32" => Dtype::F32,
                "F16" => Dtype::F16,
                other => panic!("{name} is {other}"),
            },
            shape: dims.map(|dim| usize::try_from(*dim).unwrap()).collect(),
            data: tensor.data().to_vec(),
        };
        (name, stored)
    });
    let tensors = tensors.collect();
    let config = &model.config;
    // As a file of the release has it, with numbers of a window that nobody uses.
    let config = json!({
        "architectures": ["Qwen3ForCausalLM"],
        "attention_bias": false,
        "attention_dropout": 0.0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "head_dim": config.head_dim,
        "hidden_act": "silu",
        "hidden_size": config.hidden,
        "initializer_range": 0.02,
        "intermediate_size": config.ffn,
        "max_position_embeddings": config.context_length,
        "max_window_layers": 28,
        "model_type": "qwen3",
        "num_attention_heads": config.heads,
        "num_hidden_layers": config.layers,
        "num_key_value_heads": config.kv_heads,
        "rms_norm_eps": config.rms_epsilon,
        "rope_scaling": null,
        "rope_theta": config.rope_base,
        "sliding_window": null,
        "tie_word_embeddings": model.head.is_none(),
        "torch_dtype": "float16",
        "transformers_version": "4.51.0",
        "use_cache": true,
        "use_sliding_window": false,
        "vocab_size": config.vocab,
    });
    FolderFiles { config, tensors }
}

fn written(files: &FolderFiles) -> Model {
    let folder = tempfile::tempdir().unwrap();
    files.write(folder.path());
    load(folder.path(), LoadOptions::default()).unwrap_or_else(|error| panic!("{error}"))
}

fn refused(files: &FolderFiles) -> String {
    let folder = tempfile::tempdir().unwrap();
    files.write(folder.path());
    match load(folder.path(), LoadOptions::default()) {
        Ok(_) => panic!("accepted"),
        Err(error) => error.to_string(),
    }
}

fn tokens() -> Vec<u32> {
    (1..40).collect()
}

fn logits(model: &Model) -> Vec<f32> {
    let ternary = matches!(model.layers[0].query, LinearWeights::Ternary(_));
    let name = if ternary { "i2s-scalar" } else { "f16-scalar" };
    let kernel = kernels::find(name).expect("a variant");
    let network = Network::pack(model, kernel, &Cpu::detect()).expect("it packs");
    let mut session = Session::new(Arc::new(network), 2, 64).expect("a session");
    session.run_all(&tokens()).expect("tokens")
}

/// transformers computed in single precision throughout; here keys and values are half as wide, and that is all that differs
/// with kernels that keep half-precision weights exactly.
#[test]
fn the_folder_is_what_transformers_computes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/hf-tiny-qwen3");
    let bytes = fs::read(path.join("logits-transformers.f32")).unwrap();
    let theirs: Vec<f32> = bytes
        .as_chunks()
        .0
        .iter()
        .map(|b| f32::from_le_bytes(*b))
        .collect();
    let model = load(&path, LoadOptions::default()).unwrap();
    let tokens: Vec<u32> = (1..=48).collect();
    let cpu = Cpu::detect();
    let halves = kernels::VARIANTS.iter().filter(|v| v.family == Family::F16);
    for variant in halves.filter(|v| cpu.require(v.requires).is_ok()) {
        let network = Arc::new(Network::pack(&model, variant, &cpu).expect("it packs"));
        let mut session = Session::new(network, 2, 48).expect("a session");
        let ours = session.run_all(&tokens).expect("tokens");
        let off = distance(&ours, &theirs);
        println!("{:<12} {off:.2e} from transformers", variant.name);
        assert!(off < 1e-3, "{}: {off:.2e}", variant.name);
    }
}

/// |a - b| / |b|
fn distance(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let pairs = || a.iter().zip(b).map(|(a, b)| (f64::from(*a), f64::from(*b)));
    let difference: f64 = pairs().map(|(a, b)| (a - b).powi(2)).sum();
    let size: f64 = pairs().map(|(_, b)| b * b).sum();
    (difference / size).sqrt()
}

#[test]
fn folders_have_the_bits_of_files() {
    let place = tempfile::tempdir().unwrap();
    let mut paths = vec![fixture()];
    for (ternary, head) in [(false, true), (false, false), (true, true)] {
        let file = tiny_model(&Tiny {
            architecture: "qwen3",
            linear: formats::by_id(1).unwrap(),
            ternary,
            head,
        });
        let path = place.path().join(format!("{ternary}-{head}.gguf"));
        file.write(&path);
        paths.push(path);
    }
    for path in &paths {
        let case = path.display();
        let theirs = load(path, LoadOptions::default()).unwrap();
        let files = folder_of(path);
        let ours = written(&files);
        assert_eq!(ours.config, theirs.config, "{case}");
        assert_eq!(ours.config.architecture, Architecture::Qwen3);
        assert_eq!(ours.head.is_some(), theirs.head.is_some(), "{case}");
        let expected = logits(&theirs);
        assert!(logits(&ours) == expected, "{case}");
        // The norms of heads are felt.
        let mut other = files.clone();
        let norm = other
            .tensors
            .get_mut("model.layers.1.self_attn.k_norm.weight");
        norm.unwrap().data[3] ^= 1;
        assert!(logits(&written(&other)) != expected, "{case}");

        // And back again, through a file made from the folder.
        let again = place.path().join("again.gguf");
        let file = ours.to_gguf("again", formats::by_id(1).unwrap()).unwrap();
        file.write(&again, true, &|| true).unwrap();
        let again = load(&again, LoadOptions::default()).unwrap();
        assert!(logits(&again) == expected, "{case}");
    }
    let config = &load(&paths[0], LoadOptions::default()).unwrap().config;
    assert_ne!(config.heads * config.head_dim, config.hidden);
}

/// As the embedding models of the family are published: saved by the class without a head, with a word on pooling beside it.
#[test]
fn a_network_without_a_head_has_names_of_its_own() {
    let theirs = load(fixture(), LoadOptions::default()).unwrap();
    let mut files = folder_of(&fixture());
    files.rename("model.", "");
    // Tied: a folder may bear the name of either class.
    for class in ["Qwen3ForCausalLM", "Qwen3Model"] {
        files.set("architectures", json!([class]));
        let ours = written(&files);
        assert!(logits(&ours) == logits(&theirs), "{class}");
        assert!(ours.notes.is_empty());
    }
    files.set("tie_word_embeddings", json!(false));
    let ours = written(&files);
    assert!(logits(&ours) == logits(&theirs));
    assert!(ours.notes[0].contains("no head"), "{:?}", ours.notes);
    files.set("architectures", json!(["Qwen3ForCausalLM"]));
    assert!(refused(&files).contains("lm_head"));
    files.set("tie_word_embeddings", json!(true));

    let folder = tempfile::tempdir().unwrap();
    files.write(folder.path());
    fs::create_dir(folder.path().join("1_Pooling")).unwrap();
    let path = folder.path().join("1_Pooling/config.json");
    let pooled = |text: &str| {
        fs::write(&path, text).unwrap();
        let loaded = load(folder.path(), LoadOptions::default());
        loaded
            .map(|model| model.pooling)
            .map_err(|error| error.to_string())
    };
    let last = r#"{"word_embedding_dimension": 128, "pooling_mode_cls_token": false, "pooling_mode_mean_tokens": false,
        "pooling_mode_max_tokens": false, "pooling_mode_mean_sqrt_len_tokens": false,
        "pooling_mode_weightedmean_tokens": false, "pooling_mode_lasttoken": true, "include_prompt": true}"#;
    assert_eq!(pooled(last), Ok(Some(Pooling::Last)));
    assert_eq!(
        pooled(r#"{"pooling_mode_mean_tokens": true}"#),
        Ok(Some(Pooling::Mean))
    );
    let files = Folder::open(folder.path()).unwrap().files();
    assert!(files.contains(&path), "{files:?}");
    for (text, word) in [
        (r#"{"pooling_mode_cls_token": true}"#, "cls_token"),
        (&last.replace("_tokens\": false", "_tokens\": true"), "mean"),
        (r#"{"pooling_mode_lasttoken": false}"#, "lasttoken"),
        (r#"{"pooling_mode_lasttoken": 1}"#, "truth value"),
        ("[]", "1_Pooling"),
    ] {
        let refusal = pooled(text).unwrap_err();
        assert!(refusal.contains(word), "{text}: {refusal}");
    }
}

#[test]
fn what_a_folder_leaves_out_or_would_change_is_refused() {
    let files = folder_of(&fixture());
    // Without use_sliding_window, this says nothing.
    let mut window = files.clone();
    window.set("sliding_window", json!(4096));
    window.set("layer_types", json!(["full_attention", "full_attention"]));
    assert!(logits(&written(&window)) == logits(&written(&files)));
    for (key, value) in [
        ("use_sliding_window", json!(true)),
        (
            "layer_types",
            json!(["full_attention", "sliding_attention"]),
        ),
        ("head_dim", Value::Null),
        ("num_key_value_heads", Value::Null),
        ("head_dim", json!(32)),
        ("attention_bias", json!(true)),
        ("hidden_act", json!("relu2")),
        ("architectures", json!(["Qwen3MoeForCausalLM"])),
        ("architectures", json!(["Qwen3ForSequenceClassification"])),
        ("model_type", json!("qwen2")),
        ("num_experts", json!(4)),
    ] {
        let mut files = files.clone();
        files.set(key, value.clone());
        println!("{key} = {value}: {}", refused(&files));
    }
    for part in ["q_norm", "k_norm"] {
        let name = format!("model.layers.1.self_attn.{part}.weight");
        let mut files = files.clone();
        files
            .tensors
            .insert(name.clone(), Stored::f32(&[47], &[1.0; 47]));
        assert!(refused(&files).contains(&name));
        files.tensors.remove(&name);
        assert!(refused(&files).contains(&name));
    }
    // Other families have no use for them.
    let mut llama = files;
    llama.set("architectures", json!(["LlamaForCausalLM"]));
    llama.set("model_type", json!("llama"));
    llama.set("max_window_layers", Value::Null);
    assert!(refused(&llama).contains("_norm"));
}
