//! Folders made to break the loader: each must be refused, or loaded as a sound model, without a panic and without taking more
//! memory than a small multiple of the files.

mod folder;
mod hostile;
mod mutate;
mod read_all;
mod support;

use std::fs;
use std::path::Path;

use bitbench_engine::model::{LoadError, LoadOptions, load};
use folder::{FolderFiles, fixture};
use hostile::measured;
use mutate::mutated;
use read_all::read_all;
use serde_json::json;
use support::Random;

const WEIGHTS: &str = "model.safetensors";
const CONFIG: &str = "config.json";
const INDEX: &str = "model.safetensors.index.json";

/// Loads a folder, checks the memory that took, and reads all weights of what was accepted.
fn attempt(case: &str, folder: &Path) -> Result<(), LoadError> {
    let bytes: u64 = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    let (loaded, peak) = measured(|| load(folder, LoadOptions::default()));
    let bound = 4 * usize::try_from(bytes).unwrap() + (1 << 20);
    assert!(peak <= bound, "{case}: {peak} bytes held for {bytes}");
    match loaded {
        Ok(model) => {
            read_all(&model);
            Ok(())
        }
        Err(error) => {
            let text = error.to_string();
            let name = folder.to_str().unwrap();
            assert!(text.contains(name), "{case}: no folder is named: {text}");
            assert!(text.len() < 2000, "{case}: {} bytes said", text.len());
            Err(error)
        }
    }
}

fn refused(case: &str, folder: &Path) -> String {
    match attempt(case, folder) {
        Ok(()) => panic!("{case}: accepted"),
        Err(error) => error.to_string(),
    }
}

/// Writes one file of a sound folder a thousand times, with seeded damage; gives how many were accepted.
fn a_thousand(folder: &Path, file: &str, head: usize, seed: u64) -> usize {
    let path = folder.join(file);
    let sound = fs::read(&path).unwrap();
    attempt("sound", folder).unwrap_or_else(|error| panic!("{error}"));
    let mut random = Random(seed);
    let accepted = (0..1000).filter(|trial| {
        // Most damage in the head, where it says something.
        let within = if trial % 10 == 0 { sound.len() } else { head };
        fs::write(&path, mutated(&sound, within, &mut random)).unwrap();
        attempt(&format!("{file}, trial {trial}"), folder).is_ok()
    });
    let accepted = accepted.count();
    fs::write(&path, sound).unwrap();
    println!("{file}: {accepted} of 1000 accepted");
    accepted
}

#[test]
fn mutated_weights_never_panic() {
    let folder = tempfile::tempdir().unwrap();
    let files = FolderFiles::read(&fixture());
    files.write(folder.path());
    let bytes = fs::read(folder.path().join(WEIGHTS)).unwrap();
    let head = usize::try_from(u64::from_le_bytes(*bytes.first_chunk().unwrap())).unwrap();
    let accepted = a_thousand(folder.path(), WEIGHTS, 8 + head, 0x5eed);
    assert!(accepted < 500, "{accepted} were accepted");
}

#[test]
fn mutated_configurations_never_panic() {
    let folder = tempfile::tempdir().unwrap();
    let files = FolderFiles::read(&fixture());
    files.write(folder.path());
    let head = fs::read(folder.path().join(CONFIG)).unwrap().len();
    let accepted = a_thousand(folder.path(), CONFIG, head, 0xc0f);
    assert!(accepted < 500, "{accepted} were accepted");
}

#[test]
fn mutated_indices_never_panic() {
    let folder = tempfile::tempdir().unwrap();
    let files = FolderFiles::read(&fixture());
    files.write_sharded(folder.path(), 3);
    let head = fs::read(folder.path().join(INDEX)).unwrap().len();
    let accepted = a_thousand(folder.path(), INDEX, head, 0x1d);
    assert!(accepted < 500, "{accepted} were accepted");
}

#[test]
fn every_truncation_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    FolderFiles::read(&fixture()).write(folder.path());
    for file in [WEIGHTS, CONFIG] {
        let path = folder.path().join(file);
        let sound = fs::read(&path).unwrap();
        let lengths = (0..20).chain((20..sound.len()).step_by(sound.len() / 50));
        for len in lengths.chain([sound.len() - 1]) {
            fs::write(&path, &sound[..len]).unwrap();
            refused(&format!("{file} cut to {len}"), folder.path());
        }
        fs::write(&path, [&sound[..], b"x"].concat()).unwrap();
        refused("a byte more", folder.path());
        fs::write(&path, sound).unwrap();
    }
}

