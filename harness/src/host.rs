//! What machine this is. A field that cannot be read is absent, never guessed.

use bitbench_engine::cpu::Cpu;
use bitbench_engine::ops::SharedIsa;
use bitbench_reports::record::Host;
use bitbench_reports::roofline::Cache;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

/// Reads the machine once.
pub fn capture(cpu: &Cpu) -> Host {
    let refresh = RefreshKind::nothing()
        .with_cpu(CpuRefreshKind::nothing())
        .with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = System::new_with_specifics(refresh).ok();
    let cpu_info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let logical = logical_cpus();
    Host {
        cpu: system.as_ref().and_then(|s| cpu_brand(s.cpus().first()?)),
        arch: std::env::consts::ARCH.to_owned(),
        features: cpu.features().map(|f| f.name().to_owned()).collect(),
        physical_cores: physical_cores(Path::new("/sys"), logical),
        logical_cpus: logical,
        memory_bytes: system.map(|s| s.total_memory()).filter(|bytes| *bytes > 0),
        last_level_cache_bytes: caches(Path::new("/sys")).last().map(|c| c.bytes),
        os: os_release(),
        microcode: field(&cpu_info, "microcode"),
        governor: read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        transparent_huge_pages: read("/sys/kernel/mm/transparent_hugepage/enabled")
            .and_then(|text| chosen(&text)),
        virtualisation: virtualisation(&cpu_info),
        load_centi: load_average(),
        shared_isa: SharedIsa::best(cpu).name().to_owned(),
    }
}

fn cpu_brand(cpu: &sysinfo::Cpu) -> Option<String> {
    Some(cpu.brand().trim().to_owned()).filter(|brand| !brand.is_empty())
}

/// Memory that can be had without swapping, in bytes.
pub fn available_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let kib: u64 = field(&text, "MemAvailable")?
        .trim_end_matches(" kB")
        .parse()
        .ok()?;
    let available = kib * 1024;
    // A control group can allow less than the machine has.
    Some(cgroup_memory_left().map_or(available, |left| left.min(available)))
}

fn cgroup_memory_left() -> Option<u64> {
    let limit: u64 = read("/sys/fs/cgroup/memory.max")?.parse().ok()?;
    let used: u64 = read("/sys/fs/cgroup/memory.current")?.parse().ok()?;
    Some(limit.saturating_sub(used))
}

/// Hardware threads this process may use (affinity and control groups considered).
fn logical_cpus() -> u32 {
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Distinct cores among all CPUs of the machine, at most the hardware threads this process may use.
fn physical_cores(sysfs: &Path, logical: u32) -> u32 {
    let Ok(entries) = fs::read_dir(sysfs.join("devices/system/cpu")) else {
        return logical;
    };
    let core = |cpu: &Path| {
        let id = |name: &str| fs::read_to_string(cpu.join("topology").join(name)).ok();
        Some((id("physical_package_id")?, id("core_id")?))
    };
    let cores: BTreeSet<_> = entries.flatten().filter_map(|e| core(&e.path())).collect();
    match u32::try_from(cores.len()) {
        Ok(count @ 1..) => count.min(logical),
        _ => logical,
    }
}

/// The caches that hold data of the first CPU, the first level first.
pub fn caches(sysfs: &Path) -> Vec<Cache> {
    let Ok(entries) = fs::read_dir(sysfs.join("devices/system/cpu/cpu0/cache")) else {
        return Vec::new();
    };
    let cache = |index: &Path| {
        let text = |name: &str| {
            let text = fs::read_to_string(index.join(name)).ok()?;
            Some(text.trim().to_owned())
        };
        // A system that does not tell the type has no caches of instructions in the list.
        if text("type").is_some_and(|kind| kind == "Instruction") {
            return None;
        }
        let kib: u64 = text("size")?.strip_suffix('K')?.parse().ok()?;
        Some(Cache {
            level: text("level")?.parse().ok()?,
            bytes: kib * 1024,
            shared_by: text("shared_cpu_list").and_then(|list| cpus_in(&list)),
        })
    };
    let mut caches: Vec<Cache> = entries.flatten().filter_map(|e| cache(&e.path())).collect();
    caches.sort_by_key(|c| (c.level, c.bytes));
    caches
}

/// How many CPUs a list such as `0-3,8` names.
fn cpus_in(list: &str) -> Option<u32> {
    let mut count = 0;
    for range in list.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        count += last.checked_sub(first)? + 1;
    }
    Some(count)
}

