//! Stored runs of two builds, held against each other.

use crate::support::{Bench, Suite};
use serde_json::Value;

#[test]
fn two_runs_of_a_suite_are_compared_and_of_two_suites_are_not() {
    let bench = Bench::beside();
    bench.suite(&Suite {
        window_s: 0.02,
        ..Suite::default()
    });
    for out in ["a", "b", "c"] {
        bench
            .run(&format!("run --suite mine.toml --no-control --out {out}"))
            .expect(0);
    }
    let ran = bench.run("compare a,b c").expect(0);
    for word in [
        "old: a, b, bitbench ",
        "tiny/i2s-scalar/1",
        "decode",
        "prefill",
        "peak memory",
        "(4 and 2 rounds give no interval)",
        "the machine itself: ",
        "in the geometric mean of 2 cells",
        "one after the other",
    ] {
        assert!(ran.out.contains(word), "no `{word}` in {}", ran.out);
    }
    assert!(
        ran.out.lines().all(|line| line.chars().count() <= 100),
        "{}",
        ran.out
    );
    let ran = bench.run("compare --json a b").expect(0);
    let found: Value = serde_json::from_str(&ran.out).unwrap();
    let cells = found["cells"].as_array().unwrap();
    assert_eq!(cells.len(), 6, "{found}");
    assert!(
        cells
            .iter()
            .all(|cell| cell["old_rounds"] == 2 && cell["low"].is_null())
    );

    bench.suite(&Suite {
        window_s: 0.03,
        ..Suite::default()
    });
    bench
        .run("run --suite mine.toml --no-control --out other")
        .expect(0);
    bench
        .run("compare a other")
        .expect(2)
        .says(&["another text", "--force"]);
    let ran = bench.run("compare a other --force").expect(0);
    assert!(
        ran.out.contains("CARE: suite mine was another text"),
        "{}",
        ran.out
    );
    bench.run("compare a nowhere").expect(2).says(&["nowhere"]);
}
