//! Boards of NVIDIA, by a library of the driver's name that the C compiler of the machine makes.

use bitbench::energy::choice::Choice;
use bitbench::energy::reading::Snapshot;
use bitbench::energy::sysfs::SysFs;
use bitbench::energy::{Opened, open_choice};
use bitbench_reports::record::{DomainKind, Provenance};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

/// Two boards: one takes 50 W by the clock of the machine, the other a joule from reading to reading. `BITBENCH_BOARDS` in the
/// environment makes it another machine.
const LIBRARY: &str = r#"
#include <stdlib.h>
#include <string.h>
#include <time.h>
static const char *kind(void) { const char *k = getenv("BITBENCH_BOARDS"); return k ? k : ""; }
int nvmlInit_v2(void) { return strcmp(kind(), "no-driver") ? 0 : 9; }
int nvmlShutdown(void) { return 0; }
const char *nvmlErrorString(int code) { return "an error"; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = strcmp(kind(), "none") ? 2 : 0; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) { *device = (void *)(size_t)(index + 1); return index < 2 ? 0 : 2; }
int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *mj) {
    static unsigned long long steps;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (device == (void *)2) {
        if (!strcmp(kind(), "old")) return 3;
        *mj = 1000 * ++steps;
        return 0;
    }
    *mj = (now.tv_sec * 1000ull + now.tv_nsec / 1000000) * 50;
    return 0;
}
"#;

/// A folder with the library, for `LD_LIBRARY_PATH`.
fn library() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("nvml.c");
    fs::write(&source, LIBRARY).unwrap();
    let made = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .arg(folder.path().join("libnvidia-ml.so.1"))
        .arg(&source)
        .status()
        .expect("a C compiler");
    assert!(made.success());
    folder
}

/// What `bitbench doctor` says of nvml, with that library and that machine.
fn doctor(library: &Path, boards: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bitbench"))
        .args(["doctor", "--energy", "nvml"])
        .env("LD_LIBRARY_PATH", library)
        .env("BITBENCH_BOARDS", boards)
        .output()
        .unwrap()
}

#[test]
fn boards_are_metered_by_the_library_of_their_driver() {
    let library = library();
    // The loader looks at the variable when a process starts.
    let out = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "nvml::two_readings", "--ignored", "--nocapture"])
        .env("LD_LIBRARY_PATH", library.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(
        out.status.success() && said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let said = doctor(library.path(), "");
    assert!(said.status.success());
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(
        said.contains("nvml") && said.contains("gpu-0") && said.contains("gpu-1"),
        "{said}"
    );
}

#[test]
#[ignore = "a part of the test above, in a process of its own"]
fn two_readings() {
    let choice: Choice = "nvml".parse().unwrap();
    let Opened::Source(mut source) = open_choice(&SysFs::machine(), &choice) else {
        panic!("nvml did not open");
    };
    let info = source.info().clone();
    assert_eq!(info.provenance, Provenance::MeasuredCounter);
    let names: Vec<&str> = info.domains.iter().map(|d| d.info.name.as_str()).collect();
    assert_eq!(names, ["gpu-0", "gpu-1"]);
    assert!(
        info.domains
            .iter()
            .all(|d| d.info.counted && d.info.kind == DomainKind::Board)
    );
    assert!(info.caveats[0].contains("neither the CPU"));
    let first = source.snapshot();
    std::thread::sleep(Duration::from_millis(300));
    let last = source.snapshot();
    let joules = |board: usize| -> f64 {
        let value = |snapshot: &Snapshot| *snapshot.values[board].as_ref().unwrap();
        let ticks = value(&last) - value(&first);
        info.domains[board].tick().microjoules(u128::from(ticks)) as f64 * 1e-6
    };
    // Between the two readings, to the millisecond that the clock of the library has.
    let shortest = (last.before - first.after).as_secs_f64() - 0.001;
    let longest = (last.after - first.before).as_secs_f64() + 0.001;
    assert!(
        (shortest * 50.0..=longest * 50.0).contains(&joules(0)),
        "{}",
        joules(0)
    );
    assert_eq!(joules(1), 1.0);
}

#[test]
fn a_board_without_a_counter_is_no_smaller_sum() {
    let library = library();
    for (boards, word) in [
        ("old", "gpu-1 has no energy counter"),
        ("none", "the NVIDIA driver sees no board"),
        ("no-driver", "no NVIDIA driver (libnvidia-ml.so.1: "),
    ] {
        let out = doctor(library.path(), boards);
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        assert_eq!(out.status.code(), Some(3), "{boards}: {said}");
        assert!(said.contains(word), "{boards}: {said}");
    }
}

#[test]
fn a_tree_of_files_has_no_boards() {
    let tree = tempfile::tempdir().unwrap();
    let choice: Choice = "nvml".parse().unwrap();
    let Opened::Unavailable(reasons) = open_choice(&SysFs::at(tree.path()), &choice) else {
        panic!("it opened");
    };
    assert_eq!(reasons[0].0, "nvml");
    assert!(reasons[0].1.to_string().contains("--sysfs-root"));
}