fn os_release() -> Option<String> {
    let kernel = read("/proc/sys/kernel/osrelease").map(|r| format!("Linux {r}"));
    match (System::long_os_version().ok(), kernel) {
        (Some(os), Some(kernel)) => Some(format!("{os}, {kernel}")),
        (os, kernel) => os.or(kernel),
    }
}

fn virtualisation(cpu_info: &str) -> Option<String> {
    let container = Path::new("/.dockerenv").exists() || Path::new("/run/.containerenv").exists();
    let flags = field(cpu_info, "flags").unwrap_or_default();
    let hypervisor = flags.split_whitespace().any(|f| f == "hypervisor");
    let kind = read("/sys/hypervisor/type").or_else(|| read("/sys/class/dmi/id/sys_vendor"));
    match (hypervisor, container) {
        (true, _) => Some(kind.map_or("virtual machine".to_owned(), |k| {
            format!("virtual machine ({k})")
        })),
        (false, true) => Some("container".to_owned()),
        (false, false) => None,
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a load average, rounded"
)]
fn load_average() -> Option<u32> {
    let load: f64 = read("/proc/loadavg")?
        .split_whitespace()
        .next()?
        .parse()
        .ok()?;
    Some((load * 100.0).round() as u32)
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path)
        .ok()
        .map(|text| text.trim().to_owned())
        .filter(|text| !text.is_empty())
}

/// The value of the first `name : value` line.
fn field(text: &str, name: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    })
}

/// The word in brackets: `always [madvise] never`.
fn chosen(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('[')?;
    rest.split_once(']').map(|(word, _)| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_counted_once() {
        let root = tempfile::tempdir().expect("temp dir");
        for (cpu, package, core) in [(0, 0, 0), (1, 0, 0), (2, 0, 1), (3, 1, 0)] {
            let topology = root
                .path()
                .join(format!("devices/system/cpu/cpu{cpu}/topology"));
            fs::create_dir_all(&topology).expect("create");
            fs::write(topology.join("physical_package_id"), format!("{package}\n")).expect("write");
            fs::write(topology.join("core_id"), format!("{core}\n")).expect("write");
        }
        assert_eq!(physical_cores(root.path(), 8), 3);
        assert_eq!(
            physical_cores(root.path(), 2),
            2,
            "never more than the process may use"
        );
        assert_eq!(physical_cores(&root.path().join("nothing"), 4), 4);
    }

    #[test]
    fn caches_of_data_are_found_in_order() {
        let root = tempfile::tempdir().expect("temp dir");
        for (index, level, kind, size, shared) in [
            (0, 1, "Data", "32K", "0"),
            (1, 1, "Instruction", "64K", "0"),
            (2, 3, "Unified", "32768K", "0-3,8-11"),
            (3, 2, "Unified", "512K", "0,8"),
        ] {
            let folder = root
                .path()
                .join(format!("devices/system/cpu/cpu0/cache/index{index}"));
            fs::create_dir_all(&folder).expect("create");
            for (name, text) in [
                ("level", level.to_string()),
                ("type", kind.to_owned()),
                ("size", size.to_owned()),
                ("shared_cpu_list", shared.to_owned()),
            ] {
                fs::write(folder.join(name), text + "\n").expect("write");
            }
        }
        let cache = |level, kib: u64, shared_by| Cache {
            level,
            bytes: kib << 10,
            shared_by: Some(shared_by),
        };
        assert_eq!(
            caches(root.path()),
            [cache(1, 32, 1), cache(2, 512, 2), cache(3, 32768, 8)]
        );
        assert_eq!(caches(&root.path().join("nothing")), []);
        for damaged in ["", "x", "3-1", "0-", "0,,1"] {
            assert_eq!(cpus_in(damaged), None, "{damaged}");
        }
    }

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
}
