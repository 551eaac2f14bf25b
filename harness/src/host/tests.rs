//! Machines as trees of files.

use super::*;
use bitbench_reports::record::{CacheInfo, CoreKind, Limits, MemoryNode, Moment, Settings, unlike};
use std::fs;

#[test]
fn fields_and_choices_are_found() {
    assert_eq!(
        field("a : b\nmicrocode\t: 0xb00\n", "microcode").as_deref(),
        Some("0xb00")
    );
    assert_eq!(field("a : b", "c"), None);
    assert_eq!(chosen("always [madvise] never").as_deref(), Some("madvise"));
    assert_eq!(chosen("nothing"), None);
}

/// A tree of files in the place of `/`.
struct Machine(tempfile::TempDir);

impl Machine {
    fn new(files: &[(&str, &str)]) -> Machine {
        let machine = Machine(tempfile::tempdir().expect("temp dir"));
        for (name, text) in files {
            machine.file(name, text);
        }
        machine
    }

    fn file(&self, name: &str, text: &str) {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("create");
        fs::write(path, format!("{text}\n")).expect("write");
    }

    fn cpu(&self, cpu: u32, package: u32, core: u32, files: &[(&str, &str)]) {
        let folder = format!("sys/devices/system/cpu/cpu{cpu}");
        self.file(
            &format!("{folder}/topology/physical_package_id"),
            &package.to_string(),
        );
        self.file(&format!("{folder}/topology/core_id"), &core.to_string());
        for (name, text) in files {
            self.file(&format!("{folder}/{name}"), text);
        }
    }

    fn cache(&self, cpu: u32, index: u32, (level, kind, size): (u32, &str, &str), shared: &str) {
        let folder = format!("sys/devices/system/cpu/cpu{cpu}/cache/index{index}");
        self.file(&format!("{folder}/level"), &level.to_string());
        self.file(&format!("{folder}/type"), kind);
        self.file(&format!("{folder}/size"), size);
        self.file(&format!("{folder}/shared_cpu_list"), shared);
    }

    fn host(&self) -> Host {
        from_files(&Roots::at(self.0.path()))
    }
}

fn hardware(host: &Host) -> &Hardware {
    host.hardware.as_ref().expect("hardware")
}

fn settings(host: &Host) -> &Settings {
    host.settings.as_ref().expect("settings")
}

fn limits(host: &Host) -> &Limits {
    host.limits.as_ref().expect("limits")
}

