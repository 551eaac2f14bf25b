//! `bitbench doctor`: what it prints, for people and for scripts, and its exit codes.

use crate::support::Bench;
use bitbench_engine::kernels::VARIANTS;
use serde_json::Value;

#[test]
fn it_fits_into_80_columns_but_for_reasons_and_commands_that_are_to_be_copied() {
    let bench = Bench::beside();
    let ran = bench.run("doctor").expect(0);
    for part in [
        "Machine",
        "Kernels",
        "Energy",
        "Around each window",
        "Advice",
    ] {
        assert!(
            ran.out.lines().any(|line| line == part),
            "no {part} in {}",
            ran.out
        );
    }
    for line in ran.out.lines() {
        let whole =
            line.starts_with("    why: ") || line.starts_with("    fix: ") || line.contains('/');
        assert!(whole || line.chars().count() <= 80, "{line}");
    }
}

#[test]
fn json_has_what_a_script_asks_for() {
    let bench = Bench::beside();
    let ran = bench.run("doctor --json --probe").expect(0);
    let found: Value = serde_json::from_str(&ran.out).unwrap();
    assert!(
        found["host"]["fingerprint"]
            .as_str()
            .unwrap()
            .starts_with("blake3:")
    );
    assert_eq!(found["kernels"].as_array().unwrap().len(), VARIANTS.len());
    assert!(!found["energy"].as_array().unwrap().is_empty());
    let around = found["around_windows"].as_array().unwrap();
    let others = around
        .iter()
        .find(|a| a["name"] == "CPU time of other processes")
        .unwrap();
    assert_eq!(others["missing"], Value::Null);
    // What is absent says why.
    for one in around.iter().filter(|a| a["missing"] != Value::Null) {
        assert!(one["missing"].as_str().unwrap().len() > 10, "{one}");
    }
    for probe in found["probe"].as_array().unwrap() {
        assert!(probe["barrier_us"].as_f64().unwrap() > 0.0, "{probe}");
        assert!(
            probe["read_gb_per_second"].as_f64().unwrap() > 0.0,
            "{probe}"
        );
    }
    assert!(found.get("noise").is_none());
}

#[test]
fn what_is_required_decides_the_exit_code() {
    let bench = Bench::alone();
    std::fs::create_dir(bench.path().join("empty")).unwrap();
    bench.run("doctor --sysfs-root empty").expect(0);
    bench
        .run("doctor --sysfs-root empty --require energy")
        .expect(3);
    // How noisy this machine is nobody knows; what it says of it decides.
    let ran = bench.run("doctor --json --noise 1 --require quiet");
    let found: Value = serde_json::from_str(&ran.out).unwrap();
    let noise = &found["noise"];
    let percent = |name: &str| noise[name].as_f64().unwrap();
    let worst = percent("compute_percent").max(percent("memory_percent"));
    ran.expect(if worst >= 5.0 { 5 } else { 0 });
    let ran = bench.run("doctor --noise 1").expect(0);
    assert!(ran.out.contains("Noise"), "{}", ran.out);
    let text = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("% cannot be told apart here"), "{text}");
    bench.run("doctor --noise 0").expect(2);
    bench.run("doctor --noise much").expect(2);
    bench.run("doctor --require silence").expect(2);
}
