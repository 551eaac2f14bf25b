//! The machine's own `/sys/class/powercap`, as a user without rights, with nothing overridden: in a user and mount namespace
//! in which a tree of the test lies there.

use crate::ledger::{Live, counter};
use crate::permissions::skip;
use crate::tree::{installed, nobody, reachable};
use bitbench::energy::sysfs::SysFs;
use bitbench::meter::Meter;
use bitbench_reports::record::{Energy, Provenance};
use std::path::Path;
use std::process::Output;
use std::time::Duration;

/// Set within the namespace.
const INSIDE: &str = "BITBENCH_TEST_IN_NAMESPACE";

/// Lays a folder over `/sys/class/powercap`, which machines without powercap do not have, and runs the rest.
const SCRIPT: &str = "set -e
    if [ ! -d /sys/class/powercap ]; then mount -t tmpfs none /sys/class; mkdir /sys/class/powercap; fi
    mount --bind \"$1\" /sys/class/powercap
    shift
    exec \"$@\"";

fn in_namespace(powercap: &Path, program: &[&str]) -> std::io::Result<Output> {
    let mut unshare = nobody("unshare");
    unshare
        .args(["-Urm", "sh", "-c", SCRIPT, "sh"])
        .arg(powercap);
    unshare
        .args(program)
        .env(INSIDE, "1")
        .current_dir("/")
        .output()
}

/// Why there are no namespaces for users without rights here.
fn not_here() -> Option<String> {
    let output = nobody("unshare")
        .args(["-Urm", "true"])
        .current_dir("/")
        .output();
    match output {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).into_owned()),
        Err(error) => Some(format!("unshare: {error}")),
    }
}

#[test]
fn the_machines_own_path_is_measured_by_a_user_without_rights() {
    if let Some(reason) = not_here() {
        return skip(&reason);
    }
    let mut live = Live::start(vec![
        counter("intel-rapl:0", "package-0", 45),
        counter("intel-rapl:0:0", "dram", 3),
    ]);
    reachable(live.tree.root());
    let (_bin, test) = installed(&std::env::current_exe().unwrap());
    let inner = ["--exact", "namespace::inside", "--nocapture"];
    let program = [&[test.to_str().unwrap()], &inner[..]].concat();
    let output = in_namespace(&live.tree.zone_path(""), &program).unwrap();
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{stdout}{stderr}");
    let ledger = live.ledger();
    for (name, written) in ["package-0", "package-0/dram"].iter().zip(&ledger) {
        let line = stdout
            .lines()
            .find_map(|l| l.strip_prefix(&format!("{name} ")));
        let numbers: Vec<u64> = line
            .unwrap()
            .split(' ')
            .map(|n| n.parse().unwrap())
            .collect();
        let [start, end, energy] = numbers[..] else {
            panic!("{stdout}");
        };
        for shown in [start, end] {
            assert!(
                written.iter().any(|e| e.shown_uj == shown),
                "{name}: {shown} was never written"
            );
        }
        println!("{name}: {energy} uJ");
        assert_eq!(energy, end - start);
    }
}

/// The part of the test above that runs within the namespace.
#[test]
fn inside() {
    if std::env::var_os(INSIDE).is_none() {
        return;
    }
    let mut meter = Meter::open(&SysFs::machine());
    let window = meter.begin();
    std::thread::sleep(Duration::from_millis(500));
    let Energy::Measured(window) = meter.end(window) else {
        panic!("{:?}", meter.info());
    };
    // Nothing was overridden, so nothing is marked simulated.
    let measured = [Provenance::MeasuredCounter, Provenance::MeasuredVirtualised];
    assert!(measured.contains(&window.provenance), "{window:?}");
    assert!(window.total_joules().is_ok(), "{window:?}");
    for domain in &window.domains {
        let (end, energy) = (domain.end_uj.unwrap(), domain.energy_uj.unwrap().0);
        println!("\n{} {} {end} {energy}", domain.name, domain.start_uj);
    }
}

#[test]
fn doctor_sees_the_machines_own_path() {
    if let Some(reason) = not_here() {
        return skip(&reason);
    }
    let live = Live::start(vec![counter("intel-rapl:0", "package-0", 45)]);
    reachable(live.tree.root());
    let (_bin, bitbench) = installed(Path::new(env!("CARGO_BIN_EXE_bitbench")));
    let output = in_namespace(
        &live.tree.zone_path(""),
        &[bitbench.to_str().unwrap(), "doctor"],
    )
    .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    for text in [
        "  powercap     chosen\n",
        "    package-0 (counted): /sys/class/powercap/intel-rapl:0/energy_uj\n",
    ] {
        assert!(stdout.contains(text), "no {text:?} in\n{stdout}");
    }
    assert!(!stdout.contains("SIMULATED"), "{stdout}");
}
