//! Records the git revision the binary is built from, and whether its sources were changed since.

use std::process::Command;

fn main() {
    for path in [
        "../.git/HEAD",
        "../.git/logs/HEAD",
        "src",
        "../engine/src",
        "../reports/src",
        "../suites",
    ] {
        println!("cargo::rerun-if-changed={path}");
    }
    let describe = [
        "describe",
        "--always",
        "--dirty=, changed",
        "--abbrev=10",
        "--exclude=*",
    ];
    let output = Command::new("git")
        .args(describe)
        .output()
        .ok()
        .filter(|o| o.status.success());
    let revision = output.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned());
    let revision = revision
        .filter(|r| !r.is_empty())
        .unwrap_or_else(|| "unknown revision".to_owned());
    println!("cargo::rustc-env=BITBENCH_REVISION={revision}");
}
