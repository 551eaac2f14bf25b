//! Files made to break the loader: each must be refused, or loaded as a sound model, without a panic and without taking more
//! memory than a small multiple of the file.

mod hostile;
mod read_all;
mod support;

use std::path::Path;

use bitbench_engine::model::{LoadError, LoadOptions, formats, load};
use hostile::measured;
use read_all::read_all;
use support::{GgufWriter, HIDDEN, Kv, Random, Tiny, tiny_model};

/// Loads `bytes` as a file, checks the memory that took, and reads all weights of what was accepted.
fn attempt(case: &str, bytes: &[u8], options: LoadOptions) -> Result<(), LoadError> {
    attempt_files(case, &[("hostile.gguf", bytes)], options)
}

/// The same with a model in several files, of which the first is asked for.
fn attempt_files(
    case: &str,
    files: &[(&str, &[u8])],
    options: LoadOptions,
) -> Result<(), LoadError> {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    let path = folder.path().join(files[0].0);
    let (loaded, peak) = measured(|| load(&path, options));
    let len: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
    assert!(
        peak <= 4 * len + (1 << 20),
        "{case}: {peak} bytes held for {len} bytes of files"
    );
    match loaded {
        Ok(model) => {
            assert!(peak > 0, "{case}: nothing was counted");
            read_all(&model);
            Ok(())
        }
        Err(error) => {
            let text = error.to_string();
            assert!(text.contains("hostile"), "{case}: no file is named: {text}");
            assert!(
                text.len() < 2000,
                "{case}: a message of {} bytes",
                text.len()
            );
            Err(error)
        }
    }
}

fn refused(case: &str, bytes: &[u8]) -> String {
    match attempt(case, bytes, LoadOptions::default()) {
        Ok(()) => panic!("{case}: accepted"),
        Err(error) => error.to_string(),
    }
}

fn tiny(architecture: &'static str, type_id: u32) -> GgufWriter {
    let linear = formats::by_id(type_id).unwrap();
    let ternary = linear.ternary.is_some();
    tiny_model(&Tiny {
        architecture,
        linear,
        ternary,
        head: true,
    })
}

/// The byte after the first occurrence of `name`, which is a key or the name of a tensor.
fn after(bytes: &[u8], name: &str) -> usize {
    let found = bytes
        .windows(name.len())
        .position(|window| window == name.as_bytes());
    found.unwrap_or_else(|| panic!("no {name}")) + name.len()
}

fn patched(bytes: &[u8], at: usize, with: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at..at + with.len()].copy_from_slice(with);
    bytes
}

/// One past the description of the last tensor: name, count of dimensions, two dimensions, type, offset.
fn head_len(bytes: &[u8]) -> usize {
    after(bytes, "blk.1.ffn_down.weight") + 4 + 16 + 4 + 8
}

#[test]
fn sound_files_load_in_every_format() {
    for format in formats::FORMATS {
        for architecture in ["bitnet-b1.58", "bitnet-25", "bitnet", "llama", "qwen3"] {
            for ternarize in [false, true] {
                let bytes = tiny(architecture, format.gguf_type).bytes();
                let options = LoadOptions { ternarize };
                if let Err(error) = attempt("sound", &bytes, options) {
                    panic!("{architecture} {}: {error}", format.name);
                }
            }
        }
    }
}

#[test]
fn every_truncation_is_refused() {
    let bytes = tiny("bitnet", 36).bytes();
    let head = head_len(&bytes);
    let lengths = (0..300)
        .chain((300..head).step_by(5))
        .chain((head..bytes.len()).step_by(bytes.len() / 40))
        .chain([bytes.len() - 32, bytes.len() - 1]);
    for len in lengths {
        let text = refused(&format!("cut to {len}"), &bytes[..len]);
        if len >= 24 {
            assert!(text.contains("truncated"), "cut to {len}: {text}");
        }
    }
    let text = refused("cut in the data", &bytes[..bytes.len() - 1]);
    assert!(text.contains("blk.1.ffn_down.weight"), "{text}");
    assert!(text.ends_with("download it again"), "{text}");
}

