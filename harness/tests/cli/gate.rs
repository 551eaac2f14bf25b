//! Gates: two builds of the same binary, one of which a script between it and the harness makes slow, wrong or short-lived.

use crate::support::{BITBENCH, Bench, Ran, Suite};
use bitbench_reports::history::{ControlRow, History};
use bitbench_reports::record::{Build, Records, Stage};
use rustix::process::Signal;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// A policy that noise does not reach: what is found in these tests is many times slower.
const POLICY: &str = "decode_percent = 100.0\nprefill_percent = 100.0\nmultiply_percent = 100.0\npeak_memory_percent = 50.0\n\
                      screen_rounds = 6\nconfirm_rounds = 8\nmost_rounds = 8\n";

/// Slows the worker down: of what the harness asks, the request to load is given a share of time to waste.
const SLOW: &str = r#"s/"threads":/"burn_percent":500,"threads":/"#;

fn bench() -> Bench {
    let bench = Bench::alone();
    bench.suite(&Suite {
        kernels: r#""i2s-scalar""#,
        window_s: 0.05,
        ..Suite::default()
    });
    bench.file("policy.toml", POLICY);
    bench
}

/// A build whose worker reads what a filter leaves of its requests.
fn build(bench: &Bench, name: &str, filter: &str) {
    let script = format!("#!/bin/sh\nsed -u '{filter}' | exec '{BITBENCH}' \"$@\"\n");
    script_of(bench, name, &script);
}

