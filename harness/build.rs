//! Records the git revision the binary is built from.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=../.git/HEAD");
    println!("cargo::rerun-if-changed=../.git/logs/HEAD");
    let git = |args: &[&str]| {
        let output = Command::new("git")
            .args(args)
            .output()
            .ok()
            .filter(|o| o.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let revision = git(&["rev-parse", "--short=10", "HEAD"]).filter(|r| !r.is_empty());
    println!(
        "cargo::rustc-env=BITBENCH_REVISION={}",
        revision.as_deref().unwrap_or("unknown revision")
    );
}
