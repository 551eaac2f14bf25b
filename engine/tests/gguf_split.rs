//! Models in several files, and what is refused of them.

mod support;

use std::path::{Path, PathBuf};

use bitbench_engine::model::gguf::Gguf;
use bitbench_engine::model::{LoadError, LoadOptions, Model, formats, load};
use bitbench_engine::weights::LinearWeights;
use support::{GgufWriter, Kv, Tiny, encode, tiny_model};
use tempfile::TempDir;

fn tiny() -> GgufWriter {
    tiny_model(&Tiny {
        architecture: "bitnet",
        linear: formats::by_id(36).unwrap(),
        ternary: true,
        head: true,
    })
}

/// A folder with a model in `count` files.
fn folder(count: u16) -> (TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let write = |(name, file): (String, GgufWriter)| {
        let path = folder.path().join(name);
        file.write(&path);
        path
    };
    let paths = tiny().split("tiny", count).into_iter().map(write).collect();
    (folder, paths)
}

/// Every weight of the linear layers, and the norms.
fn weights(model: &Model) -> Vec<f32> {
    let mut all = model.final_norm.clone();
    for layer in &model.layers {
        for (_, weights) in layer.linear() {
            let LinearWeights::Ternary(matrix) = weights else {
                panic!("the weights are ternary");
            };
            let mut row = vec![0; matrix.cols()];
            for at in 0..matrix.rows() {
                matrix.read_row(at, &mut row);
                all.extend(row.iter().map(|trit| f32::from(*trit) * matrix.scale()));
            }
        }
    }
    all
}

fn refused(path: &Path) -> String {
    let error = Gguf::open(path).map(drop).unwrap_err().to_string();
    assert!(error.contains("tiny-0000"), "no file is named: {error}");
    error
}

#[test]
fn any_part_opens_the_whole_model() {
    let (_whole, path) = folder(1);
    let whole = load(&path[0], LoadOptions::default()).unwrap();
    for count in [2, 3, 7] {
        let (_folder, paths) = folder(count);
        for path in &paths {
            let gguf = Gguf::open(path).unwrap();
            assert_eq!(gguf.tensors().len(), tiny().tensors().len());
            assert!(gguf.paths().eq(&paths));
            assert_eq!(gguf.path(), paths[0]);
            let sizes = paths.iter().map(|path| path.metadata().unwrap().len());
            assert_eq!(gguf.file_bytes(), sizes.sum::<u64>());
            let names: Vec<&str> = gguf.tensors().map(|tensor| tensor.name()).collect();
            assert!(names.is_sorted());
            for name in names {
                assert_eq!(gguf.tensor(name).unwrap().name(), name);
            }
            let model = Model::from_gguf(&gguf, LoadOptions::default()).unwrap();
            assert_eq!(model.config, whole.config);
            assert_eq!(weights(&model), weights(&whole), "{}", path.display());
        }
    }
}

#[test]
fn the_parts_that_llama_cpp_makes_are_the_whole() {
    let fixture = |name: &str| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        Gguf::open(folder.join(name)).unwrap()
    };
    let whole = fixture("formats.gguf");
    for part in 1..=3 {
        let split = fixture(&format!("formats-0000{part}-of-00003.gguf"));
        assert_eq!(split.tensors().len(), whole.tensors().len());
        for (a, b) in split.tensors().zip(whole.tensors()) {
            assert_eq!((a.name(), a.dims()), (b.name(), b.dims()));
            assert!(a.format().name == b.format().name && a.data() == b.data());
        }
        assert_eq!(
            split.get("general.architecture"),
            whole.get("general.architecture")
        );
    }
}

