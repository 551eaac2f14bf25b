//! Files that the engine writes: the bytes of other tools, the weights they were made from, and nothing where it fails.

mod support;

use bitbench_engine::cpu::Cpu;
use bitbench_engine::kernels::{self, Family};
use bitbench_engine::model::formats::{self, Encode, FORMATS, TensorFormat};
use bitbench_engine::model::gguf::{Gguf, GgufFile, WriteError};
use bitbench_engine::model::huggingface::Folder;
use bitbench_engine::model::{Architecture, Config, LoadOptions, Model, RopePairing, load};
use bitbench_engine::network::Network;
use bitbench_engine::session::Session;
use bitbench_engine::weights::{DenseMatrix, LinearWeights};
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use support::{Kv, Random, Tiny, encode, tiny_model};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

fn format(name: &str) -> &'static TensorFormat {
    formats::writable(name).unwrap_or_else(|| panic!("{name} can be written"))
}

/// The formats that can be written.
fn writable() -> impl Iterator<Item = &'static TensorFormat> {
    FORMATS.iter().copied().filter(|f| f.encode.is_some())
}

fn config(architecture: Architecture) -> Config {
    Config {
        architecture,
        vocab: 70,
        hidden: 256,
        ffn: 512,
        layers: 2,
        heads: 4,
        kv_heads: 2,
        head_dim: 64,
        rms_epsilon: 1e-5,
        rope_base: 10_000.0,
        rope_dims: 64,
        rope_pairing: match architecture {
            Architecture::Llama => RopePairing::Adjacent,
            _ => RopePairing::Halves,
        },
        rope_linear_factor: 1.0,
        context_length: 128,
    }
}

fn logits(model: &Model, family: Family) -> Vec<f32> {
    let cpu = Cpu::detect();
    let network = Network::pack(model, kernels::best(family, &cpu), &cpu).unwrap();
    let mut session = Session::new(Arc::new(network), 2, 16).unwrap();
    session.run_all(&[3, 1, 4, 1, 5, 9, 2, 6]).unwrap()
}