#[test]
fn absurd_heads_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let files = FolderFiles::read(&fixture());
    files.write(folder.path());
    let path = folder.path().join(WEIGHTS);
    let sound = fs::read(&path).unwrap();
    for len in [0, 1, 1 << 20, 1 << 31, 1 << 62, u64::MAX] {
        fs::write(&path, [&len.to_le_bytes()[..], &sound[8..]].concat()).unwrap();
        refused("length of the head", folder.path());
    }
    let head = |json: &str, data: usize| {
        let len = (json.len() as u64).to_le_bytes();
        fs::write(&path, [&len, json.as_bytes(), &vec![0; data]].concat()).unwrap();
    };
    let tensor = |shape: &str, offsets: &str| {
        format!(
            r#"{{"model.embed_tokens.weight":{{"dtype":"BF16","shape":{shape},"data_offsets":{offsets}}}}}"#
        )
    };
    for (shape, offsets) in [
        ("[320,256]", "[0,18446744073709551615]"),
        ("[320,256]", "[163840,0]"),
        ("[320,256]", "[1,163841]"),
        ("[320,256]", "[0,163839]"),
        ("[9223372036854775807,4]", "[0,8]"),
        ("[4294967296,4294967296]", "[0,0]"),
        ("[-1]", "[0,2]"),
        ("[0]", "[0,0]"),
    ] {
        head(&tensor(shape, offsets), 163_840);
        refused(&format!("{shape} at {offsets}"), folder.path());
    }
    let deep = "[".repeat(1 << 17);
    head(&deep, 0);
    refused("deep nesting", folder.path());
    fs::write(&path, sound).unwrap();
    fs::write(folder.path().join(CONFIG), &deep).unwrap();
    refused("deep nesting", folder.path());
}

#[test]
fn overlapping_tensors_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(WEIGHTS);
    FolderFiles::read(&fixture()).write(folder.path());
    let head = r#"{"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[8],"data_offsets":[4,12]}}"#;
    let len = (head.len() as u64).to_le_bytes();
    fs::write(path, [&len, head.as_bytes(), &[0; 12]].concat()).unwrap();
    assert!(refused("overlap", folder.path()).contains("not a sound safetensors file"));
}

#[test]
fn names_of_shards_do_not_leave_the_folder() {
    let outside = tempfile::tempdir().unwrap();
    let files = FolderFiles::read(&fixture());
    files.write(outside.path());
    let folder = outside.path().join("inner");
    fs::create_dir(&folder).unwrap();
    files.write_sharded(&folder, 1);
    let index = folder.join(INDEX);
    let sound = fs::read_to_string(&index).unwrap();
    let absolute = outside.path().join(WEIGHTS);
    for name in [
        "../model.safetensors",
        "./../model.safetensors",
        "..\\\\model.safetensors",
        absolute.to_str().unwrap(),
        "model.safetensors\\u0000.safetensors",
        ".safetensors",
        "",
        "config.json",
    ] {
        let text = sound.replace("model-00001-of-00001.safetensors", name);
        fs::write(&index, text).unwrap();
        let text = refused(name, &folder);
        assert!(text.contains("in the same folder"), "{name}: {text}");
    }
    fs::write(
        &index,
        sound.replace("model-00001-of-00001", "model-2-of-2"),
    )
    .unwrap();
    let text = refused("a missing shard", &folder);
    assert!(text.contains("model-2-of-2.safetensors"), "{text}");
    for other in [json!({}), json!({"weight_map": []}), json!([])] {
        fs::write(&index, other.to_string()).unwrap();
        refused("no map", &folder);
    }
}

#[test]
fn an_index_and_its_files_must_agree() {
    let folder = tempfile::tempdir().unwrap();
    let files = FolderFiles::read(&fixture());
    files.write_sharded(folder.path(), 2);
    let index = folder.path().join(INDEX);
    let sound = fs::read_to_string(&index).unwrap();
    for (from, to) in [
        ("model.norm.weight", "model.other.weight"),
        (
            r#"model.norm.weight":"model-00001"#,
            r#"model.norm.weight":"model-00002"#,
        ),
        (
            r#"model.norm.weight":"model-00002"#,
            r#"model.norm.weight":"model-00001"#,
        ),
    ] {
        let text = sound.replace(from, to);
        if text != sound {
            fs::write(&index, text).unwrap();
            refused(to, folder.path());
        }
    }
}

#[test]
fn what_is_no_model_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let text = refused("empty", folder.path());
    assert!(text.contains(CONFIG), "{text}");
    FolderFiles::read(&fixture()).write(folder.path());
    fs::rename(
        folder.path().join(WEIGHTS),
        folder.path().join("pytorch_model.bin"),
    )
    .unwrap();
    let text = refused("no safetensors", folder.path());
    assert!(text.contains("saved as safetensors"), "{text}");
    let large = vec![b' '; (1 << 20) + 1];
    fs::write(folder.path().join(CONFIG), large).unwrap();
    let text = refused("a large configuration", folder.path());
    assert!(text.contains("larger than"), "{text}");
}
