//! Rows of unlike machines are never joined.

use crate::support::{Bench, Suite};
use serde_json::Value;

#[test]
fn a_run_is_not_resumed_on_a_machine_that_differs_in_a_fact_that_stays() {
    let bench = Bench::beside();
    bench.suite(&Suite::default());
    bench.run("run --suite mine.toml --out out").expect(0);
    let records = bench.read("out/records.jsonl");
    let (first, rest) = records.split_once('\n').unwrap();
    let with = |change: &dyn Fn(&mut Value)| {
        let mut run: Value = serde_json::from_str(first).unwrap();
        change(&mut run["host"]);
        bench.file("out/records.jsonl", format!("{run}\n{rest}"));
    };
    let resume = "run --suite mine.toml --out out --resume";
    with(&|host| {
        host["arch"] = "mips".into();
        host["physical_cores"] = 4711.into();
    });
    bench.run(resume).expect(2).says(&[
        "the machine (architecture: mips and ",
        "physical cores for this process: 4711 and ",
        "records.jsonl",
        "differs",
    ]);
    // Load and temperature come and go, and a record of an earlier format does not know half of it.
    with(&|host| {
        host["load_centi"] = 9900.into();
        for name in ["hardware", "settings", "limits", "moment", "fingerprint"] {
            host.as_object_mut().unwrap().remove(name).unwrap();
        }
    });
    bench.run(resume).expect(0);
}

#[test]
fn runs_are_joined_in_one_page_and_ratios_only_where_hosts_are_alike() {
    let bench = Bench::beside();
    bench.suite(&Suite::default());
    for out in ["a", "b"] {
        bench
            .run(&format!("run --suite mine.toml --out {out}"))
            .expect(0);
    }
    bench
        .run("report a b")
        .expect(2)
        .says(&["say where it goes with --out FOLDER"]);
    bench
        .run("report a gone --out both")
        .expect(2)
        .says(&["gone"]);
    bench.run("report a b --out both").expect(0);
    assert!(bench.read("both/report.html").contains("x of A"));

    let records = bench.read("b/records.jsonl");
    let (first, rest) = records.split_once('\n').unwrap();
    let mut run: Value = serde_json::from_str(first).unwrap();
    run["host"]["arch"] = "mips".into();
    bench.file("b/records.jsonl", format!("{run}\n{rest}"));
    bench.run("report a b --out both").expect(0);
    let page = bench.read("both/report.html");
    assert!(page.contains("unlike hosts") && !page.contains("x of A"));
    // One folder, its pages elsewhere.
    bench.run("report a --out c/d").expect(0);
    assert_eq!(bench.read("c/d/report.html"), bench.read("a/report.html"));
}