fn script_of(bench: &Bench, name: &str, script: &str) {
    let path = bench.file(name, script);
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn gate(bench: &Bench, base: &str, new: &str, more: &str) -> Ran {
    bench.run(&format!(
        "gate --suite mine.toml --policy policy.toml --base-bin {base} --new-bin {new} --out out {more}"
    ))
}

/// What it printed, as one line: long ones are broken at spaces.
fn told(ran: &Ran) -> String {
    let words: Vec<&str> = ran.out.split_whitespace().collect();
    words.join(" ")
}

fn outcome(bench: &Bench) -> Value {
    serde_json::from_str(&bench.read("out/gate.json")).unwrap()
}

#[test]
fn a_build_against_itself_is_ok() {
    let bench = bench();
    let list = gate(&bench, BITBENCH, BITBENCH, "--list").expect(0);
    for word in ["tiny/i2s-scalar/1", "1 job of two builds"] {
        assert!(told(&list).contains(word), "no `{word}` in {}", list.out);
    }
    assert!(!bench.has("out"), "nothing is written");
    let ran = gate(&bench, BITBENCH, BITBENCH, "").expect(0);
    assert!(ran.out.contains("\nOK\n"), "{}", ran.out);
    for word in ["decode", "prefill", "peak memory", "weights", "A/A control"] {
        assert!(told(&ran).contains(word), "no `{word}` in {}", ran.out);
    }
    ran.says(&[
        "both builds give the right answers",
        "screening in 6 rounds",
    ]);
    assert!(!bench.has("out/builds") && !bench.has("out/answers"));
    let screen = Records::read(&bench.path().join("out/screen")).unwrap();
    let info = screen.run.gate.unwrap();
    assert_eq!(info.stage, Stage::Screen);
    let hashes: Vec<_> = info.builds.iter().map(|build| build.hash.clone()).collect();
    assert!(hashes[0].is_some() && hashes[0] == hashes[1]);
    let builds: Vec<_> = screen.run.jobs.iter().map(|job| job.build).collect();
    assert_eq!(
        builds,
        [Some(Build::Base), Some(Build::New), Some(Build::Base)],
        "and a control"
    );
    for file in ["gate.md", "gate.junit.xml", "gate.metrics.txt"] {
        assert!(!bench.read(&format!("out/{file}")).is_empty());
    }
    // The same verdict from what is stored, and no second gate in the same folder.
    let again = bench.run("gate --judge out --annotations").expect(0);
    assert!(
        again.out.contains("::notice title=bitbench OK::"),
        "{}",
        again.out
    );
    gate(&bench, BITBENCH, BITBENCH, "")
        .expect(2)
        .says(&["holds a gate already", "--judge"]);
    // A gate's run is a run, which can be reported.
    bench.run("report out/screen").expect(0);
}

#[test]
fn a_slow_build_is_confirmed_to_be_a_regression() {
    let bench = bench();
    build(&bench, "slow", SLOW);
    let ran = gate(&bench, BITBENCH, "./slow", "").expect(6);
    assert!(ran.out.contains("\nREGRESSED\n"), "{}", ran.out);
    ran.says(&["the screening leaves open: tiny/i2s-scalar/1"]);
    let told = outcome(&bench);
    let cell = |figure: &str| {
        let cells = told["cells"].as_array().unwrap();
        let cell = cells.iter().find(|cell| cell["figure"] == figure);
        cell.unwrap_or_else(|| panic!("{told:#}")).clone()
    };
    assert_eq!(cell("decode")["verdict"], "REGRESSED");
    assert_eq!(cell("decode")["stage"], "confirm");
    assert_eq!(cell("decode")["rounds"], 8);
    assert!(cell("decode")["p"].as_f64().unwrap() < 0.05);
    assert_eq!(cell("weights")["verdict"], "ok");
    assert!(
        bench
            .read("out/gate.junit.xml")
            .contains("<failure message")
    );
    bench
        .run("gate --judge out --allow inconclusive,contaminated")
        .expect(6);
}

#[test]
fn other_weights_are_incorrect_before_anything_is_timed() {
    let bench = bench();
    build(&bench, "other", r#"s/"seed":1/"seed":2/"#);
    let ran = gate(&bench, BITBENCH, "./other", "").expect(9);
    for word in [
        "INCORRECT",
        "nothing was timed",
        "tiny/i2s-scalar/1@new",
        "bit for bit",
    ] {
        assert!(told(&ran).contains(word), "no `{word}` in {}", ran.out);
    }
    assert!(!ran.out.contains("@base"), "{}", ran.out);
    assert!(!bench.has("out/screen"), "nothing was timed");
    assert_eq!(outcome(&bench)["outcome"], "INCORRECT");
}

#[test]
fn a_base_that_differs_from_itself_contaminates_and_blames_nobody() {
    let bench = bench();
    let script = format!(
        "#!/bin/sh\ncase \"$0\" in *another*) sed -u '{SLOW}' | exec '{BITBENCH}' \"$@\";; *) exec '{BITBENCH}' \"$@\";; esac\n"
    );
    script_of(&bench, "base", &script);
    let ran = gate(&bench, "./base", BITBENCH, "").expect(8);
    assert!(told(&ran).contains("differs from itself"), "{}", ran.out);
    assert!(bench.read("out/gate.junit.xml").contains("failures=\"0\""));
    bench.run("gate --judge out --allow contaminated").expect(0);
    bench.run("gate --judge out --allow inconclusive").expect(8);
}

#[test]
fn a_base_that_cannot_be_measured_is_inconclusive() {
    let bench = bench();
    // It answers, and ends when it is asked to decode.
    build(&bench, "short", r#"/"decode":/q"#);
    let ran = gate(&bench, "./short", BITBENCH, "").expect(7);
    assert!(told(&ran).contains("the base build failed"), "{}", ran.out);
    bench.run("gate --judge out --allow inconclusive").expect(0);
}

#[test]
fn what_cannot_find_anything_or_is_no_build_is_refused() {
    let bench = bench();
    let base =
        format!("gate --suite mine.toml --policy policy.toml --base-bin {BITBENCH} --out out");
    for (arguments, words) in [
        (
            "gate --suite mine.toml".to_owned(),
            ["--base-bin", "--base-rev"],
        ),
        (
            format!("{base} --time-budget 1s"),
            ["are too short", "--time-budget"],
        ),
        (
            format!("{base} --new-bin nowhere"),
            ["nowhere", "the new build"],
        ),
        (
            format!("{base} --new-bin mine.toml"),
            ["the new build", "mine.toml"],
        ),
        (
            format!("{base} --kernel none"),
            ["no kernel variant", "none"],
        ),
        (
            "gate --base-rev no-such-revision".to_owned(),
            ["no-such-revision", "git does not know"],
        ),
        ("gate --judge .".to_owned(), ["screen", "No such file"]),
    ] {
        bench.run(&arguments).expect(2).says(&words);
    }
    for (policy, words) in [
        (
            "confirm_rounds = 6\nmost_rounds = 6\n",
            ["`confirm_rounds` must be", "cannot find"],
        ),
        ("confirm_rounds = 7\n", ["`confirm_rounds` is 7", "even"]),
        (
            "decode_percent = 0.0\n",
            ["`decode_percent` is 0", "policy.toml"],
        ),
        ("speed = 1.0\n", ["unknown field", "policy.toml"]),
    ] {
        bench.file("policy.toml", policy);
        bench.run(&base).expect(2).says(&words);
    }
    assert!(!bench.has("out/screen"));
}

#[test]
fn the_noise_of_the_host_is_remembered_and_no_limit_is_below_it() {
    let bench = bench();
    let run = |new: &str, out: &str| {
        bench.run(&format!(
            "gate --suite mine.toml --policy policy.toml --base-bin {BITBENCH} --new-bin {new} --history noise.sqlite --out {out}"
        ))
    };
    run(BITBENCH, "first").expect(0);
    let path = bench.path().join("noise.sqlite");
    let mut history = History::existing(&path).unwrap();
    let stored = history.controls().unwrap();
    // Those of the screening run, and of the confirming one where a busy machine asked for it.
    let figures: Vec<&str> = stored.iter().map(|(_, row)| &*row.figure).collect();
    assert_eq!(figures[..2], ["decode", "prefill"]);
    // Twenty sessions on a machine that differs from itself by a factor of twenty.
    let restless: Vec<ControlRow> = (0..20)
        .flat_map(|session| {
            stored.iter().map(move |(_, row)| ControlRow {
                ratio: 20.0,
                at: format!("2026-01-{:02}T00:00:00Z", session + 1),
                ..row.clone()
            })
        })
        .collect();
    let screen = Records::read(&bench.path().join("first/screen")).unwrap();
    history.add_controls(&screen.run.host, &restless).unwrap();
    drop(history);
    build(&bench, "slow", SLOW);
    run("./slow", "second").expect(0);
    let told: Value = serde_json::from_str(&bench.read("second/gate.json")).unwrap();
    let decode = &told["cells"][0];
    assert_eq!(decode["limit_is_noise"], true, "{told:#}");
    assert!(decode["limit_percent"].as_f64().unwrap() > 1000.0);
}

#[test]
fn a_stored_run_of_this_host_takes_the_place_of_a_build() {
    let bench = bench();
    bench
        .run("run --suite mine.toml --no-control --out before")
        .expect(0);
    let gate = "gate --suite mine.toml --policy policy.toml";
    let list = bench.run(&format!("{gate} --baseline before --out out --list"));
    assert!(list.expect(0).out.contains("tiny/i2s-scalar/1"));
    assert!(!bench.has("out"), "nothing was measured");
    let ran = bench.run(&format!("{gate} --baseline before --out out"));
    // Two rounds do not tell, and a busy machine may have changed.
    let code = ran.status.code();
    assert!([Some(7), Some(8)].contains(&code), "{code:?} {}", ran.out);
    for word in ["held against a stored run", "decode", "200.0 %"] {
        assert!(told(&ran).contains(word), "no `{word}` in {}", ran.out);
    }
    let verdict = bench.read("out/gate.json");
    fs::remove_file(bench.path().join("out/gate.json")).unwrap();
    let again = bench.run(&format!("{gate} --baseline before --judge out"));
    assert_eq!(again.status.code(), code);
    assert_eq!(bench.read("out/gate.json"), verdict, "the verdict again");
    bench
        .run("gate --baseline before --judge out")
        .expect(2)
        .says(&["--suite mine"]);
    bench
        .run(&format!("{gate} --baseline nowhere --out other"))
        .expect(2)
        .says(&["nowhere"]);
    let path = bench.path().join("before/records.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    let mut run: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    run["host"]["cpu"] = "Another CPU".into();
    let rest: Vec<&str> = text.lines().skip(1).collect();
    fs::write(&path, format!("{run}\n{}\n", rest.join("\n"))).unwrap();
    bench
        .run(&format!("{gate} --baseline before --out other"))
        .expect(2)
        .says(&["another machine", "Another CPU"]);
    assert!(!bench.has("other/screen"), "nothing was measured");
}

#[test]
fn an_interrupted_gate_has_no_verdict() {
    let bench = bench();
    let mut running = bench.start(&format!(
        "gate --suite mine.toml --base-bin {BITBENCH} --new-bin {BITBENCH} --out out"
    ));
    running.wait_for("a sample", || {
        let lines = bench.records_so_far("out/screen");
        (!lines.is_empty()).then_some(())
    });
    running.signal(Signal::INT);
    running.end().expect(130).says(&["there is no verdict"]);
    assert!(!bench.has("out/gate.json") && !bench.has("out/builds"));
    assert!(
        bench
            .read("out/screen/records.jsonl")
            .contains("\"interrupted\":true")
    );
}
