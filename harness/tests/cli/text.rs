//! `generate`, `logits`, `list`, `doctor`: what they print, and that it is inert.

use crate::support::{BITBENCH, Bench, Running, Suite, fixture};
use bitbench_engine::cpu::Cpu;
use bitbench_engine::heads::HEADS;
use bitbench_engine::kernels::{Agreement, VARIANTS};
use std::fs;

#[test]
fn logits_of_every_fixture_have_the_promised_size() {
    let bench = Bench::beside();
    for name in ["tiny-I2_S", "tiny-TQ2_0", "tiny-F16"] {
        let model = fixture(&format!("{name}.gguf"));
        let model = model.display();
        let ran = bench
            .run(&format!(
                "logits --model {model} --tokens 1,2,3,4,5 --out out.f32"
            ))
            .expect(0);
        assert!(ran.out.contains("5 positions of 512 logits"), "{}", ran.out);
        let bytes = fs::read(bench.path().join("out.f32")).unwrap();
        assert_eq!(bytes.len(), 5 * 512 * 4);
        let (values, _) = bytes.as_chunks::<4>();
        assert!(values.iter().all(|v| f32::from_le_bytes(*v).is_finite()));
        fs::remove_file(bench.path().join("out.f32")).unwrap();
        for (tokens, word) in [("1,512", "512"), ("1,4294967295", "4294967295")] {
            let ran = bench.run(&format!(
                "logits --model {model} --tokens {tokens} --out out.f32"
            ));
            ran.expect(2).says(&[&format!("{name}.gguf"), word]);
        }
        for tokens in ["-1", "x", "", "1,,2", "4294967296"] {
            let tokens = format!("--tokens={tokens}");
            bench
                .run(&format!("logits --model {model} {tokens} --out out.f32"))
                .expect(2);
        }
        assert!(!bench.has("out.f32"));
    }
}

#[test]
fn an_embedding_is_printed_as_numbers() {
    let bench = Bench::beside();
    let model = fixture("tiny-qwen3-F16.gguf");
    let model = model.display();
    let ran = bench
        .run(&format!("embed --model {model} --tokens 1,2,3"))
        .expect(0);
    let vector: Vec<f32> = serde_json::from_str(ran.out.trim()).unwrap();
    let length: f32 = vector.iter().map(|v| v * v).sum();
    assert!(
        vector.len() == 128 && (length - 1.0).abs() < 1e-5,
        "{length}"
    );
    for (input, word) in [
        ("--text words", "has no tokenizer"),
        ("--tokens 256", "256"),
        ("", "--tokens"),
        ("--tokens 1 --text words", "--text"),
    ] {
        let ran = bench.run(&format!("embed --model {model} {input}"));
        ran.expect(2).says(&[word]);
    }
}

#[test]
fn what_a_file_does_not_say_is_said() {
    let bench = Bench::beside();
    let model = fixture("tiny-I2_S.gguf");
    let run = format!(
        "logits --model {} --tokens 1 --out out.f32",
        model.display()
    );
    bench.run(&run).expect(0).says(&["note: ", "blocks of 128"]);

    // Once for each model, however often it is measured.
    bench.suite(&Suite::default());
    let other = bench.path().join("other.gguf");
    fs::copy(&model, &other).unwrap();
    let ran = bench.run(&format!(
        "run --suite mine.toml --list --model {0} --model {0} --model other.gguf",
        model.display()
    ));
    let ran = ran.expect(0).says(&["note: other.gguf: I2_S weights"]);
    assert_eq!(ran.err.matches("blocks of 128").count(), 2, "{}", ran.err);
}

#[test]
fn logits_depend_on_the_head_where_it_is_an_approximation() {
    let bench = Bench::beside();
    let model = fixture("tiny-I2_S.gguf");
    let logits = |options: &str| {
        let file = options.replace([' ', '-'], "x");
        bench
            .run(&format!(
                "logits --model {} --tokens 1,2,3 --out {}.f32 {options}",
                model.display(),
                file
            ))
            .expect(0);
        fs::read(bench.path().join(format!("{file}.f32"))).unwrap()
    };
    let default = logits("");
    for head in HEADS {
        let same = logits(&format!("--head {}", head.name)) == default;
        assert_eq!(same, head.exact, "{}", head.name);
    }
    bench
        .run(&format!(
            "logits --model {} --tokens 1 --out x --head f32",
            model.display()
        ))
        .expect(2)
        .says(&["there is no head `f32`", "q6_k"]);
}

