//! Counters that may not be read: with scripted errors, and for real as another user.

use crate::tree::{CLIENT_RANGE, INTEL, Tree, as_nobody, reachable};
use bitbench::energy::reading::{ReadFault, Snapshot};
use bitbench::energy::sysfs::{CounterFile, Files, RealFiles};
use bitbench::energy::unavailable::Unavailable;
use bitbench::energy::{EnergySource, Opened, open};
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

const EACCES: i32 = 13;
const EIO: i32 = 5;
const ENODEV: i32 = 19;

/// Prints why a check was not made; `BITBENCH_TEST_EVERY_VARIANT` makes it a failure.
pub(crate) fn skip(reason: &str) {
    assert!(
        std::env::var_os("BITBENCH_TEST_EVERY_VARIANT").is_none(),
        "skipped: {reason}"
    );
    println!("skipped: {reason}");
}

/// Real files, but one of them gives an error: at opening (negative number) or at every read (positive).
struct Failing {
    suffix: &'static str,
    errno: Arc<AtomicI32>,
}

struct FailingCounter {
    inner: Box<dyn CounterFile>,
    errno: Arc<AtomicI32>,
}

impl CounterFile for FailingCounter {
    fn read_start(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.errno.load(Ordering::SeqCst) {
            errno if errno > 0 => Err(io::Error::from_raw_os_error(errno)),
            _ => self.inner.read_start(buffer),
        }
    }
}

impl Files for Failing {
    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        if folder.ends_with(self.suffix) {
            return Err(io::Error::from_raw_os_error(EACCES));
        }
        RealFiles.list(folder)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn CounterFile>> {
        let inner = RealFiles.open(path)?;
        if !path.ends_with(self.suffix) {
            return Ok(inner);
        }
        match self.errno.load(Ordering::SeqCst) {
            errno if errno < 0 => Err(io::Error::from_raw_os_error(-errno)),
            _ => Ok(Box::new(FailingCounter {
                inner,
                errno: Arc::clone(&self.errno),
            })),
        }
    }

    fn mode(&self, _: &Path) -> Option<u32> {
        Some(0o400)
    }
}

fn tree() -> Tree {
    let tree = Tree::new();
    tree.zone("intel-rapl:0", "package-0", CLIENT_RANGE);
    tree.zone("intel-rapl:0:0", "core", CLIENT_RANGE);
    tree.zone("intel-rapl:0:1", "dram", CLIENT_RANGE);
    tree.zone("intel-rapl:1", "package-1", CLIENT_RANGE);
    tree
}

fn failing(tree: &Tree, suffix: &'static str, errno: i32) -> (Opened, Arc<AtomicI32>) {
    let errno = Arc::new(AtomicI32::new(errno));
    let files = Failing {
        suffix,
        errno: Arc::clone(&errno),
    };
    (open(&tree.sys(INTEL).with_files(Arc::new(files))), errno)
}

fn source(opened: Opened) -> Box<dyn EnergySource> {
    match opened {
        Opened::Source(source) => source,
        Opened::Unavailable(reasons) => panic!("{reasons:?}"),
    }
}

#[test]
fn one_counter_without_permission_makes_the_total_unavailable() {
    let tree = tree();
    // A package, memory, a name, and the folder of all zones.
    for (suffix, file) in [
        ("intel-rapl:0/energy_uj", "intel-rapl:0/energy_uj"),
        ("intel-rapl:1/energy_uj", "intel-rapl:1/energy_uj"),
        ("intel-rapl:0:1/energy_uj", "intel-rapl:0:1/energy_uj"),
        ("intel-rapl:1/name", "intel-rapl:1/name"),
        ("class/powercap", ""),
    ] {
        let Opened::Unavailable(reasons) = failing(&tree, suffix, -EACCES).0 else {
            panic!("{suffix}: opened");
        };
        let expected = Unavailable::NoPermission {
            path: tree.zone_path(file),
            mode: Some(0o400),
        };
        assert_eq!(reasons[0], ("powercap", expected), "{suffix}");
        let remedy = reasons[0].1.remedy_for("bitbench").unwrap();
        let zones = tree.zone_path("intel-rapl*/energy_uj");
        assert!(
            remedy.contains(&format!("chmod g+r {} ", zones.display())),
            "{remedy}"
        );
    }
}

#[test]
fn a_part_without_permission_is_left_out_and_said() {
    let tree = tree();
    let source = source(failing(&tree, "intel-rapl:0:0/energy_uj", -EACCES).0);
    let names: Vec<_> = source
        .info()
        .domains
        .iter()
        .map(|d| d.info.name.as_str())
        .collect();
    assert_eq!(names, ["package-0", "package-0/dram", "package-1"]);
    let caveats = source.info().caveats.join("\n");
    assert!(
        caveats.contains("intel-rapl:0:0 package-0/core ("),
        "{caveats}"
    );
}

#[test]
fn a_twin_stands_in_for_a_counter_without_permission() {
    let tree = tree();
    tree.zone("intel-rapl-mmio:1", "package-1", CLIENT_RANGE);
    let source = source(failing(&tree, "intel-rapl:1/energy_uj", -EACCES).0);
    let origin = |name: &str| {
        let domains = &mut source.info().domains.iter();
        domains
            .find(|d| d.info.name == name)
            .unwrap()
            .info
            .origin
            .clone()
    };
    assert!(origin("package-1").ends_with("intel-rapl-mmio:1/energy_uj"));
    assert!(origin("package-0").ends_with("intel-rapl:0/energy_uj"));
}

#[test]
fn errors_in_mid_run_are_faults_of_their_domain() {
    let tree = tree();
    let (opened, errno) = failing(&tree, "intel-rapl:1/energy_uj", 0);
    let mut source = source(opened);
    let mut package_1 = || {
        let Snapshot { values, .. } = source.snapshot();
        assert_eq!(values[..3], [Ok(1_000_000), Ok(1_000_000), Ok(1_000_000)]);
        values[3].clone()
    };
    assert_eq!(package_1(), Ok(1_000_000));
    errno.store(ENODEV, Ordering::SeqCst);
    assert_eq!(package_1(), Err(ReadFault::Gone));
    errno.store(EIO, Ordering::SeqCst);
    assert!(matches!(package_1(), Err(ReadFault::Io { .. })));
    errno.store(EACCES, Ordering::SeqCst);
    assert_eq!(package_1(), Err(ReadFault::Denied));
    errno.store(0, Ordering::SeqCst);
    assert_eq!(package_1(), Ok(1_000_000));
}

#[test]
fn another_user_is_told_what_to_do_about_mode_0400() {
    let tree = tree();
    reachable(tree.root());
    for zone in [
        "intel-rapl:0",
        "intel-rapl:0:0",
        "intel-rapl:0:1",
        "intel-rapl:1",
    ] {
        let counter = tree.zone_path(zone).join("energy_uj");
        let mode = if rustix::process::geteuid().is_root() {
            0o400
        } else {
            0o000
        };
        fs::set_permissions(counter, Permissions::from_mode(mode)).unwrap();
    }
    let output = match as_nobody(&["doctor", "--sysfs-root", tree.root().to_str().unwrap()]) {
        Ok(output) => output,
        Err(reason) => return skip(&reason),
    };
    let counter = tree.zone_path("intel-rapl:0/energy_uj");
    let expected = format!("{} is not readable by this user (mode 0", counter.display());
    for text in [
        "powercap     unavailable",
        &expected,
        "sudo setcap cap_dac_read_search+ep ",
    ] {
        assert!(output.contains(text), "no {text:?} in\n{output}");
    }
}