/// A desktop with two fast cores of two threads each and four slow ones.
fn hybrid_intel() -> Machine {
    let machine = Machine::new(&[
        ("sys/devices/system/cpu/online", "0-7"),
        ("sys/devices/cpu_core/cpus", "0-3"),
        ("sys/devices/cpu_atom/cpus", "4-7"),
        ("sys/devices/system/cpu/smt/control", "on"),
        ("sys/devices/system/cpu/intel_pstate/no_turbo", "0"),
        (
            "sys/devices/system/cpu/cpufreq/policy0/scaling_driver",
            "intel_pstate",
        ),
        (
            "sys/devices/system/cpu/cpufreq/policy0/scaling_governor",
            "powersave",
        ),
        (
            "sys/devices/system/cpu/cpufreq/policy0/energy_performance_preference",
            "balance_performance",
        ),
        (
            "sys/devices/system/cpu/cpufreq/policy0/scaling_min_freq",
            "800000",
        ),
        (
            "sys/devices/system/cpu/cpufreq/policy0/scaling_max_freq",
            "5200000",
        ),
        (
            "sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq",
            "4900000",
        ),
        (
            "sys/devices/system/cpu/cpufreq/policy4/scaling_governor",
            "performance",
        ),
        (
            "sys/devices/system/cpu/cpufreq/policy4/scaling_cur_freq",
            "900000",
        ),
        (
            "sys/kernel/mm/transparent_hugepage/enabled",
            "always [madvise] never",
        ),
        (
            "sys/kernel/mm/transparent_hugepage/defrag",
            "always defer [madvise] never",
        ),
        (
            "proc/cpuinfo",
            "processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 183\nstepping\t: 1\nmicrocode\t: \
             0x11d\nflags\t\t: fpu avx2\n",
        ),
        (
            "proc/cmdline",
            "root=/dev/sda1 quiet isolcpus=2,3 nohz_full=2,3 mitigations=off",
        ),
        ("proc/loadavg", "0.52 0.3 0.2 1/300 4711"),
        (
            "run/udev/data/+dmi:id",
            "I:1\nE:MEMORY_DEVICE_0_CONFIGURED_SPEED_MTS=5600\nE:MEMORY_DEVICE_1_CONFIGURED_SPEED_MTS=5200",
        ),
        ("sys/class/thermal/thermal_zone3/type", "x86_pkg_temp"),
        ("sys/class/thermal/thermal_zone3/temp", "48000"),
    ]);
    for cpu in 0..8 {
        let (core, sharers) = match cpu {
            0 | 1 => (0, "0-1".to_owned()),
            2 | 3 => (4, "2-3".to_owned()),
            slow => (4 + slow, slow.to_string()),
        };
        let most = if cpu < 4 { "5200000" } else { "4000000" };
        let clocks = [
            ("cpufreq/cpuinfo_min_freq", "800000"),
            ("cpufreq/cpuinfo_max_freq", most),
        ];
        machine.cpu(cpu, 0, core, &clocks);
        let first = if cpu < 4 { "48K" } else { "32K" };
        machine.cache(cpu, 0, (1, "Data", first), &sharers);
        let second = if cpu < 4 {
            ("2048K", &*sharers)
        } else {
            ("4096K", "4-7")
        };
        machine.cache(cpu, 2, (2, "Unified", second.0), second.1);
        machine.cache(cpu, 3, (3, "Unified", "36M"), "0-7");
    }
    machine
}

#[test]
fn a_hybrid_of_intel() {
    let host = hybrid_intel().host();
    let kind = |name: &str, cpus: &str, cores, khz| CoreKind {
        name: name.to_owned(),
        cpus: cpus.to_owned(),
        cores,
        khz: Some(khz),
    };
    let hardware = hardware(&host);
    assert_eq!(
        hardware.core_kinds,
        [
            kind("performance", "0-3", 2, 5_200_000),
            kind("efficient", "4-7", 4, 4_000_000)
        ]
    );
    let cache = |level, kind: &str, kib: u64, shared_by, count| CacheInfo {
        level,
        kind: kind.to_owned(),
        bytes: kib << 10,
        shared_by,
        count,
    };
    assert_eq!(
        hardware.caches,
        [
            cache(1, "data", 32, 1, 4),
            cache(1, "data", 48, 2, 2),
            cache(2, "unified", 2048, 2, 2),
            cache(2, "unified", 4096, 4, 1),
            cache(3, "unified", 36 << 10, 8, 1),
        ]
    );
    assert_eq!(hardware.model.as_deref(), Some("6/183/1"));
    assert_eq!(hardware.packages, Some(1));
    assert_eq!(hardware.khz, Some((800_000, 5_200_000)));
    assert_eq!(hardware.memory_mega_transfers, Some(5200));
    let settings = settings(&host);
    assert_eq!(settings.governors, ["powersave", "performance"]);
    assert_eq!(settings.boost, Some(true));
    assert_eq!(settings.smt.as_deref(), Some("on"));
    assert_eq!(settings.frequency_driver.as_deref(), Some("intel_pstate"));
    assert_eq!(
        settings.energy_preference.as_deref(),
        Some("balance_performance")
    );
    assert_eq!(settings.allowed_khz, Some((800_000, 5_200_000)));
    assert_eq!(settings.huge_page_defrag.as_deref(), Some("madvise"));
    assert_eq!(
        settings.kernel_options.as_deref(),
        Some(&["isolcpus=2,3", "nohz_full=2,3", "mitigations=off"].map(str::to_owned)[..])
    );
    let moment = host.moment.as_ref().expect("a moment");
    assert_eq!(moment.khz, Some((900_000, 4_900_000)));
    assert_eq!(moment.temperature_millicelsius, Some(48_000));
    assert_eq!(moment.steal_per_mille, None);
    assert_eq!(host.microcode.as_deref(), Some("0x11d"));
    assert_eq!(host.load_centi, Some(52));
    assert_eq!(
        (host.virtualisation.clone(), limits(&host).container.clone()),
        (None, None)
    );
}