#[test]
fn more_tokens_than_positions_are_refused() {
    let bench = Bench::beside();
    let tokens = vec!["7"; 4097].join(",");
    let model = fixture("tiny-I2_S.gguf");
    let ran = bench.run(&format!(
        "logits --model {} --tokens {tokens} --out out.f32",
        model.display()
    ));
    ran.expect(2).says(&["tiny-I2_S.gguf", "4096"]);
}

#[test]
fn text_from_a_model_without_tokenizer_is_refused() {
    let bench = Bench::beside();
    let model = fixture("tiny-I2_S.gguf");
    bench
        .run(&format!(
            "generate --model {} --prompt hello",
            model.display()
        ))
        .expect(2)
        .says(&["tiny-I2_S.gguf", "no tokenizer", "logits"]);
}

#[test]
fn a_model_is_built_in_and_a_seed_repeats_its_text() {
    let bench = Bench::beside();
    let say = |options: &str| {
        let ran = bench.run(&format!("generate --prompt And --max-tokens 16 {options}"));
        ran.expect(0).out
    };
    assert_eq!(say(""), say("--model pair:ternary --temperature 0"));
    assert_eq!(
        say("--temperature 1 --seed 7"),
        say("--temperature 1 --seed 7")
    );
    assert_ne!(
        say("--temperature 1 --seed 7"),
        say("--temperature 1 --seed 8")
    );
    assert_ne!(say(""), say("--model pair:f16"));
    bench
        .run("generate --prompt And --temperature -1")
        .expect(2);
}

#[test]
fn every_kernel_is_verified_and_the_rest_say_why_not() {
    let bench = Bench::beside();
    bench.file("ids.txt", "1, 2 3\n4,5 6 7 8 9 10 11 12\n");
    let cpu = Cpu::detect();
    for (name, ternary) in [("tiny-I2_S", true), ("tiny-F16", true)] {
        let model = fixture(&format!("{name}.gguf"));
        let verify = format!("verify --model {} --token-file ids.txt", model.display());
        let ran = bench.run(&verify).expect(0);
        for variant in VARIANTS {
            let line = ran.out.lines().find(|line| line.starts_with(variant.name));
            let line = line.unwrap_or_else(|| panic!("no {}: {}", variant.name, ran.out));
            let runs = cpu.require(variant.requires).is_ok();
            assert_eq!(line.contains("skipped"), !runs, "{line}");
            if runs && ternary && variant.agreement == Agreement::Exact {
                assert!(line.contains("same") && line.contains("lossless"), "{line}");
            }
        }
        let tables = ran
            .out
            .lines()
            .filter(|line| !line.starts_with("skipped: "));
        for line in tables {
            assert!(line.chars().count() <= 80, "{line}");
        }
        let ran = bench.run(&format!("{verify} --tokens 5 --json")).expect(0);
        let answer: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(answer["tokens"], 5);
        assert_eq!(answer["holds"], true);
        assert_eq!(answer["variants"].as_array().unwrap().len(), VARIANTS.len());
        assert!(answer["cost_of_int8"].as_f64().unwrap() > 0.0);
    }
    let model = fixture("tiny-I2_S.gguf");
    let verify = format!("verify --model {}", model.display());
    bench
        .run(&verify)
        .expect(2)
        .says(&["no tokenizer", "--token-file"]);
    for (ids, word) in [
        ("1", "less than two"),
        ("1 512", "512"),
        ("1 x", "`x` is no token id"),
    ] {
        bench.file("wrong.txt", ids);
        bench
            .run(&format!("{verify} --token-file wrong.txt"))
            .expect(2)
            .says(&[word]);
    }
    bench
        .run(&format!("{verify} --token-file nowhere.txt"))
        .expect(2)
        .says(&["nowhere.txt"]);
}

