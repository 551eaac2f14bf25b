//! Damaged and absurd input: exit code 2, the file is named, nothing panics, little memory is taken.

use crate::gguf::Random;
use crate::support::{BITBENCH, Bench, Ran, Running, Suite, fixture};
use std::fs;

/// Address space, in KiB, for a process that has only to say what is wrong with its input.
const LITTLE_MEMORY: &str = "1500000";

/// Runs bitbench with little memory to take.
fn run_small(bench: &Bench, arguments: &[&str]) -> Ran {
    let script = format!("ulimit -v {LITTLE_MEMORY}; exec \"$0\" \"$@\"");
    bench.shell(&script, arguments)
}

#[track_caller]
fn refused(ran: Ran, what: &str, file: &str) {
    let ran = ran.expect(2);
    assert!(ran.err.contains(file), "{what}: {}", ran.err);
    assert!(ran.err.len() < 4000, "{what}: {} bytes said", ran.err.len());
    assert!(
        !ran.err.contains(|c: char| c.is_control() && c != '\n'),
        "{what}: {:?}",
        ran.err
    );
}

/// Suites that are none, each with what is wrong.
fn bad_suites() -> Vec<(String, Vec<u8>)> {
    let good = Suite::default().text();
    let mut bad: Vec<(String, Vec<u8>)> = Vec::new();
    let keys = [
        "rounds",
        "window_s",
        "energy_window_s",
        "idle_s",
        "round_limit_s",
        "prefill",
        "decode",
        "threads",
        "kernels",
    ];
    let values = [
        "1e18",
        "1000000000000000000",
        "99999999999999999999999",
        "-1",
        "nan",
        "-inf",
        "inf",
        "\"many\"",
        "[]",
        "{}",
        "true",
        "0x",
        "",
    ];
    for key in keys {
        for value in values {
            let line = good
                .lines()
                .find(|line| line.starts_with(&format!("{key} = ")))
                .unwrap();
            bad.push((
                format!("{key} = {value}"),
                good.replacen(line, &format!("{key} = {value}"), 1).into(),
            ));
        }
    }
    for table in ["", "[[case]]", "[quick]"] {
        let text = if table.is_empty() {
            format!("surprise = 1\n{good}")
        } else {
            good.replace(table, &format!("{table}\nsurprise = 1"))
        };
        bad.push((format!("an unknown key in `{table}`"), text.into()));
    }
    for key in ["about", "kernels", "rounds", "model", "quick]"] {
        let text: String = good
            .lines()
            .filter(|line| !line.contains(key))
            .map(|line| format!("{line}\n"))
            .collect();
        bad.push((format!("no {key}"), text.into()));
    }
    let quick = good.find("[quick]").unwrap();
    for cut in (0..quick).step_by(7) {
        bad.push((format!("cut at {cut}"), good.as_bytes()[..cut].into()));
    }
    bad.push(("empty".into(), Vec::new()));
    bad.push(("zeros".into(), vec![0; 4096]));
    bad.push(("not UTF-8".into(), vec![0xff; 100]));
    bad.push(("brackets".into(), vec![b'['; 100_000]));
    bad.push((
        "nested".into(),
        [&b"about = "[..], &vec![b'['; 100_000]].concat(),
    ));
    bad.push(("escapes".into(), b"\x1b[31m = \x07".to_vec()));
    bad.push(("large".into(), vec![b'#'; (1 << 20) + 1]));
    bad
}

#[test]
fn hundreds_of_bad_suites_are_errors_with_their_name() {
    let bench = Bench::beside();
    let path = bench.path().join("bad.toml");
    let name = path.to_str().unwrap();
    let bad = bad_suites();
    assert!(bad.len() > 150, "{}", bad.len());
    let mut refusals = 0;
    for (what, text) in &bad {
        fs::write(&path, text).unwrap();
        // An endless limit is the one infinity with a sense, and it is refused too.
        let error = bitbench::suite::load(name).expect_err(what).to_string();
        assert!(error.contains("bad.toml"), "{what}: {error}");
        refusals += 1;
    }
    let good = Suite::default().text().into_bytes();
    let mut random = Random(0xbad);
    for trial in 0..600 {
        let mut bytes = good.clone();
        for _ in 0..=random.below(3) {
            let at = random.below(bytes.len());
            bytes[at] ^= 1 << random.below(8);
        }
        fs::write(&path, &bytes).unwrap();
        // A flipped letter of the description is a suite as good as any.
        if let Err(error) = bitbench::suite::load(name) {
            refusals += 1;
            assert!(error.to_string().contains("bad.toml"), "{trial}: {error}");
        }
    }
    println!("{refusals} suites refused");
}