fn write(file: &GgufFile<'_>, path: &Path) -> bitbench_engine::model::gguf::Written {
    file.write(path, false, &|| true)
        .unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn a_synthetic_model_has_the_same_logits_after_it_was_a_file() {
    let folder = tempfile::tempdir().unwrap();
    for (architecture, tied) in [
        (Architecture::Bitnet, true),
        (Architecture::BitnetB158, true),
        (Architecture::Llama, false),
        (Architecture::Qwen3, true),
        (Architecture::BitnetQwen3, true),
    ] {
        let model = Model::synthetic(&config(architecture), tied, 11);
        let expected = [Family::I2s, Family::F16].map(|family| logits(&model, family));
        for format in writable() {
            let path = folder
                .path()
                .join(format!("{architecture:?}-{}", format.name));
            let written = write(&model.to_gguf("a test", format).unwrap(), &path);
            assert_eq!(written.scale_rounding, 0.0, "{}", format.name);
            assert_eq!(written.file_bytes, path.metadata().unwrap().len());
            let loaded = load(&path, LoadOptions::default()).unwrap();
            assert_eq!(loaded.config, model.config);
            for (family, expected) in [Family::I2s, Family::F16].into_iter().zip(&expected) {
                let found = logits(&loaded, family);
                assert!(
                    found == *expected,
                    "{architecture:?} {} {family:?}",
                    format.name
                );
            }
            let gguf = Gguf::open(&path).unwrap();
            assert_eq!((gguf.version(), gguf.tensors().len()), (3, written.tensors));
        }
    }
}

#[test]
fn a_folder_has_the_same_logits_as_a_file() {
    let place = tempfile::tempdir().unwrap();
    let folder = Folder::open(fixture("hf-tiny-offline")).unwrap();
    let model = Model::from_folder(&folder, LoadOptions::default()).unwrap();
    let path = place.path().join("file.gguf");
    for format in ["I2_S", "F32"].map(format) {
        let file = model.to_gguf("a test", format).unwrap();
        file.write(&path, true, &|| true).unwrap();
        let loaded = load(&path, LoadOptions::default()).unwrap();
        assert_eq!(loaded.config, model.config);
        for family in [Family::I2s, Family::F16] {
            assert!(
                logits(&loaded, family) == logits(&model, family),
                "{}",
                format.name
            );
        }
    }
}

#[test]
fn what_files_have_no_name_for_is_not_written() {
    let model = Model::synthetic(&config(Architecture::BinaryBitnet), true, 11);
    let error = model.to_gguf("a test", format("F16")).err();
    assert!(
        matches!(error, Some(WriteError::NoName { .. })),
        "{error:?}"
    );
}

/// All bytes of a tensor but what its format leaves open: bitnet.cpp does not clear what follows the scale of I2_S.
fn said(gguf: &Gguf, name: &str) -> Vec<u8> {
    let tensor = gguf.tensor(name).unwrap();
    let open = tensor.format().trailer_bytes.saturating_sub(4);
    let data = tensor.data();
    data[..data.len() - open].to_vec()
}

#[test]
fn the_files_of_other_tools_come_out_again() {
    let folder = tempfile::tempdir().unwrap();
    let names = ["F16", "TQ2_0", "I2_S"];
    for from in names {
        let source = Gguf::open(fixture(&format!("tiny-{from}.gguf"))).unwrap();
        let model = Model::from_gguf(&source, LoadOptions::default()).unwrap();
        for to in names {
            let path = folder.path().join(format!("{from}-{to}.gguf"));
            let written = write(&model.convert(&source, format(to)).unwrap(), &path);
            assert_eq!(
                written.scale_rounding, 0.0,
                "their scales are exact in any format"
            );
            let ours = Gguf::open(&path).unwrap();
            let theirs = Gguf::open(fixture(&format!("tiny-{to}.gguf"))).unwrap();
            assert_eq!(ours.tensors().len(), theirs.tensors().len());
            for tensor in theirs.tensors() {
                let name = tensor.name();
                assert_eq!(ours.tensor(name).unwrap().dims(), tensor.dims());
                assert!(
                    said(&ours, name) == said(&theirs, name),
                    "{from} to {to}: {name}"
                );
            }
            // Their tools number the file types alike, and say the same of the network.
            for (key, value) in theirs.metadata() {
                let same = ours.get(key).unwrap();
                assert_eq!(format!("{same:?}"), format!("{value:?}"), "{key}");
            }
        }
    }
}

/// Encoded by the Python package `gguf` 0.17 of llama.cpp: weight i is `((i * i + 3 * i) % 7) % 3 - 1` times 0.375.
#[test]
fn blocks_are_those_of_the_python_package() {
    let trits: Vec<i8> = (0..256i32)
        .map(|i| i8::try_from((i * i + 3 * i) % 7 % 3 - 1).unwrap())
        .collect();
    for (name, bytes) in [
        (
            "TQ1_0",
            "1096435b32c1c91096435b32c1c91096435b32c1c91096435b32c1c91096435bd70885188f48add70885188f48add7084\
             35930c10036",
        ),
        (
            "TQ2_0",
            "9089184124620690891841246206908918412462069089184124620690891841184124620690891841246206908918412\
             46206908918412462069089184124620036",
        ),
    ] {
        let format = format(name);
        let Some(Encode::Ternary { blocks, .. }) = format.encode.as_ref().map(|e| &e.encode) else {
            panic!("{name} is ternary");
        };
        let mut found = vec![0xee; format.block_bytes];
        blocks(&trits, 0.375, &mut found);
        let found: String = found.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(found, bytes, "{name}");
    }
    let numbers = [
        0.1,
        -1.0 / 3.0,
        65504.0,
        1e-5,
        3e38,
        -0.0,
        1.003_906_2,
        1.011_718_8,
    ];
    let found = encode::by_id(30, &numbers);
    let found: String = found.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(found, "cd3dabbe80472837627f0080803f823f");
}

#[test]
fn a_separate_scale_is_multiplied_in_and_metadata_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (early, path) = (
        folder.path().join("early.gguf"),
        folder.path().join("new.gguf"),
    );
    let mut file = tiny_model(&Tiny {
        architecture: "bitnet",
        linear: format("F16"),
        ternary: true,
        head: false,
    });
    file.tensor("blk.1.ffn_up.scale", &[1], 0, encode::f32(&[0.5]));
    file.kv(
        "tokenizer.ggml.tokens",
        Kv::Strs(vec!["a".into(), String::new()]),
    );
    file.kv("tests.floats", Kv::F32s(vec![0.5, -1.0]));
    file.set_alignment(64);
    file.write(&early);
    let source = Gguf::open(&early).unwrap();
    let model = Model::from_gguf(&source, LoadOptions::default()).unwrap();
    write(&model.convert(&source, format("I2_S")).unwrap(), &path);
    let new = Gguf::open(&path).unwrap();
    assert!(new.tensor("blk.1.ffn_up.scale").is_none());
    assert!(new.get("general.alignment").is_none());
    assert_eq!(
        new.get("bitnet.block_count"),
        source.get("bitnet.block_count")
    );
    let floats = new.get("tests.floats").unwrap().as_array().unwrap();
    let floats: Vec<_> = floats.numbers().unwrap().map(|v| v.as_f32()).collect();
    assert_eq!(floats, [Some(0.5), Some(-1.0)]);
    let tokens = new
        .get("tokenizer.ggml.tokens")
        .unwrap()
        .as_array()
        .unwrap();
    assert_eq!(
        tokens.strings().unwrap().collect::<Vec<_>>(),
        [&b"a"[..], b""]
    );
    let loaded = load(&path, LoadOptions::default()).unwrap();
    assert!(logits(&loaded, Family::I2s) == logits(&model, Family::I2s));
}