#[test]
fn perplexity_of_a_fixture_is_that_of_its_logits() {
    let bench = Bench::beside();
    let ids: Vec<u32> = (0..50).map(|i| i * i * 31 % 512).collect();
    let text: Vec<String> = ids.iter().map(u32::to_string).collect();
    bench.file("ids.txt", text.join(" "));
    let model = fixture("tiny-I2_S.gguf");
    let model = model.display();
    // By hand: chunks of 16, of which the tokens 9 to 15 are scored.
    let mut nats = Vec::new();
    for chunk in text.chunks_exact(16) {
        bench
            .run(&format!(
                "logits --model {model} --tokens {} --out out.f32",
                chunk.join(",")
            ))
            .expect(0);
        let bytes = fs::read(bench.path().join("out.f32")).unwrap();
        let values: Vec<f64> = bytes
            .as_chunks::<4>()
            .0
            .iter()
            .map(|v| f64::from(f32::from_le_bytes(*v)))
            .collect();
        for (index, row) in values.chunks_exact(512).enumerate().take(15).skip(8) {
            let next: usize = chunk[index + 1].parse().unwrap();
            let total: f64 = row.iter().map(|v| v.exp()).sum();
            nats.push(total.ln() - row[next]);
        }
    }
    let mean = nats.iter().sum::<f64>() / 21.0;
    let run = format!("perplexity --model {model} --token-file ids.txt --context 16");
    let ran = bench.run(&format!("{run} --json")).expect(0);
    let answer: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(
        (&answer["chunks"], &answer["scored_tokens"]),
        (&3.into(), &21.into())
    );
    let got = answer["nats_per_token"].as_f64().unwrap();
    assert!((got - mean).abs() < 1e-5, "{got} and {mean}");
    let perplexity = answer["perplexity"].as_f64().unwrap();
    assert!((perplexity / mean.exp() - 1.0).abs() < 1e-5);
    let ran = bench.run(&run).expect(0).says(&["3 chunks of 16"]);
    assert!(ran.out.contains(&format!("{perplexity:.4}")), "{}", ran.out);
    bench.run(&format!("{run} --context 64")).expect(2);
    bench
        .run(&format!("perplexity --model {model} --token-file ids.txt"))
        .expect(2)
        .says(&["50 tokens", "512"]);
}

#[test]
fn list_and_doctor_name_every_kernel() {
    let bench = Bench::beside();
    for arguments in ["list", "list kernels", "doctor"] {
        let ran = bench.run(arguments).expect(0);
        for variant in VARIANTS {
            assert!(ran.out.contains(variant.name), "{arguments}: {}", ran.out);
        }
        assert!(!ran.out.contains('\u{1b}'), "{arguments}");
    }
    let ran = bench.run("list heads").expect(0);
    assert!(HEADS.iter().all(|head| ran.out.contains(head.name)));
    let ran = bench.run("list models").expect(0);
    assert!(ran.out.contains("medium"), "{}", ran.out);
    assert!(
        bench
            .run("list suites")
            .expect(0)
            .out
            .contains("x86-energy")
    );
    assert!(bench.run("list energy").expect(0).out.contains("powercap"));
    bench.run("list everything").expect(2);
    bench.run("--version").expect(0);
    bench.run("run --help").expect(0);
    bench.run("").expect(0);
}

#[test]
fn nothing_piped_has_escape_sequences() {
    let bench = Bench::beside();
    let suite = Suite {
        models: &["tiny", "enormous"],
        ..Suite::default()
    };
    bench.suite(&suite);
    let ran = bench
        .run("run --suite mine.toml --quick --out out")
        .expect(0);
    assert!(!ran.out.contains('\u{1b}'), "{}", ran.out);
    assert!(!ran.err.contains('\u{1b}'), "{}", ran.err);
    assert!(ran.err.contains("[2/2]"), "quiet lines: {}", ran.err);
}

/// A name that a terminal would obey and a browser would run.
const EVIL: &str = "<img src=x onerror=alert(1)>\u{1b}[31m\u{9b}2J\u{7}\"'&|`=1+1`";