#[test]
fn bad_suites_end_the_program_with_code_2() {
    let bench = Bench::beside();
    let bad = bad_suites();
    for (what, text) in bad.iter().step_by(9).chain(&bad[bad.len() - 7..]) {
        bench.file("bad.toml", text);
        refused(
            run_small(&bench, &["run", "--suite", "bad.toml"]),
            what,
            "bad.toml",
        );
    }
    fs::create_dir(bench.path().join("folder.toml")).unwrap();
    for name in ["folder.toml", "missing.toml", "no/such/folder.toml"] {
        refused(run_small(&bench, &["run", "--suite", name]), name, name);
    }
    assert!(!bench.has("bitbench-results"));
}

#[test]
fn endless_files_are_refused_and_not_read() {
    let bench = Bench::beside();
    bench.suite(&Suite::default());
    for (name, target) in [("zero.toml", "/dev/zero"), ("zero.gguf", "/dev/zero")] {
        std::os::unix::fs::symlink(target, bench.path().join(name)).unwrap();
    }
    refused(
        run_small(&bench, &["run", "--suite", "zero.toml"]),
        "zero",
        "zero.toml",
    );
    for ending in ["toml", "gguf"] {
        let made = bench
            .command("mkfifo")
            .arg(format!("pipe.{ending}"))
            .status()
            .unwrap();
        assert!(made.success());
    }
    refused(
        run_small(&bench, &["run", "--suite", "pipe.toml"]),
        "pipe",
        "pipe.toml",
    );
    for name in ["zero.gguf", "pipe.gguf"] {
        let ran = run_small(
            &bench,
            &["logits", "--model", name, "--tokens", "1", "--out", "o"],
        );
        refused(ran, name, name);
        let ran = run_small(&bench, &["run", "--suite", "mine.toml", "--model", name]);
        refused(ran, name, name);
    }
}

/// GGUF files that are none, each with what is wrong.
fn bad_models() -> Vec<(String, Vec<u8>)> {
    let good = fs::read(fixture("tiny-I2_S.gguf")).unwrap();
    let mut bad: Vec<(String, Vec<u8>)> = vec![
        ("empty".into(), Vec::new()),
        ("zeros".into(), vec![0; 1 << 16]),
        ("a text".into(), b"# about models\n".to_vec()),
        ("another magic".into(), [b"GGML", &good[4..]].concat()),
    ];
    for cut in [
        3,
        4,
        8,
        23,
        24,
        30,
        100,
        500,
        1000,
        good.len() / 2,
        good.len() - 64,
    ] {
        bad.push((format!("cut to {cut}"), good[..cut].into()));
    }
    for at in [8, 16, 24] {
        for number in [1 << 31, 1 << 60, u64::MAX] {
            let mut bytes = good.clone();
            bytes[at..at + 8].copy_from_slice(&u64::to_le_bytes(number));
            bad.push((format!("{number} at {at}"), bytes));
        }
    }
    bad
}

#[test]
fn bad_model_files_end_the_program_with_code_2() {
    let bench = Bench::beside();
    bench.suite(&Suite::default());
    for (number, (what, bytes)) in bad_models().iter().enumerate() {
        bench.file("bad.gguf", bytes);
        let ran = match number % 3 {
            0 => run_small(
                &bench,
                &[
                    "logits", "--model", "bad.gguf", "--tokens", "1", "--out", "o",
                ],
            ),
            1 => run_small(
                &bench,
                &["generate", "--model", "bad.gguf", "--prompt", "x"],
            ),
            _ => run_small(
                &bench,
                &["run", "--suite", "mine.toml", "--model", "bad.gguf"],
            ),
        };
        refused(ran, what, "bad.gguf");
    }
    fs::create_dir(bench.path().join("folder.gguf")).unwrap();
    for name in ["folder.gguf", "missing.gguf"] {
        let ran = run_small(
            &bench,
            &["logits", "--model", name, "--tokens", "1", "--out", "o"],
        );
        refused(ran, name, name);
    }
    assert!(!bench.has("bitbench-results") && !bench.has("o"));
}

#[test]
fn flipped_model_files_are_run_or_refused() {
    let bench = Bench::beside();
    let good = fs::read(fixture("tiny-TQ2_0.gguf")).unwrap();
    // What stands before the data says something; a flip there is the more telling one.
    let head = 3000;
    let mut random = Random(0xf11b);
    let mut refusals = 0;
    for trial in 0..24 {
        let mut bytes = good.clone();
        let within = if trial % 4 == 0 { bytes.len() } else { head };
        bytes[random.below(within)] ^= 1 << random.below(8);
        bench.file("flip.gguf", &bytes);
        let ran = run_small(
            &bench,
            &[
                "logits",
                "--model",
                "flip.gguf",
                "--tokens",
                "1,2",
                "--out",
                "o",
            ],
        );
        if ran.status.code() != Some(0) {
            refusals += 1;
            refused(ran, &format!("trial {trial}"), "flip.gguf");
        }
    }
    println!("{refusals} of 24 refused");
}