#[test]
fn two_sockets_of_amd_with_two_memory_nodes() {
    let machine = Machine::new(&[
        ("sys/devices/system/cpu/online", "0-7"),
        ("sys/devices/system/cpu/cpufreq/boost", "0"),
        ("sys/devices/system/node/node0/cpulist", "0-1,4-5"),
        (
            "sys/devices/system/node/node0/meminfo",
            "Node 0 MemTotal:       1048576 kB\nNode 0 MemFree: 5 kB",
        ),
        ("sys/devices/system/node/node1/cpulist", "2-3,6-7"),
        ("proc/sys/kernel/numa_balancing", "1"),
        ("proc/stat", "cpu  60 0 20 900 0 0 0 20 0 0"),
    ]);
    for cpu in 0..8 {
        machine.cpu(cpu, (cpu / 2) % 2, cpu % 2, &[]);
    }
    let host = machine.host();
    let hardware = hardware(&host);
    assert_eq!(hardware.packages, Some(2));
    assert_eq!(hardware.core_kinds.len(), 1);
    let all = &hardware.core_kinds[0];
    assert_eq!(
        (&*all.name, &*all.cpus, all.cores, all.khz),
        ("all", "0-7", 4, None)
    );
    let node = |node, cpus: &str, bytes| MemoryNode {
        node,
        cpus: cpus.to_owned(),
        bytes,
    };
    assert_eq!(
        hardware.memory_nodes,
        [node(0, "0-1,4-5", Some(1 << 30)), node(1, "2-3,6-7", None)]
    );
    assert_eq!(settings(&host).boost, Some(false));
    assert_eq!(settings(&host).numa_balancing, Some(true));
    assert_eq!(
        host.moment.as_ref().and_then(|m| m.steal_per_mille),
        Some(20)
    );
}

#[test]
fn big_and_little_cores_of_arm() {
    let cpu = |n: u32, part: &str| {
        format!(
            "processor\t: {n}\nCPU implementer\t: 0x41\nCPU part\t: {part}\nCPU revision\t: 1\n"
        )
    };
    let cpu_info = [cpu(0, "0xd05"), cpu(1, "0xd05"), cpu(2, "0xd41")].join("\n");
    let machine = Machine::new(&[
        ("sys/devices/system/cpu/online", "0-2"),
        ("proc/cpuinfo", &cpu_info),
    ]);
    machine.cpu(0, 0, 0, &[("cpu_capacity", "380")]);
    machine.cpu(1, 0, 1, &[("cpu_capacity", "380")]);
    machine.cpu(2, 0, 2, &[("cpu_capacity", "1024")]);
    let host = machine.host();
    let hardware = hardware(&host);
    let kinds: Vec<_> = hardware
        .core_kinds
        .iter()
        .map(|k| (&*k.name, &*k.cpus, k.cores))
        .collect();
    assert_eq!(
        kinds,
        [("capacity 1024", "2", 1), ("capacity 380", "0-1", 2)]
    );
    assert_eq!(
        hardware.model.as_deref(),
        Some("0x41/0xd05/1 + 0x41/0xd41/1")
    );
}