/// Flips up to three bits, most of them in the first `head` bytes, where they say something.
fn flipped(random: &mut Random, sound: &[u8], head: usize) -> Vec<u8> {
    let mut bytes = sound.to_vec();
    let within = if random.below(5) == 0 {
        bytes.len()
    } else {
        head
    };
    for _ in 0..1 + random.below(3) {
        bytes[random.below(within)] ^= 1 << random.below(8);
    }
    bytes
}

/// Some thousand files: two formats often, each of the others at times.
#[test]
fn flipped_bits_never_panic() {
    let often = [("bitnet-b1.58", 36, 300), ("llama", 35, 300)];
    let others = formats::FORMATS.iter().map(|f| ("bitnet", f.gguf_type, 24));
    for (architecture, type_id, trials) in often.into_iter().chain(others) {
        let sound = tiny(architecture, type_id).bytes();
        let head = head_len(&sound);
        let mut random = Random(0x5eed);
        for trial in 0..trials {
            let bytes = flipped(&mut random, &sound, head);
            let options = LoadOptions {
                ternarize: trial % 2 == 0,
            };
            // Either answer will do.
            let case = format!("{architecture}, type {type_id}, trial {trial}");
            let _ = attempt(&case, &bytes, options);
        }
    }
}

#[test]
fn flipped_bits_in_one_of_several_files_never_panic() {
    let parts: Vec<(String, Vec<u8>)> = tiny("bitnet", 36)
        .split("hostile", 3)
        .into_iter()
        .map(|(name, file)| (name, file.bytes()))
        .collect();
    let mut random = Random(0x5b117);
    for trial in 0..300 {
        let mut parts = parts.clone();
        let at = random.below(3);
        // The head of each part ends some way before this.
        parts[at].1 = flipped(&mut random, &parts[at].1, 1200);
        if trial % 4 == 0 {
            let keep = random.below(parts[at].1.len());
            parts[at].1.truncate(keep);
        }
        parts.rotate_left(random.below(3));
        let files: Vec<(&str, &[u8])> = parts.iter().map(|(n, b)| (n.as_str(), &b[..])).collect();
        let _ = attempt_files(&format!("trial {trial}"), &files, LoadOptions::default());
    }
}

#[test]
fn absurd_counts_and_lengths_are_refused() {
    let bytes = tiny("bitnet", 36).bytes();
    let absurd = [1 << 20, 1 << 31, 1 << 32, 1 << 60, 1 << 63, u64::MAX];
    for number in absurd {
        let number = number.to_le_bytes();
        refused("tensor count", &patched(&bytes, 8, &number));
        refused("metadata count", &patched(&bytes, 16, &number));
        refused("length of a key", &patched(&bytes, 24, &number));
        let value = after(&bytes, "general.architecture") + 4;
        refused("length of a string", &patched(&bytes, value, &number));
        let tensor = after(&bytes, "blk.0.attn_q.weight");
        refused("columns", &patched(&bytes, tensor + 4, &number));
        refused("rows", &patched(&bytes, tensor + 12, &number));
        refused("offset", &patched(&bytes, tensor + 24, &number));
        let name_length = tensor - "blk.0.attn_q.weight".len() - 8;
        refused("length of a name", &patched(&bytes, name_length, &number));
    }
}

#[test]
fn absurd_arrays_are_refused() {
    for count in [1u64 << 31, 1 << 60, u64::MAX] {
        for element in [0u32, 4, 7, 8, 9, 12, 13, 99] {
            let mut file = tiny("bitnet", 36);
            file.kv("tests.array", Kv::Strs(vec!["text".into(); 4]));
            let bytes = file.bytes();
            let at = after(&bytes, "tests.array") + 4;
            let bytes = patched(&bytes, at, &element.to_le_bytes());
            refused("array", &patched(&bytes, at + 4, &count.to_le_bytes()));
        }
    }
    // An array of one array of one array ...: 9 is the kind, 1 the count.
    let mut file = tiny("bitnet", 36);
    file.kv("tests.nested", Kv::I32s(vec![0; 3000]));
    let mut bytes = file.bytes();
    let start = after(&bytes, "tests.nested") + 4;
    for level in bytes[start..start + 12000].chunks_mut(12) {
        level[..4].copy_from_slice(&9u32.to_le_bytes());
        level[4..].copy_from_slice(&1u64.to_le_bytes());
    }
    let text = refused("nested arrays", &bytes);
    assert!(text.contains("tests.nested"), "{text}");
}