#[test]
fn a_first_part_without_tensors_is_sound() {
    let folder = tempfile::tempdir().unwrap();
    let whole = tiny();
    let empty = GgufWriter::new().split("tiny", 2).remove(0);
    let (name, mut first) = empty;
    let all = u32::try_from(whole.tensors().len()).unwrap();
    for (key, value) in whole.entries() {
        first.kv(key, value.clone());
    }
    first.kv("split.tensors.count", Kv::U32(all));
    first.write(&folder.path().join(name));
    let mut second = whole;
    second.kv("split.no", Kv::U16(1));
    second.kv("split.count", Kv::U16(2));
    second.kv("split.tensors.count", Kv::U32(all));
    second.write(&folder.path().join("tiny-00002-of-00002.gguf"));
    let path = folder.path().join("tiny-00001-of-00002.gguf");
    assert_eq!(load(path, LoadOptions::default()).unwrap().layers.len(), 2);
}

#[test]
fn a_missing_part_is_named() {
    for missing in 0..3 {
        let (_folder, paths) = folder(3);
        std::fs::remove_file(&paths[missing]).unwrap();
        let error = Gguf::open(&paths[(missing + 1) % 3]).unwrap_err();
        assert!(matches!(error, LoadError::MissingShard { .. }), "{error}");
        let name = paths[missing].to_str().unwrap();
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn a_part_of_another_name_is_refused() {
    let (folder, paths) = folder(2);
    for name in [
        "tiny-00001.gguf",
        "tiny-00002-of-00003.gguf",
        "tiny-0000x.gguf",
    ] {
        let renamed = folder.path().join(name);
        std::fs::copy(&paths[1], &renamed).unwrap();
        let error = refused(&renamed);
        assert!(error.contains("-00002-of-00002.gguf"), "{error}");
    }
    // Both names lead to the same part.
    std::fs::copy(&paths[0], &paths[1]).unwrap();
    refused(&paths[0]);
}

#[test]
fn a_truncated_part_is_named() {
    let (_folder, paths) = folder(3);
    let bytes = std::fs::read(&paths[2]).unwrap();
    for len in [0, 3, 20, 100, bytes.len() - 1] {
        std::fs::write(&paths[2], &bytes[..len]).unwrap();
        let error = refused(&paths[0]);
        assert!(error.contains("tiny-00003-of-00003.gguf"), "{error}");
    }
}

#[test]
fn parts_that_contradict_each_other_are_refused() {
    let keys = [
        ("split.no", Kv::U16(0)),
        ("split.no", Kv::U16(2)),
        ("split.no", Kv::Str("1".into())),
        ("split.count", Kv::U16(3)),
        ("split.count", Kv::U16(0)),
        ("split.count", Kv::F32(2.0)),
        ("split.tensors.count", Kv::U32(1)),
        ("split.tensors.count", Kv::F32(1.0)),
    ];
    for (key, value) in keys {
        for part in 0..2 {
            let folder = tempfile::tempdir().unwrap();
            let mut parts = tiny().split("tiny", 2);
            // What the first part may say of itself.
            if (key, part) == ("split.no", 0) && matches!(value, Kv::U16(0)) {
                continue;
            }
            parts[part].1.kv(key, value.clone());
            for (name, file) in &parts {
                file.write(&folder.path().join(name));
            }
            // A count of 0 makes the first part a model of its own, which lacks tensors.
            let alone = part == 0 && matches!((key, &value), ("split.count", Kv::U16(0)));
            let path = folder.path().join("tiny-00001-of-00002.gguf");
            if alone {
                load(&path, LoadOptions::default()).map(drop).unwrap_err();
            } else {
                refused(&path);
            }
        }
    }
}

#[test]
fn a_tensor_in_two_parts_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut parts = tiny().split("tiny", 2);
    let extra = encode::f32(&[1.0; 4]);
    for (_, file) in &mut parts {
        file.tensor("twice", &[4], 0, extra.clone());
        let all = u32::try_from(tiny().tensors().len() + 2).unwrap();
        file.kv("split.tensors.count", Kv::U32(all));
    }
    for (name, file) in &parts {
        file.write(&folder.path().join(name));
    }
    let error = refused(&folder.path().join("tiny-00002-of-00002.gguf"));
    assert!(error.contains("twice"), "{error}");
}
