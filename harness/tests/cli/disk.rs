//! A disk that fills up in mid-run.

use crate::support::{Bench, Suite, samples, skip};
use std::path::{Path, PathBuf};
use std::process::Command;

fn suite() -> Suite {
    Suite {
        rounds: 12,
        window_s: 0.01,
        prefill: 8,
        decode: 64,
        ..Suite::default()
    }
}

/// A tiny file system of its own, unmounted on drop.
struct Mount(PathBuf);

impl Mount {
    fn new(at: &Path, bytes: u32) -> Result<Mount, String> {
        std::fs::create_dir(at).unwrap();
        let mut command = Command::new("mount");
        command
            .args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"])
            .arg(at);
        match command.output() {
            Ok(done) if done.status.success() => Ok(Mount(at.to_owned())),
            Ok(done) => Err(String::from_utf8_lossy(&done.stderr).trim().to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_ends_the_run_and_room_lets_it_go_on() {
    let bench = Bench::beside();
    bench.suite(&suite());
    let disk = bench.path().join("disk");
    let mount = match Mount::new(&disk, 24 << 10) {
        Ok(mount) => mount,
        Err(why) => return skip(&format!("no small file system can be mounted here: {why}")),
    };
    let ran = bench.run("run --suite mine.toml --out disk/out").expect(4);
    let ran = ran.says(&["disk/out/records.jsonl", "space", "--resume"]);
    let before = samples(&bench.records("disk/out").lines).count();
    assert!(before > 0, "{}", ran.err);
    // The run moves to a disk with room and goes on.
    let copied = Command::new("cp")
        .arg("-r")
        .arg(disk.join("out"))
        .arg(bench.path().join("out"))
        .status();
    assert!(copied.unwrap().success());
    drop(mount);
    bench
        .run("run --suite mine.toml --out out --resume")
        .expect(0);
    assert!(
        bench
            .csv("out")
            .values()
            .all(|row| row["status"] == "measured")
    );
    let after = samples(&bench.records("out").lines).count();
    assert!(after >= 2 * 12 * 3, "{after}");
    println!("{before} samples before the disk was full, {after} in the end");
}

#[test]
fn a_limit_on_the_size_of_files_ends_the_run_in_the_same_way() {
    let bench = Bench::beside();
    bench.suite(&suite());
    // In blocks of 512 or 1024 bytes, as the shell likes; the signal is ignored, and so the write fails.
    let script = r#"trap '' XFSZ; ulimit -f 20; exec "$0" "$@""#;
    let ran = bench.shell(script, &["run", "--suite", "mine.toml", "--out", "out"]);
    let ran = ran.expect(4).says(&["out/records.jsonl", "--resume"]);
    let before = samples(&bench.records("out").lines).count();
    assert!(before > 0, "{}", ran.err);
    bench
        .run("run --suite mine.toml --out out --resume")
        .expect(0);
    assert!(
        bench
            .csv("out")
            .values()
            .all(|row| row["status"] == "measured")
    );
}

#[test]
fn a_disk_that_is_full_from_the_start_says_so() {
    let bench = Bench::beside();
    bench.suite(&suite());
    let script = r#"trap '' XFSZ; ulimit -f 1; exec "$0" "$@""#;
    let ran = bench.shell(script, &["run", "--suite", "mine.toml", "--out", "out"]);
    ran.expect(4).says(&["out/records.jsonl"]);
    // Nothing was measured, and so nothing is in the way of the same command.
    bench
        .run("run --suite mine.toml --quick --out out")
        .expect(0);
}

#[test]
fn a_disk_without_room_for_a_check_ends_the_run_and_fails_no_row() {
    let bench = Bench::beside();
    // 17 rows of logits, 4 bytes each: 4 kB of `tiny`, 1.4 MB of `wordy`.
    let shapes = bench.read("suites/models.toml");
    let wordy =
        shapes
            .replacen("\"tiny\"", "\"wordy\"", 1)
            .replacen("vocab = 64", "vocab = 20000", 1);
    let one = wordy.split("[[shape]]").nth(1).unwrap();
    bench.file("suites/models.toml", format!("{shapes}[[shape]]{one}"));
    bench.suite(&Suite {
        models: &["tiny", "wordy"],
        ..Suite::default()
    });
    let disk = bench.path().join("disk");
    let mount = match Mount::new(&disk, 512 << 10) {
        Ok(mount) => mount,
        Err(why) => return skip(&format!("no small file system can be mounted here: {why}")),
    };
    let ran = bench.run("run --suite mine.toml --out disk/out").expect(4);
    ran.says(&["check.f32", "space", "--resume"]);
    let copied = Command::new("cp")
        .arg("-r")
        .arg(disk.join("out"))
        .arg(bench.path().join("out"))
        .status();
    assert!(copied.unwrap().success());
    drop(mount);
    bench
        .run("run --suite mine.toml --out out --resume")
        .expect(0);
    let rows = bench.csv("out");
    assert_eq!(rows.len(), 4);
    assert!(
        rows.values().all(|row| row["status"] == "measured"),
        "{rows:?}"
    );
}
