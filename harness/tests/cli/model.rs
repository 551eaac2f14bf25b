//! Model files made and looked into from the command line.

use crate::gguf::{Tiny, tiny_model};
use crate::support::{Bench, Ran, fixture};
use bitbench_engine::model::formats::{self, FORMATS};
use std::fs;

/// The types that files can be made in, as the command line has them.
fn types() -> impl Iterator<Item = String> {
    let writable = FORMATS.iter().filter(|format| format.encode.is_some());
    writable.map(|format| format.name.to_lowercase())
}

/// The logits of a file on a kernel.
fn logits(bench: &Bench, model: &str, rest: &str) -> Vec<u8> {
    let ran = bench.run(&format!(
        "logits --model {model} --tokens 3,1,4,1,5 --out logits.f32 {rest}"
    ));
    ran.expect(0);
    fs::read(bench.path().join("logits.f32")).unwrap()
}

/// Names in the folder of a test, beside those that every test has.
fn files(bench: &Bench) -> Vec<String> {
    let entries = bench.path().read_dir().unwrap().map(|entry| entry.unwrap());
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name != "suites")
        .collect();
    names.sort();
    names
}

/// Every line fits a terminal, and none but the first, which names the file, is longer for its sake.
fn fits(ran: &Ran) {
    for line in ran.out.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

#[test]
fn one_shape_and_seed_are_the_same_weights_in_every_type() {
    let bench = Bench::beside();
    let mut expected = None;
    for name in types() {
        let ran = bench
            .run(&format!("model synth tiny {name}.gguf --type {name}"))
            .expect(0);
        fits(&ran);
        assert!(
            ran.out.contains("llama.cpp") && ran.out.contains("MB"),
            "{}",
            ran.out
        );
        let model = format!("{name}.gguf");
        for kernel in ["i2s-scalar", "f16-scalar"] {
            logits(&bench, &model, &format!("--kernel {kernel}"));
        }
        let found = logits(&bench, &model, "--kernel i2s-scalar");
        assert!(*expected.get_or_insert(found.clone()) == found, "{name}");
    }
    bench
        .run("model synth TINY other.gguf --type i2_s --seed 2 --layers 1")
        .expect(0);
    assert!(logits(&bench, "other.gguf", "") != expected.unwrap());
    let sizes = ["other.gguf", "i2_s.gguf"].map(|name| bench.path().join(name));
    let sizes = sizes.map(|path| path.metadata().unwrap().len());
    assert!(sizes[0] < sizes[1], "{sizes:?}");
}

#[test]
fn a_converted_file_has_the_logits_of_its_source() {
    let bench = Bench::beside();
    for source in ["tiny-I2_S.gguf", "tiny-TQ2_0.gguf", "tiny-F16.gguf"] {
        let source = fixture(source);
        let expected = logits(&bench, source.to_str().unwrap(), "--kernel i2s-scalar");
        for name in types() {
            let ran = bench.run(&format!(
                "model convert {} out.gguf --to {name} --force",
                source.display()
            ));
            let ran = ran.expect(0);
            fits(&ran);
            let found = logits(&bench, "out.gguf", "--kernel i2s-scalar");
            // Their scales are half-precision numbers of eleven significant bits, of which bfloat16 has eight.
            let rounded = ran.out.contains("were rounded to BF16: by ");
            assert_eq!(rounded, name == "bf16", "{}", ran.out);
            assert!(
                rounded || found == expected,
                "{} to {name}",
                source.display()
            );
        }
    }
    assert_eq!(files(&bench), ["logits.f32", "out.gguf"]);
}

#[test]
fn who_reads_a_file_is_said() {
    let bench = Bench::beside();
    let ran = bench.run("model synth tiny a.gguf --type i2_s").expect(0);
    assert!(
        ran.out.contains("llama.cpp does not read it: I2_S"),
        "{}",
        ran.out
    );
    assert!(ran.out.contains("bitnet.cpp reads it"), "{}", ran.out);
    let shapes = bench.read("suites/models.toml");
    bench.file(
        "suites/models.toml",
        shapes
            .replacen("\"bitnet\"", "\"bitnet-b1.58\"", 1)
            .replacen("\"tiny\"", "\"newer\"", 1),
    );
    let ran = bench.run("model synth newer b.gguf --type tq2_0").expect(0);
    assert!(
        ran.out
            .contains("llama.cpp does not read it: it does not know"),
        "{}",
        ran.out
    );
    assert!(ran.out.contains("`bitnet-b1.58`"), "{}", ran.out);
}

#[test]
fn weights_that_are_not_ternary_are_rounded_only_when_asked() {
    let bench = Bench::beside();
    let dense = tiny_model(&Tiny {
        architecture: "llama",
        linear: formats::writable("f16").unwrap(),
        ternary: false,
        head: true,
    });
    dense.write(&bench.path().join("dense.gguf"));
    bench
        .run("model convert dense.gguf out.gguf --to i2_s")
        .expect(2)
        .says(&[
            "dense.gguf",
            "blk.0.attn_k.weight",
            "not ternary",
            "--ternarize",
        ]);
    assert_eq!(files(&bench), ["dense.gguf"]);
    bench
        .run("model convert dense.gguf out.gguf --to i2_s --ternarize")
        .expect(0)
        .says(&["quality destroyed"]);
    let ternarized = logits(&bench, "dense.gguf", "--ternarize --kernel i2s-scalar");
    assert!(logits(&bench, "out.gguf", "--kernel i2s-scalar") == ternarized);
    // The rounded scale is another, and that is said.
    let ran = bench
        .run("model convert out.gguf half.gguf --to tq2_0")
        .expect(0);
    assert!(
        ran.out
            .contains("scales of ternary weights were rounded to TQ2_0"),
        "{}",
        ran.out
    );
    // Without ternary weights a file of numbers is written all the same.
    bench
        .run("model convert dense.gguf bf16.gguf --to bf16")
        .expect(0);
    logits(&bench, "bf16.gguf", "--kernel f16-scalar");
}

#[test]
fn nothing_is_replaced_unasked_and_the_input_never() {
    let bench = Bench::beside();
    let bytes = fs::read(fixture("tiny-F16.gguf")).unwrap();
    bench.file("in.gguf", &bytes);
    fs::hard_link(bench.path().join("in.gguf"), bench.path().join("twin.gguf")).unwrap();
    std::os::unix::fs::symlink("in.gguf", bench.path().join("link.gguf")).unwrap();
    bench.file("there.gguf", "old");
    fs::create_dir(bench.path().join("folder")).unwrap();
    let before = files(&bench);
    for (rest, words) in [
        ("in.gguf --to i2_s --force", "the model itself"),
        ("./in.gguf --to i2_s --force", "the model itself"),
        ("twin.gguf --to i2_s --force", "the model itself"),
        ("link.gguf --to i2_s --force", "the model itself"),
        ("there.gguf --to i2_s", "--force"),
        ("folder --to i2_s --force", "not a regular file"),
        ("no/such.gguf --to i2_s", "no/"),
        ("new.gguf --to i3_s", "tq2_0"),
        ("new.gguf --to q6_k", "tq2_0"),
        ("new.gguf", "--to"),
    ] {
        let ran = bench.run(&format!("model convert in.gguf {rest}"));
        ran.expect(2).says(&[words]);
    }
    for (rest, words) in [
        ("nine new.gguf --type i2_s", "there is no shape `nine`"),
        ("tiny there.gguf --type i2_s", "--force"),
        ("tiny new.gguf --type i2_s --layers 0", "--layers"),
        ("tiny new.gguf --type i2_s --seed x", "--seed"),
    ] {
        bench
            .run(&format!("model synth {rest}"))
            .expect(2)
            .says(&[words]);
    }
    assert_eq!(files(&bench), before);
    assert_eq!(bench.read("there.gguf"), "old");
    assert!(fs::read(bench.path().join("in.gguf")).unwrap() == bytes);
    bench
        .run("model synth tiny there.gguf --type i2_s --force")
        .expect(0);
    assert_eq!(files(&bench), before);
    logits(&bench, "there.gguf", "");
}

#[test]
fn a_shape_that_a_format_cannot_hold_is_refused() {
    let bench = Bench::beside();
    let shapes = bench.read("suites/models.toml");
    bench.file(
        "suites/models.toml",
        shapes.replacen("hidden = 256", "hidden = 320", 1),
    );
    for (name, block) in [("i2_s", "128"), ("tq2_0", "256"), ("tq1_0", "256")] {
        bench
            .run(&format!("model synth tiny new.gguf --type {name}"))
            .expect(2)
            .says(&["blk.0.attn_q.weight", "320 columns", block]);
    }
    bench.run("model synth tiny new.gguf --type f16").expect(0);
}

#[test]
fn a_disk_without_room_leaves_nothing_behind() {
    let bench = Bench::beside();
    let script = r#"trap '' XFSZ; ulimit -f 100; exec "$0" "$@""#;
    let arguments = ["model", "synth", "small", "new.gguf", "--type", "f16"];
    let ran = bench.shell(script, &arguments);
    ran.expect(4).says(&["new.gguf", "nothing was left behind"]);
    assert!(files(&bench).is_empty(), "{:?}", files(&bench));
}

#[test]
fn a_file_is_laid_open() {
    let bench = Bench::beside();
    let model = fixture("tiny-I2_S.gguf");
    let ran = bench
        .run(&format!("model inspect {}", model.display()))
        .expect(0);
    for word in [
        "rand-tiny",
        "bitnet",
        "block_count 2",
        "blk.1.ffn_down.weight",
        "256x768",
        "I2_S",
        "24 tensors",
        "100.0 %",
        "every kernel runs them",
        "i2s-scalar",
    ] {
        assert!(ran.out.contains(word), "no `{word}` in: {}", ran.out);
    }
    // The path of the fixture is one word, and may be longer than a line.
    let rest = ran.out.lines().skip(1).map(|line| line.chars().count());
    assert!(rest.max() <= Some(80), "{}", ran.out);

    let json = bench
        .run(&format!("model inspect --json {}", model.display()))
        .expect(0);
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    let tensors = json["tensors"].as_array().unwrap();
    assert_eq!(tensors.len(), 24);
    let share: f64 = tensors
        .iter()
        .map(|t| t["decode_share"].as_f64().unwrap())
        .sum();
    assert!((share - 1.0).abs() < 1e-9, "{share}");
    let bytes: u64 = tensors.iter().map(|t| t["bytes"].as_u64().unwrap()).sum();
    assert_eq!(json["weights_bytes"], bytes);
    // The embedding is the head, so that a step reads all of it.
    assert_eq!(json["decode_bytes"], bytes);
    let down = tensors
        .iter()
        .find(|t| t["name"] == "blk.1.ffn_down.weight")
        .unwrap();
    assert_eq!(down["bytes"], 256 * 768 / 4 + 32);
    assert!(json["not_ternary"].is_null() && json["tokenizer"].is_null());
}

#[test]
fn of_an_untied_embedding_a_step_reads_one_row() {
    let bench = Bench::beside();
    let dense = tiny_model(&Tiny {
        architecture: "llama",
        linear: formats::writable("f16").unwrap(),
        ternary: false,
        head: true,
    });
    dense.write(&bench.path().join("dense.gguf"));
    let ran = bench.run("model inspect dense.gguf --json").expect(0);
    let json: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let bytes = |key: &str| json[key].as_u64().unwrap();
    // 48 rows of 256 halves.
    assert_eq!(bytes("weights_bytes") - bytes("decode_bytes"), 47 * 512);
    assert!(
        json["not_ternary"]
            .as_str()
            .unwrap()
            .contains("--ternarize")
    );
    let kernels = json["kernels"].as_array().unwrap();
    assert!(
        kernels
            .iter()
            .all(|kernel| kernel["name"].as_str().unwrap().contains("f16-"))
    );
}

#[test]
fn a_file_that_does_not_run_is_laid_open_with_the_reason() {
    let bench = Bench::beside();
    let mut file = tiny_model(&Tiny {
        architecture: "bitnet",
        linear: formats::writable("tq2_0").unwrap(),
        ternary: true,
        head: false,
    });
    file.kv("general.architecture", crate::gguf::Kv::Str("mamba".into()));
    file.tensor("\x1b[31mred.weight", &[4], 0, vec![0; 16]);
    file.write(&bench.path().join("mamba.gguf"));
    let ran = bench.run("model inspect mamba.gguf").expect(0);
    assert!(
        ran.out.contains("the architecture mamba is not supported"),
        "{}",
        ran.out
    );
    assert!(!ran.out.contains('\x1b'), "{}", ran.out);
    bench
        .run("model convert mamba.gguf out.gguf --to i2_s")
        .expect(2)
        .says(&["mamba"]);
    bench.file("bad.gguf", "GGUF");
    for command in ["inspect bad.gguf", "convert bad.gguf out.gguf --to f16"] {
        bench
            .run(&format!("model {command}"))
            .expect(2)
            .says(&["bad.gguf"]);
    }
    bench
        .run("model inspect nothing.gguf")
        .expect(2)
        .says(&["nothing.gguf"]);
    bench.run("model").expect(2);
    for command in ["inspect suites", "convert suites out.gguf --to f16"] {
        bench
            .run(&format!("model {command}"))
            .expect(2)
            .says(&["suites", "config.json"]);
    }
}

#[test]
fn a_hugging_face_folder_is_laid_open_and_converted() {
    let bench = Bench::beside();
    let folder = fixture("hf-tiny-offline");
    let ran = bench
        .run(&format!("model inspect {} --json", folder.display()))
        .expect(0);
    let json: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(json["decode_bytes"], json["weights_bytes"]);
    assert!(json["does_not_run"].is_null() && json["not_ternary"].is_null());
    let tensors = json["tensors"].as_array().unwrap();
    let query = "model.layers.0.self_attn.q_proj.weight";
    let query = tensors.iter().find(|t| t["name"] == query).unwrap();
    assert_eq!(
        (&query["bits_per_weight"], &query["format"]),
        (&2.0.into(), &"U8".into())
    );
    let ran = bench
        .run(&format!("model inspect {}", folder.display()))
        .expect(0);
    assert!(ran.out.contains("every kernel runs them"), "{}", ran.out);
    let rest = ran.out.lines().skip(1).map(|line| line.chars().count());
    assert!(rest.max() <= Some(80), "{}", ran.out);

    let ran = bench.run(&format!(
        "model convert {} a.gguf --to i2_s",
        folder.display()
    ));
    let ran = ran.expect(0);
    assert!(ran.out.contains("no tokenizer"), "{}", ran.out);
    let ran = bench.run("model convert a.gguf b.gguf --to f32").expect(0);
    fits(&ran);
    let expected = logits(&bench, "a.gguf", "--kernel i2s-scalar");
    assert!(logits(&bench, "b.gguf", "--kernel i2s-scalar") == expected);
}

#[test]
fn a_file_packed_on_arm_becomes_one_that_says_how_it_is_packed() {
    let bench = Bench::beside();
    let from = fixture("tiny-I2_S.gguf");
    let from = from.display();
    for (out, flag) in [("x86.gguf", ""), ("arm.gguf", "--i2s-of-arm")] {
        bench
            .run(&format!("model convert {from} {out} --to i2_s {flag}"))
            .expect(0);
        let ran = bench.run(&format!("logits --model {out} --tokens 3 --out o.f32"));
        assert!(!ran.expect(0).err.contains("note:"), "{out}");
    }
    let of = |model: &str| logits(&bench, model, "");
    assert!(of("x86.gguf") == of(&from.to_string()));
    assert!(of("arm.gguf") != of("x86.gguf"));
}

#[test]
fn a_split_model_is_all_of_its_parts() {
    let bench = Bench::beside();
    let part = |number: u8| format!("formats-0000{number}-of-00003.gguf");
    for number in 1..=3 {
        fs::copy(fixture(&part(number)), bench.path().join(part(number))).unwrap();
    }
    let ran = bench.run(&format!(
        "model convert {} {} --to f16 --force",
        part(1),
        part(2)
    ));
    let ran = ran.expect(2);
    assert!(ran.err.contains("is the model itself"), "{}", ran.err);
    let hash = || bitbench::models::hash(&bench.path().join(part(1))).unwrap();
    let before = hash();
    let second = bench.path().join(part(2));
    let mut bytes = fs::read(&second).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(second, bytes).unwrap();
    assert_ne!(hash(), before);
}

#[test]
fn one_of_the_pair_is_laid_open_and_converted() {
    let bench = Bench::beside();
    let ran = bench.run("model inspect pair:ternary").expect(0);
    assert!(ran.out.contains("I2_S"), "{}", ran.out);
    bench
        .run("model convert pair:ternary copy.gguf --to tq2_0")
        .expect(0);
    assert!(logits(&bench, "copy.gguf", "") == logits(&bench, "pair:ternary", ""));
}