#[test]
fn a_huge_file_is_refused_quickly() {
    let bench = Bench::beside();
    // Sparse: as long as a disk, and no longer to read than its first page.
    for (name, bytes) in [("huge.toml", 1 << 40), ("huge.gguf", 1_u64 << 40)] {
        let file = fs::File::create(bench.path().join(name)).unwrap();
        if let Err(error) = file.set_len(bytes) {
            crate::support::skip(&format!("no sparse file of {bytes} bytes here: {error}"));
            return;
        }
    }
    refused(
        run_small(&bench, &["run", "--suite", "huge.toml"]),
        "huge",
        "huge.toml",
    );
    let ran = bench.run("logits --model huge.gguf --tokens 1 --out o");
    refused(ran, "huge", "huge.gguf");
}

#[test]
fn bad_data_files_on_disk_are_named() {
    let bench = Bench::beside();
    bench.suite(&Suite::default());
    let shapes = bench.read("suites/models.toml");
    for (what, text) in [
        ("cut", shapes[..shapes.len() / 2].to_owned()),
        ("zero", shapes.replace("layers = 2", "layers = 0")),
        ("negative", shapes.replace("layers = 2", "layers = -2")),
        (
            "absurd",
            shapes.replace("layers = 2", "layers = 9000000000"),
        ),
        ("twice", format!("{shapes}{shapes}")),
        (
            "unknown",
            shapes.replace("layers = 2", "layers = 2\nplayers = 2"),
        ),
    ] {
        bench.file("suites/models.toml", text);
        refused(
            bench.run("run --suite mine.toml --list"),
            what,
            "suites/models.toml",
        );
        refused(bench.run("list models"), what, "suites/models.toml");
    }
    bench.file("suites/models.toml", &shapes);
    bench.file("records.jsonl", "{\"record\":\"run\"\n");
    refused(bench.run("report ."), "no run", "records.jsonl");
    bench.file("records.jsonl", "");
    refused(bench.run("report ."), "empty", "records.jsonl");
    bench.file("records.jsonl", "{\"record\":\"run\",\"schema\":99}\n");
    refused(bench.run("report ."), "newer", "records.jsonl");
}

#[test]
fn a_damaged_record_file_is_an_error_or_a_report() {
    let bench = Bench::beside();
    bench.suite(&Suite::default());
    bench
        .run("run --suite mine.toml --quick --out out")
        .expect(0);
    let good = fs::read(bench.path().join("out/records.jsonl")).unwrap();
    let mut random = Random(0x4ec0);
    let mut refusals = 0;
    for trial in 0..24 {
        let mut bytes = good.clone();
        if trial % 3 == 0 {
            bytes.truncate(random.below(bytes.len()));
        } else {
            let at = random.below(bytes.len());
            bytes[at] ^= 1 << random.below(8);
        }
        fs::write(bench.path().join("out/records.jsonl"), &bytes).unwrap();
        let ran = run_small(&bench, &["report", "out"]);
        if ran.status.code() != Some(0) {
            refusals += 1;
            refused(ran, &format!("trial {trial}"), "records.jsonl");
        }
    }
    println!("{refusals} of 24 refused");
    // Figures that no counter gives.
    let text = String::from_utf8(good).unwrap();
    for (from, to) in [
        ("\"tokens\":8", "\"tokens\":4294967295"),
        ("\"tokens\":4", "\"tokens\":0"),
        ("\"duration_ns\":", "\"duration_ns\":1844674407370955161"),
        ("\"durations_ns\":[", "\"durations_ns\":[0,"),
    ] {
        bench.file("out/records.jsonl", text.replace(from, to));
        let ran = run_small(&bench, &["report", "out"]);
        assert!(
            matches!(ran.status.code(), Some(0 | 2)),
            "{from} {to}: {}",
            ran.err
        );
        assert!(!ran.err.contains("panicked"), "{}", ran.err);
        if ran.status.success() {
            let csv = bench.read("out/results.csv");
            assert!(!csv.contains("NaN") && !csv.contains("inf"), "{csv}");
        }
    }
}

#[test]
fn a_worker_answers_nonsense_with_an_error() {
    let bench = Bench::beside();
    let lines = [
        "",
        "null",
        "{}",
        "[",
        "\"hello\"",
        "{\"load\":{}}",
        "{\"prefill\":{\"prompt\":[1],\"least_ns\":1}}",
        "\u{1b}",
    ];
    bench.file("requests", lines.join("\n") + "\n");
    let mut command = bench.command(BITBENCH);
    command
        .arg("worker")
        .stdin(fs::File::open(bench.path().join("requests")).unwrap());
    let ran = Running::start(command).end().expect(0);
    let replies: Vec<&str> = ran.out.lines().collect();
    assert_eq!(replies.len(), lines.len(), "{replies:?}");
    for (line, reply) in lines.iter().zip(replies) {
        let expected = if *line == "\"hello\"" {
            "hello"
        } else {
            "error"
        };
        assert!(
            reply.starts_with(&format!("{{\"{expected}\"")),
            "{line}: {reply}"
        );
    }
}