#[test]
fn a_container_with_half_the_time_of_three_cores() {
    let machine = Machine::new(&[
        ("proc/self/cgroup", "0::/docker/abc"),
        (
            "proc/self/status",
            "Name:\tx\nCpus_allowed_list:\t0-3\nMems_allowed_list:\t0",
        ),
        ("sys/fs/cgroup/docker/abc/cpu.max", "150000 100000"),
        ("sys/fs/cgroup/docker/abc/memory.max", "max"),
        ("sys/fs/cgroup/docker/cpu.max", "max 100000"),
        ("sys/fs/cgroup/docker/memory.max", "8589934592"),
    ]);
    let host = machine.host();
    let of_docker = Limits {
        cpu_centi: Some(150),
        memory_bytes: Some(8 << 30),
        cpus: Some("0-3".to_owned()),
        memory_nodes: Some("0".to_owned()),
        container: Some("docker".to_owned()),
    };
    assert_eq!(*limits(&host), of_docker);
    assert_eq!(host.virtualisation.as_deref(), Some("container"));
    // The first version of control groups, in a namespace: the path leads nowhere, the mount has the limits.
    let machine = Machine::new(&[
        (
            "proc/self/cgroup",
            "7:cpu,cpuacct:/../..\n5:memory:/\n3:devices:/",
        ),
        ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1"),
        ("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000"),
        (
            "sys/fs/cgroup/memory/memory.limit_in_bytes",
            "9223372036854771712",
        ),
        (".dockerenv", ""),
    ]);
    let host = machine.host();
    let without = Limits {
        container: Some("docker".to_owned()),
        ..Limits::default()
    };
    assert_eq!(*limits(&host), without);
}

#[test]
fn an_empty_tree_gives_no_fact_and_invents_none() {
    let machine = Machine::new(&[]);
    let host = machine.host();
    assert_eq!(*hardware(&host), Hardware::default());
    assert_eq!(*settings(&host), Settings::default());
    assert_eq!(*limits(&host), Limits::default());
    assert_eq!(host.moment, Some(Moment::default()));
    // Damaged files are as if they were not there.
    for name in [
        "sys/devices/system/cpu/online",
        "sys/devices/system/cpu/cpu0/cpu_capacity",
        "sys/devices/system/cpu/cpufreq/boost",
        "proc/stat",
        "proc/loadavg",
        "proc/self/cgroup",
        "sys/fs/cgroup/cpu.max",
    ] {
        machine.file(name, "\u{0}x 99999999999999999999:: - ");
    }
    let host = machine.host();
    assert_eq!(hardware(&host).core_kinds, []);
    assert_eq!(host.moment, Some(Moment::default()));
    assert_eq!(limits(&host).cpu_centi, None);
}

#[test]
fn a_fingerprint_stays_while_the_machine_works_and_changes_with_it() {
    let machine = hybrid_intel();
    let before = machine.host();
    machine.file("proc/loadavg", "7.52 0.3 0.2 1/300 4711");
    machine.file("sys/class/thermal/thermal_zone3/temp", "91000");
    machine.file(
        "sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq",
        "1200000",
    );
    let after = machine.host();
    assert_ne!(before, after);
    assert_eq!(fingerprint(&before), fingerprint(&after));
    assert_eq!(unlike(&before, &after), Vec::<String>::new());
    machine.file("sys/devices/system/cpu/intel_pstate/no_turbo", "1");
    machine.file("proc/cmdline", "root=/dev/sda1");
    let changed = machine.host();
    assert_ne!(fingerprint(&before), fingerprint(&changed));
    // What one of them does not know is no difference.
    assert_eq!(
        unlike(&before, &changed),
        [
            "boost: on and off",
            "kernel command line: isolcpus=2,3 nohz_full=2,3 mitigations=off and nothing of note"
        ]
    );
    assert_eq!(unlike(&Host::default(), &before), Vec::<String>::new());
}

#[test]
fn this_machine_has_a_fingerprint_that_stays() {
    let cpu = Cpu::detect();
    let (first, second) = (capture(&cpu), capture(&cpu));
    assert!(first.fingerprint.is_some());
    assert_eq!(first.fingerprint, second.fingerprint);
    assert_eq!(unlike(&first, &second), Vec::<String>::new());
}