/// Hugging Face checkpoints turn dimensions (i, i + 32) of a head of 64 together, `llama` files (2i, 2i + 1).
#[test]
fn query_and_key_rows_are_brought_into_the_order_of_llama_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("llama.gguf");
    let halves = Config {
        rope_pairing: RopePairing::Halves,
        rope_dims: 48,
        ..config(Architecture::Llama)
    };
    let model = Model::synthetic(&halves, true, 5);
    write(&model.to_gguf("a test", format("I2_S")).unwrap(), &path);
    let loaded = load(&path, LoadOptions::default()).unwrap();
    let row = |model: &Model, at: usize| {
        let LinearWeights::Ternary(key) = &model.layers[1].key else {
            panic!("ternary");
        };
        let mut row = vec![9; key.cols()];
        key.read_row(at, &mut row);
        row
    };
    for (there, here) in [
        (0, 0),
        (1, 24),
        (2, 1),
        (47, 47),
        (48, 48),
        (63, 63),
        (64, 64),
        (65, 88),
    ] {
        assert_eq!(row(&loaded, there), row(&model, here), "row {there}");
    }
    // The same network, but for the order in which a head's products are added.
    let (ours, theirs) = (logits(&model, Family::F16), logits(&loaded, Family::F16));
    let largest = ours
        .iter()
        .zip(&theirs)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max);
    assert!(largest < 2e-4, "{largest}");
}