#[test]
fn a_path_with_control_characters_and_markup_comes_out_inert() {
    let bench = Bench::beside();
    bench.suite(&Suite::default());
    let name = format!("{EVIL}.gguf");
    fs::copy(fixture("tiny-I2_S.gguf"), bench.path().join(&name)).unwrap();
    let mut command = bench.command(BITBENCH);
    command.args([
        "run",
        "--suite",
        "mine.toml",
        "--quick",
        "--out",
        "out",
        "--model",
        &name,
    ]);
    let ran = Running::start(command).end().expect(0);
    let mut command = bench.command(BITBENCH);
    command.args(["run", "--suite", "mine.toml", "--list", "--model", &name]);
    let list = Running::start(command).end().expect(0);
    let mut command = bench.command(BITBENCH);
    command.args(["run", "--suite", "mine.toml", "--list", "--model", EVIL]);
    let unknown = Running::start(command).end().expect(2);
    let pages = ["csv", "md"].map(|ending| bench.read(&format!("out/results.{ending}")));
    let html = bench.read("out/report.html");
    let texts = [
        &ran.out,
        &ran.err,
        &list.out,
        &list.err,
        &unknown.err,
        &html,
    ];
    for text in texts.into_iter().chain(&pages) {
        let bad = |c: char| c.is_control() && c != '\n';
        assert!(!text.contains(bad), "{text:?}");
    }
    // Nothing is markup inside the fence that the command stands in.
    let markdown: String = pages[1].split("````").step_by(2).collect();
    let markdown: String = markdown.split("```").step_by(2).collect();
    for page in [&markdown, &html] {
        assert!(!page.contains("<img"), "{page}");
        assert!(page.contains("onerror"), "the name is there, but inert");
    }
}

#[test]
fn descriptions_in_files_come_out_inert() {
    let bench = Bench::beside();
    let shapes = bench.read("suites/models.toml");
    let shapes = shapes.replace("for tests", "for \\u001b[31mtests");
    bench.file("suites/models.toml", shapes);
    let suite = Suite::default()
        .text()
        .replace("a test", "a \\u001b]0;x\\u0007test");
    bench.file("suites/x86-energy.toml", &suite);
    bench.file("mine.toml", suite);
    let ran = bench.run("list").expect(0);
    assert!(ran.out.contains("tests"), "{}", ran.out);
    assert!(!ran.out.contains(['\u{1b}', '\u{7}']), "{:?}", ran.out);
    let ran = bench
        .run("run --suite mine.toml --quick --out out")
        .expect(0);
    assert!(!ran.out.contains(['\u{1b}', '\u{7}']), "{:?}", ran.out);
    assert!(!bench.read("out/report.html").contains(['\u{1b}', '\u{7}']));
}

#[test]
fn a_reader_that_stops_reading_is_no_crash() {
    let bench = Bench::beside();
    // The reader is gone before the first word; the status is that of bitbench.
    let script = r#"{ sleep 0.1; "$0" "$@"; echo "status $?" >&2; } | true"#;
    for arguments in [&["list"][..], &["doctor"], &["list", "kernels"]] {
        let ran = bench.shell(script, arguments);
        assert!(!ran.err.contains("panicked"), "{}", ran.err);
        assert!(ran.err.contains("status 0"), "{}", ran.err);
    }
    bench.suite(&Suite::default());
    let ran = bench.shell(
        script,
        &["run", "--suite", "mine.toml", "--quick", "--out", "out"],
    );
    assert!(ran.err.contains("status 0"), "{}", ran.err);
    assert!(bench.has("out/report.html"));
}

#[test]
fn an_output_that_cannot_be_written_is_told() {
    let bench = Bench::beside();
    if !std::path::Path::new("/dev/full").exists() {
        return crate::support::skip("there is no /dev/full here");
    }
    let ran = bench.shell("exec \"$0\" \"$@\" > /dev/full", &["list"]);
    ran.expect(4).says(&["standard output", "space"]);
    // Where there is no standard error either, the run goes on all the same.
    bench.suite(&Suite::default());
    let run = ["run", "--suite", "mine.toml", "--quick", "--out", "out"];
    let ran = bench.shell("exec \"$0\" \"$@\" 2> /dev/full", &run);
    ran.expect(0);
    assert!(bench.has("out/report.html"));
}
