//! Looks at trees of files, and at this machine.

use super::*;
use std::fs;
use std::path::Path;

fn write(root: &Path, name: &str, text: &str) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().expect("a folder")).expect("create");
    fs::write(path, text).expect("write");
}

/// A machine with one worker (process 77, thread 78 beside it) and its child 80.
fn tree(root: &Path) {
    write(
        root,
        "proc/stat",
        "cpu  100 10 20 900 0 5 5 7 0 0\ncpu0 1 2 3\n",
    );
    write(
        root,
        "proc/self/stat",
        "5 (bitbench) S 1 5 5 0 -1 0 9 0 0 0 2 1 500 500",
    );
    write(
        root,
        "proc/77/stat",
        "77 (worker (1)) R 5 77 77 0 -1 0 100 0 3 0 30 4 1 0",
    );
    write(root, "proc/77/task/77/children", "80 ");
    write(
        root,
        "proc/80/stat",
        "80 (child) R 77 77 77 0 -1 0 10 0 0 0 6 0 0 0",
    );
    for thread in [77, 78] {
        let text = "voluntary_ctxt_switches:\t10\nnonvoluntary_ctxt_switches:\t4\n";
        write(root, &format!("proc/77/task/{thread}/status"), text);
    }
    let pressure = "some avg10=0.00 avg60=0.00 avg300=0.00 total=1000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=9\n";
    write(root, "proc/pressure/cpu", pressure);
    write(root, "sys/class/hwmon/hwmon0/name", "nvme\n");
    write(root, "sys/class/hwmon/hwmon0/temp1_input", "90000\n");
    write(root, "sys/class/hwmon/hwmon1/name", "k10temp\n");
    for (number, label, value) in [
        (1, "Tctl", 75_000),
        (3, "Tccd1", 71_000),
        (4, "Tdie", 65_000),
    ] {
        write(
            root,
            &format!("sys/class/hwmon/hwmon1/temp{number}_label"),
            label,
        );
        let value = format!("{value}\n");
        write(
            root,
            &format!("sys/class/hwmon/hwmon1/temp{number}_input"),
            &value,
        );
    }
    for cpu in [0, 1] {
        let folder = format!("sys/devices/system/cpu/cpu{cpu}/thermal_throttle");
        write(root, &format!("{folder}/core_throttle_count"), "7\n");
        write(root, &format!("{folder}/package_throttle_count"), "20\n");
    }
    let policy = |n: u32| format!("sys/devices/system/cpu/cpufreq/policy{n}/stats/time_in_state");
    write(root, &policy(0), "600000 100\n1800000 100\n");
    write(root, &policy(4), "800000 100\n2400000 100\n");
}

#[test]
fn what_happened_between_two_looks_is_their_difference() {
    let folder = tempfile::tempdir().expect("temp dir");
    let root = folder.path();
    tree(root);
    let mut watch = Watch::open(&Roots::at(root));
    watch.attach(77);
    let look = watch.look();
    // 50 ticks of user, 10 of nice, 40 of system: 20 of the worker, 6 of its child, 4 of ours, so 70 of others.
    write(root, "proc/stat", "cpu  150 20 60 950 0 9 9 12 0 0\n");
    write(
        root,
        "proc/self/stat",
        "5 (bitbench) S 1 5 5 0 -1 0 9 0 0 0 4 3 900 900",
    );
    write(
        root,
        "proc/77/stat",
        "77 (worker (1)) R 5 77 77 0 -1 0 140 0 5 0 45 9 1 0",
    );
    write(
        root,
        "proc/80/stat",
        "80 (child) R 77 77 77 0 -1 0 12 0 0 0 12 0 0 0",
    );
    let text = "voluntary_ctxt_switches:\t15\nnonvoluntary_ctxt_switches:\t5\n";
    write(root, "proc/77/task/78/status", text);
    write(
        root,
        "proc/pressure/cpu",
        "some avg10=0.00 avg60=0.00 avg300=0.00 total=1500\n",
    );
    write(
        root,
        "sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count",
        "9\n",
    );
    let policy = |n: u32| format!("sys/devices/system/cpu/cpufreq/policy{n}/stats/time_in_state");
    write(root, &policy(4), "800000 101\n2400000 103\n");
    let (seen, _) = watch.since(&look);
    let expected = Surroundings {
        span_ns: seen.span_ns,
        looks_ns: seen.looks_ns,
        further_spans: 0,
        worker_cpu_ns: Some(26 * TICK_NS),
        worker_system_ns: Some(5 * TICK_NS),
        harness_cpu_ns: Some(4 * TICK_NS),
        others_cpu_ns: Some(70 * TICK_NS),
        steal_ns: Some(5 * TICK_NS),
        major_faults: Some(2),
        minor_faults: Some(42),
        voluntary_switches: Some(5),
        involuntary_switches: Some(1),
        cpu_pressure_ns: Some(500_000),
        memory_pressure_ns: None,
        temperature_millicelsius: Some(65_000),
        throttles: Some(2),
        cpufreq_khz: Some(2_000_000),
    };
    assert_eq!(seen, expected);
    assert!(seen.span_ns > 0 && seen.looks_ns > 0);
}