#[test]
fn what_a_format_cannot_hold_is_refused_by_name() {
    let mut file = GgufFile::new();
    let mut refused = |rows: Vec<Vec<f32>>, name: &str, words: &[&str]| {
        let (count, cols) = (rows.len(), rows[0].len());
        let weights = DenseMatrix::new(count, cols, Arc::new(rows), "made so");
        let weights = LinearWeights::Dense(weights);
        let error = match file.matrix("here", &weights, format(name)) {
            Ok(()) => {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("file");
                let error = std::mem::take(&mut file).write(&path, false, &|| true);
                assert!(folder.path().read_dir().unwrap().next().is_none());
                error.map(|_| ())
            }
            error => error,
        };
        let error = error.unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    };
    refused(
        vec![vec![0.5; 256]],
        "TQ2_0",
        &["here", "TQ2_0", "not ternary", "made so"],
    );
    refused(
        vec![vec![0.5; 128]],
        "TQ1_0",
        &["here", "128 columns", "256"],
    );
    refused(
        vec![vec![1.0, 70000.0]],
        "F16",
        &["here", "row 0", "70000", "65504"],
    );
    refused(
        vec![vec![1.0], vec![f32::NAN]],
        "BF16",
        &["here", "row 1", "NaN"],
    );
    for scale in [1e-6, 1e6] {
        let mut model = Model::synthetic(&config(Architecture::Bitnet), true, 1);
        let LinearWeights::Ternary(matrix) = &model.layers[0].up else {
            panic!("ternary");
        };
        model.layers[0].up = LinearWeights::Ternary(bitbench_engine::weights::TernaryMatrix::new(
            matrix.rows(),
            matrix.cols(),
            scale,
            Arc::new(vec![vec![1i8; 256]; 512]),
        ));
        for name in ["F16", "TQ1_0", "TQ2_0"] {
            let error = model.to_gguf("", format(name)).unwrap_err().to_string();
            assert!(
                error.contains("blk.0.ffn_up.weight") && error.contains(name),
                "{error}"
            );
        }
        assert!(model.to_gguf("", format("I2_S")).is_ok());
    }
}

#[test]
fn a_file_is_whole_or_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.gguf");
    let entries = || folder.path().read_dir().unwrap().count();
    let model = Model::synthetic(&config(Architecture::Bitnet), true, 1);
    let file = model.to_gguf("", format("F32")).unwrap();

    let asked = Cell::new(0);
    let stop = || {
        asked.set(asked.get() + 1);
        asked.get() < 4
    };
    let error = file.write(&path, false, &stop).unwrap_err();
    assert!(
        matches!(error, WriteError::Stopped { .. }) && entries() == 0,
        "{error}"
    );

    write(&file, &path);
    let error = file.write(&path, false, &|| true).unwrap_err();
    assert!(
        matches!(error, WriteError::Exists { .. }) && entries() == 1,
        "{error}"
    );
    std::fs::write(&path, "old").unwrap();
    file.write(&path, true, &|| true).unwrap();
    assert!(load(&path, LoadOptions::default()).is_ok() && entries() == 1);

    for (name, target) in [("folder", None), ("link", Some("/dev/null"))] {
        let there = folder.path().join(name);
        match target {
            None => std::fs::create_dir(&there).unwrap(),
            Some(target) => std::os::unix::fs::symlink(target, &there).unwrap(),
        }
        let error = file.write(&there, true, &|| true).unwrap_err();
        assert!(matches!(error, WriteError::NotAFile { .. }), "{error}");
    }
    let nowhere = folder.path().join("no/such/folder.gguf");
    let error = file
        .write(&nowhere, true, &|| true)
        .unwrap_err()
        .to_string();
    assert!(error.contains("no/such"), "{error}");
}

#[test]
fn all_that_a_format_holds_comes_back() {
    let mut random = Random(41);
    for format in writable() {
        let count = 3 * format.block_elements;
        let weights: Vec<f32> = (0..count)
            .map(|_| 0.75 * f32::from(random.trit()))
            .collect();
        let bytes = encode::by_id(format.gguf_type, &weights);
        let (blocks, trailer) = bytes.split_at(bytes.len() - format.trailer_bytes);
        let mut decoded = vec![f32::NAN; count];
        (format.decode)(blocks, trailer, &mut decoded);
        assert_eq!(decoded, weights, "{}", format.name);
        if let Some(Encode::Numbers { blocks, largest }) = format.encode.as_ref().map(|e| &e.encode)
        {
            for number in [*largest, -largest, 1.0, 0.0] {
                let (mut bytes, mut back) = (vec![0; format.block_bytes], [f32::NAN]);
                blocks(&[number], &mut bytes);
                (format.decode)(&bytes, &[], &mut back);
                assert_eq!(back[0], number, "{}", format.name);
            }
        }
    }
}