#[test]
fn other_files_are_refused() {
    let bytes = tiny("bitnet", 36).bytes();
    assert!(refused("empty", &[]).contains("empty"));
    assert!(refused("wrong magic", &patched(&bytes, 0, b"GGML")).contains("not a GGUF"));
    assert!(refused("a text", b"# a page about models").contains("not a GGUF"));
    for version in [0u32, 1, 4, 1 << 31] {
        refused("version", &patched(&bytes, 4, &version.to_le_bytes()));
    }
    let text = refused("big-endian", &patched(&bytes, 4, &3u32.to_be_bytes()));
    assert!(text.contains("big-endian"), "{text}");
}

#[test]
fn what_is_no_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.gguf");
    for path in [folder.path(), missing.as_path(), Path::new("/dev/null")] {
        let error = load(path, LoadOptions::default()).unwrap_err();
        assert!(matches!(error, LoadError::Io { .. }), "{error}");
        assert!(
            error.to_string().contains(path.to_str().unwrap()),
            "{error}"
        );
    }
}

#[test]
fn impossible_tensors_are_refused() {
    let file = tiny("bitnet", 36);
    let bytes = file.bytes();
    let tensor = after(&bytes, "blk.0.attn_q.weight");
    for dims in [0u32, 5, u32::MAX] {
        refused("dimensions", &patched(&bytes, tensor, &dims.to_le_bytes()));
    }
    for size in [0u64, 1, 127, 129, 257] {
        refused("columns", &patched(&bytes, tensor + 4, &size.to_le_bytes()));
    }
    refused(
        "no rows",
        &patched(&bytes, tensor + 12, &0u64.to_le_bytes()),
    );
    refused(
        "a product beyond 64 bits",
        &patched(&bytes, tensor + 4, &[128; 16]),
    );
    for type_id in [4u32, 5, 9, 15, 37, 1000, u32::MAX] {
        let text = refused(
            "type",
            &patched(&bytes, tensor + 20, &type_id.to_le_bytes()),
        );
        assert!(
            text.contains("blk.0.attn_q.weight") && text.contains("TQ2_0"),
            "{text}"
        );
    }
    refused(
        "unaligned",
        &patched(&bytes, tensor + 24, &1u64.to_le_bytes()),
    );
    let text = refused(
        "overlap",
        &patched(&bytes, tensor + 24, &32u64.to_le_bytes()),
    );
    assert!(text.contains("overlap"), "{text}");

    let renamed = patched(&bytes, tensor - 8, b"k");
    assert!(refused("a name twice", &renamed).contains("attn_k.weight"));
    let renamed = patched(&bytes, tensor - 8, &[0xff]);
    assert!(refused("a name that is not UTF-8", &renamed).contains("UTF-8"));
    let renamed = patched(&bytes, tensor - 8, b"z");
    assert!(refused("a missing tensor", &renamed).contains("attn_q.weight"));
    let twice = patched(
        &bytes,
        after(&bytes, "bitnet.context_leng") - 19,
        b"bitnet.block_count",
    );
    refused("a key that is another", &twice);

    for alignment in [0u32, 3, 48, 1 << 30, u32::MAX] {
        let mut file = tiny("bitnet", 36);
        file.kv("general.alignment", Kv::U32(alignment));
        assert!(refused("alignment", &file.bytes()).contains("general.alignment"));
    }
}

