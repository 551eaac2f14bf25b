//! External meters: a file that grows and a command that prints.

use crate::sources::{open, values};
use crate::tree::Tree;
use bitbench::energy::sysfs::SysFs;
use bitbench_reports::record::Provenance;
use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs_f64()
}

#[test]
fn a_meter_file_is_followed_from_its_end() {
    let tree = Tree::new();
    tree.file("meter.csv", "t_unix,watts\n");
    let path = tree.root().join("meter.csv");
    let mut file = std::fs::File::options().append(true).open(&path).unwrap();
    let start = now() - 2.0;
    // Far more than is read of the past, in which there is a gap.
    writeln!(file, "5,1.0").unwrap();
    for index in 0..9000 {
        writeln!(file, "{:.6},10.0", start - 90.0 + f64::from(index) * 0.01).unwrap();
    }
    let sys = SysFs::machine();
    let mut source = open("meter-file", &sys, path.to_str().unwrap()).unwrap();
    assert_eq!(source.info().provenance, Provenance::MeasuredExternal);
    let before = values(source.as_mut())[0];
    // 10 W, up to 30 W, and half a line.
    write!(
        file,
        "{:.6},10.0\n{:.6},30.0\n{:.6},3",
        start,
        start + 1.0,
        start + 2.0
    )
    .unwrap();
    let middle = values(source.as_mut())[0];
    // Times are written in microseconds.
    assert!(
        (middle - before).abs_diff(20_100_000) < 100,
        "{}",
        middle - before
    );
    writeln!(file, "0").unwrap();
    assert!((values(source.as_mut())[0] - middle).abs_diff(30_000_000) < 100);
    // A line that is not understood voids what it is part of, and no more.
    writeln!(file, "{:.6},x", start + 2.1).unwrap();
    assert!(source.snapshot().values[0].is_err());
    writeln!(file, "{:.6},30.0", start + 2.2).unwrap();
    assert!(source.snapshot().values[0].is_ok());
    // It is a source of a hundred readings at least, and a minute.
    assert_eq!(source.info().domains[0].min_window, Duration::from_secs(60));
}

#[test]
fn a_meter_that_is_not_understood_or_silent_is_no_source() {
    let tree = Tree::new();
    let sys = SysFs::machine();
    let reason = |text: &str| {
        tree.file("meter.csv", text);
        let path = tree.root().join("meter.csv");
        open("meter-file", &sys, path.to_str().unwrap())
            .err()
            .unwrap()
            .to_string()
    };
    assert!(
        reason("time,watts\n1,2\n").contains("\"time,watts\" is not understood: t_unix and one of")
    );
    assert!(reason("t_unix,watts\n1000,5\n").contains("the last reading of the meter is "));
    assert!(reason("t_unix,watts\n").contains("is empty"));
    assert!(reason("").contains("is empty"));
    let absent = open("meter-file", &sys, "/nonexistent").err().unwrap();
    assert_eq!(absent.to_string(), "no /nonexistent");
}

#[test]
fn a_command_is_followed_and_ends_with_its_meter() {
    let tree = Tree::new();
    let pid = tree.root().join("pid");
    let command = format!(
        "echo $$ > {}; j=0; while :; do echo joules $j.5; j=$((j+1)); sleep 0.05; done",
        pid.display()
    );
    let mut source = open("meter-command", &SysFs::machine(), &command).unwrap();
    let first = values(source.as_mut())[0];
    let deadline = std::time::Instant::now() + Duration::from_secs(4);
    while values(source.as_mut())[0] < first + 3_000_000 {
        assert!(std::time::Instant::now() < deadline, "no further readings");
        std::thread::sleep(Duration::from_millis(20));
    }
    // Whole joules only.
    assert_eq!((values(source.as_mut())[0] - first) % 1_000_000, 0);
    let pid = std::fs::read_to_string(pid).unwrap();
    drop(source);
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
    assert!(stat.is_err(), "{stat:?}");
}

#[test]
fn a_command_that_fails_is_no_source() {
    let sys = SysFs::machine();
    let reason = |command| {
        open("meter-command", &sys, command)
            .err()
            .unwrap()
            .to_string()
    };
    let failed = reason("exit 7");
    assert!(
        failed.contains("the command ended with exit status: 7"),
        "{failed}"
    );
    let odd = reason("echo 12.5 W");
    assert!(odd.contains("\"12.5 W\" is not understood"), "{odd}");
}
