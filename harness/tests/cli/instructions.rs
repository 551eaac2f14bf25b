//! Counts of instructions: equal for equal builds, and not for a build that does more.

use crate::support::{BITBENCH, Bench, Ran, runs_here, skip};
use bitbench::gate::instructions::Counter;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// Nothing where nothing counts here, with the reason.
fn counter() -> Option<Counter> {
    match Counter::find() {
        Ok(counter) if runs_here("i2s-avx2") => Some(counter),
        Ok(_) => {
            skip("this CPU has no AVX2");
            None
        }
        Err(reason) => {
            skip(&reason);
            None
        }
    }
}

fn cells(ran: &Ran) -> Vec<Value> {
    let found: Value = serde_json::from_str(&ran.out).unwrap();
    found["cells"].as_array().unwrap().clone()
}

#[test]
fn a_build_takes_as_many_instructions_as_itself() {
    let bench = Bench::beside();
    let Some(counter) = counter() else { return };
    let all = "instructions --json --layer 32x256 --base-bin";
    let of = |kernel: &str| {
        let ran = bench
            .run(&format!("{all} {BITBENCH} --kernel {kernel}"))
            .expect(0);
        let cell = cells(&ran).remove(0);
        assert_eq!(cell["verdict"], "the same", "{cell}");
        let ratio = cell["ratio"].as_f64().unwrap();
        assert!((ratio - 1.0).abs() < 1e-3, "{cell}");
        cell["base"].as_f64().unwrap()
    };
    let (scalar, avx2) = (of("i2s-scalar"), of("i2s-avx2"));
    println!("i2s-scalar {scalar}, i2s-avx2 {avx2}");
    assert!(scalar > 1.5 * avx2, "{scalar} and {avx2}");
    if counter == Counter::Callgrind {
        let ran = bench
            .run(&format!(
                "instructions --kernel i2s-avx512-vnni --base-bin {BITBENCH}"
            ))
            .expect(1);
        let reasons = ["Valgrind cannot run AVX-512", "this CPU has no"];
        assert!(
            reasons.iter().any(|reason| ran.out.contains(reason)),
            "{}",
            ran.out
        );
    }
}

#[test]
fn a_build_that_does_more_is_flagged() {
    let bench = Bench::beside();
    if counter().is_none() {
        return;
    }
    // It answers for a fast kernel with a slow one.
    let script =
        format!("#!/bin/sh\nsed -u 's/\"i2s-avx2\"/\"i2s-scalar\"/' | '{BITBENCH}' \"$@\"\n");
    let wrapper = bench.file("wrapper", script);
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
    let common = "instructions --kernel i2s-avx2 --layer 32x256";
    let ran = bench
        .run(&format!("{common} --base-bin {BITBENCH} --new-bin wrapper"))
        .expect(6);
    assert!(ran.out.contains("more instructions"), "{}", ran.out);
    assert!(
        ran.out.lines().all(|line| line.chars().count() <= 100),
        "{}",
        ran.out
    );
    let ran = bench
        .run(&format!("{common} --base-bin wrapper --new-bin {BITBENCH}"))
        .expect(0);
    assert!(ran.out.contains("fewer instructions"), "{}", ran.out);
    let broken = bench.file("broken", "#!/bin/sh\nexit 3\n");
    fs::set_permissions(&broken, fs::Permissions::from_mode(0o755)).unwrap();
    let ran = bench.run(&format!("{common} --base-bin broken")).expect(1);
    assert!(ran.out.contains("not counted: "), "{}", ran.out);
}

#[test]
fn what_cannot_be_counted_is_wrong_usage() {
    let bench = Bench::beside();
    bench
        .run("instructions --base-bin nowhere")
        .expect(2)
        .says(&["nowhere"]);
    bench
        .run(&format!("instructions --base-bin {BITBENCH} --kernel tea"))
        .expect(2)
        .says(&["no kernel has `tea`"]);
    bench
        .run(&format!("instructions --base-bin {BITBENCH} --layer 0x5"))
        .expect(2)
        .says(&["128x512"]);
}