#[test]
fn what_is_not_there_is_absent_and_says_why() {
    let folder = tempfile::tempdir().expect("temp dir");
    let roots = Roots::at(folder.path());
    let mut watch = Watch::open(&roots);
    watch.attach(77);
    let look = watch.look();
    let (seen, _) = watch.since(&look);
    let nothing = Surroundings {
        span_ns: seen.span_ns,
        looks_ns: seen.looks_ns,
        ..Surroundings::default()
    };
    assert_eq!(seen, nothing);
    for seen in survey(&roots) {
        let reason = seen.state.expect_err("nothing is there");
        assert!(
            reason.contains(&folder.path().display().to_string()),
            "{}: {reason}",
            seen.name
        );
    }
    // A worker that is gone leaves nobody to take from the rest.
    tree(folder.path());
    let mut watch = Watch::open(&roots);
    watch.attach(77);
    let look = watch.look();
    fs::remove_dir_all(folder.path().join("proc/77")).expect("remove");
    let (seen, _) = watch.since(&look);
    assert_eq!((seen.worker_cpu_ns, seen.others_cpu_ns), (None, None));
    assert_eq!(seen.voluntary_switches, None);
    assert_eq!(seen.steal_ns, Some(0));
    assert!(survey(&roots).iter().any(|seen| seen.state.is_ok()));
}

#[test]
fn damaged_files_are_as_if_they_were_not_there() {
    for stat in [
        "",
        "cpu",
        "cpu  1 2 3",
        "cpu  1 2 x 4 5 6 7 8",
        "cpu0 1 2 3 4 5 6 7 8",
        "intr 1",
    ] {
        assert_eq!(parse_system(stat), None, "{stat}");
    }
    let most = u64::MAX;
    assert_eq!(
        parse_system(&format!("cpu  {most} {most} 3 4 5 6 7 8")),
        None
    );
    for pressure in ["", "some", "some avg10=1", "some total=x", "full total=3"] {
        assert_eq!(parse_pressure(pressure), None, "{pressure}");
    }
    assert_eq!(parse_pressure("some avg10=0.00 total=17\n"), Some(17));
}

#[test]
#[cfg(target_os = "linux")]
fn this_machine_tells_the_cpu_time_of_a_process_that_spins() {
    let mut spinner = std::process::Command::new("sh")
        .args(["-c", "while :; do :; done"])
        .spawn()
        .expect("sh");
    let roots = Roots::machine();
    let mut watch = Watch::open(&roots);
    watch.attach(spinner.id());
    let look = watch.look();
    // Until it had a tenth of a second of CPU, however busy the machine is.
    let least = process::times(&roots, spinner.id()).map_or(0, |t| t.cpu_ticks()) + 10;
    let begin = Instant::now();
    while process::times(&roots, spinner.id()).map_or(0, |t| t.cpu_ticks()) < least
        && begin.elapsed() < Duration::from_secs(60)
    {
        std::thread::sleep(Duration::from_millis(10));
    }
    let (of_worker, _) = watch.since(&look);
    spinner.kill().expect("kill");
    spinner.wait().expect("wait");
    assert!(
        of_worker.worker_cpu_ns >= Some(10 * TICK_NS),
        "{of_worker:?}"
    );
    assert!(of_worker.voluntary_switches.is_some() && of_worker.minor_faults.is_some());
}