#[test]
fn impossible_hyperparameters_are_refused() {
    let numbers = [
        ("block_count", vec![0, 1, 3, 1000, u32::MAX]),
        ("embedding_length", vec![0, 1, 255, u32::MAX]),
        ("feed_forward_length", vec![0, 511, u32::MAX]),
        ("attention.head_count", vec![0, 3, 5, 512, u32::MAX]),
        ("attention.head_count_kv", vec![0, 3, 8, u32::MAX]),
        ("attention.key_length", vec![0, 63, u32::MAX]),
        ("attention.value_length", vec![32]),
        ("rope.dimension_count", vec![0, 63, 66, u32::MAX]),
        ("context_length", vec![0, u32::MAX]),
        ("expert_count", vec![8]),
    ];
    for (key, values) in numbers {
        for value in values {
            let mut file = tiny("bitnet", 36);
            file.kv(&format!("bitnet.{key}"), Kv::U32(value));
            refused(&format!("{key} = {value}"), &file.bytes());
        }
    }
    for key in [
        "attention.layer_norm_rms_epsilon",
        "rope.freq_base",
        "rope.scaling.factor",
    ] {
        for value in [f32::NAN, f32::INFINITY, -1.0] {
            let mut file = tiny("bitnet", 36);
            file.kv(&format!("bitnet.{key}"), Kv::F32(value));
            let text = refused(&format!("{key} = {value}"), &file.bytes());
            assert!(text.contains(key), "{text}");
        }
        let mut file = tiny("bitnet", 36);
        file.kv(&format!("bitnet.{key}"), Kv::Str("1".into()));
        refused(key, &file.bytes());
    }
    for (key, value) in [
        ("general.architecture", Kv::Str("mamba".into())),
        ("general.architecture", Kv::U32(1)),
        ("bitnet.pooling_type", Kv::U32(2)),
        ("bitnet.pooling_type", Kv::Str("last".into())),
        ("bitnet.attention.causal", Kv::Bool(false)),
        ("bitnet.rope.scaling.type", Kv::Str("yarn".into())),
        ("bitnet.attention.head_count", Kv::I32s(vec![4, 4])),
        ("bitnet.block_count", Kv::F32(2.0)),
    ] {
        let mut file = tiny("bitnet", 36);
        file.kv(key, value);
        refused(key, &file.bytes());
    }
}

#[test]
fn impossible_weights_are_refused() {
    for type_id in [35, 36] {
        let file = tiny("bitnet", type_id);
        let mut bytes = file.bytes();
        // The last tensor's codes; its end is scale and padding.
        let at = bytes.len() - 190;
        bytes[at] |= 0xc0;
        let text = refused("code 3", &bytes);
        assert!(
            text.contains("blk.1.ffn_down.weight") && text.contains("code 3"),
            "{text}"
        );
    }
    let mut file = tiny("bitnet", 36);
    let mut data = support::encode::by_id(36, &vec![1.0; HIDDEN * HIDDEN]);
    let scale = HIDDEN * HIDDEN / 4;
    data[scale..scale + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    file.tensor("blk.0.attn_q.weight", &[HIDDEN, HIDDEN], 36, data);
    assert!(refused("scale", &file.bytes()).contains("NaN"));

    let mut file = tiny("bitnet", 36);
    let norm = vec![f32::INFINITY; HIDDEN];
    file.tensor(
        "output_norm.weight",
        &[HIDDEN],
        0,
        support::encode::f32(&norm),
    );
    assert!(refused("norm", &file.bytes()).contains("output_norm.weight"));

    for (name, len) in [
        ("blk.0.attn_q.bias", HIDDEN),
        ("extra", 4),
        ("blk.2.attn_norm.weight", HIDDEN),
    ] {
        let mut file = tiny("bitnet", 36);
        file.tensor(name, &[len], 0, support::encode::f32(&vec![1.0; len]));
        assert!(refused("unused", &file.bytes()).contains(name));
    }
    let mut file = tiny("llama", 8);
    file.tensor("blk.0.attn_q.scale", &[1], 0, support::encode::f32(&[1.0]));
    assert!(refused("scale of another architecture", &file.bytes()).contains("attn_q.scale"));
}

#[test]
fn many_tiny_entries_take_little_memory() {
    let mut file = GgufWriter::new();
    for number in 0..10_000 {
        file.tensor(&format!("{number:x}"), &[1], 0, Vec::new());
    }
    file.set_alignment(1);
    refused("tensors", &file.bytes());
    // 60 thousand keys of one array, and then a string beyond the end.
    let mut bytes = b"GGUF".to_vec();
    bytes.extend(3u32.to_le_bytes());
    bytes.extend(0u64.to_le_bytes());
    bytes.extend(60_000u64.to_le_bytes());
    for number in 0..60_000u32 {
        bytes.extend(4u64.to_le_bytes());
        bytes.extend(format!("{number:04x}").as_bytes());
        bytes.extend([0, 0, 0, 0, 1]);
    }
    refused("keys", &bytes);
}
