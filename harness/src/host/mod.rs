//! What machine this is. A field that cannot be read is absent, never guessed.

mod caches;
mod cores;
mod limits;
mod moment;
mod settings;
pub mod topology;

pub use caches::caches;
pub use limits::available_memory;

use crate::roots::{Roots, read};
use bitbench_engine::cpu::Cpu;
use bitbench_engine::ops::SharedIsa;
use bitbench_reports::record::{Hardware, Host};
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

/// Reads the machine once.
pub fn capture(cpu: &Cpu) -> Host {
    let refresh = RefreshKind::nothing()
        .with_cpu(CpuRefreshKind::nothing())
        .with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = System::new_with_specifics(refresh).ok();
    let roots = Roots::machine();
    let logical = logical_cpus();
    let mut host = Host {
        cpu: system.as_ref().and_then(|s| cpu_brand(s.cpus().first()?)),
        arch: std::env::consts::ARCH.to_owned(),
        features: cpu.features().map(|f| f.name().to_owned()).collect(),
        physical_cores: topology::count(&topology::cores(), logical),
        logical_cpus: logical,
        memory_bytes: system.map(|s| s.total_memory()).filter(|bytes| *bytes > 0),
        last_level_cache_bytes: caches(&roots.sys("")).last().map(|c| c.bytes),
        os: os_release(&roots),
        shared_isa: SharedIsa::best(cpu).name().to_owned(),
        ..from_files(&roots)
    };
    host.fingerprint = Some(fingerprint(&host));
    host
}

/// What the files of a system tell, all of it from under `roots`.
pub fn from_files(roots: &Roots) -> Host {
    let cpu_info = read(&roots.proc("cpuinfo")).unwrap_or_default();
    let online = cores::online(roots);
    let core_kinds = cores::kinds(roots, &online);
    Host {
        microcode: field(&cpu_info, "microcode"),
        governor: read(&roots.sys("devices/system/cpu/cpu0/cpufreq/scaling_governor")),
        transparent_huge_pages: read(&roots.sys("kernel/mm/transparent_hugepage/enabled"))
            .and_then(|text| chosen(&text)),
        virtualisation: virtualisation(roots, &cpu_info),
        load_centi: moment::load_average(roots),
        hardware: Some(Hardware {
            model: model(&cpu_info),
            packages: cores::packages(roots, &online),
            online_cpus: (!online.is_empty()).then(|| cores::list_of(&online)),
            caches: caches::all(roots, &online),
            memory_nodes: cores::memory_nodes(roots),
            memory_mega_transfers: memory_speed(roots),
            khz: cores::khz(roots, &core_kinds),
            core_kinds,
        }),
        settings: Some(settings::of(roots)),
        limits: Some(limits::of(roots)),
        moment: Some(moment::of(roots)),
        ..Host::default()
    }
}

/// The hash of all facts that stay.
pub fn fingerprint(host: &Host) -> String {
    let facts = host.stable_facts().into_iter();
    let lines: String = facts
        .map(|(name, fact)| format!("{name}: {fact}\n"))
        .collect();
    format!("blake3:{}", blake3::hash(lines.as_bytes()).to_hex())
}

fn cpu_brand(cpu: &sysinfo::Cpu) -> Option<String> {
    Some(cpu.brand().trim().to_owned()).filter(|brand| !brand.is_empty())
}

/// Hardware threads this process may use (affinity and control groups considered).
fn logical_cpus() -> u32 {
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn os_release(roots: &Roots) -> Option<String> {
    let kernel = read(&roots.proc("sys/kernel/osrelease")).map(|r| format!("Linux {r}"));
    match (System::long_os_version().ok(), kernel) {
        (Some(os), Some(kernel)) => Some(format!("{os}, {kernel}")),
        (os, kernel) => os.or(kernel),
    }
}

/// Family, model and stepping, or what ARM says in their place, once for each kind of CPU.
fn model(cpu_info: &str) -> Option<String> {
    let mut models: Vec<String> = Vec::new();
    for cpu in cpu_info.split("\n\n") {
        let of = |names: [&str; 3]| -> Option<String> {
            let values: Option<Vec<String>> = names.iter().map(|name| field(cpu, name)).collect();
            Some(values?.join("/"))
        };
        let model = of(["cpu family", "model", "stepping"])
            .or_else(|| of(["CPU implementer", "CPU part", "CPU revision"]));
        models.extend(model.filter(|model| !models.contains(model)));
    }
    (!models.is_empty()).then(|| models.join(" + "))
}

fn virtualisation(roots: &Roots, cpu_info: &str) -> Option<String> {
    let flags = field(cpu_info, "flags").unwrap_or_default();
    let hypervisor = flags.split_whitespace().any(|f| f == "hypervisor");
    let kind =
        read(&roots.sys("hypervisor/type")).or_else(|| read(&roots.sys("class/dmi/id/sys_vendor")));
    match (hypervisor, limits::container(roots)) {
        (true, _) => Some(kind.map_or("virtual machine".to_owned(), |k| {
            format!("virtual machine ({k})")
        })),
        (false, Some(_)) => Some("container".to_owned()),
        (false, None) => None,
    }
}

/// The configured speed of the slowest memory module: udev keeps what the firmware tells to root alone.
fn memory_speed(roots: &Roots) -> Option<u32> {
    let entry = read(&roots.path("run/udev/data/+dmi:id"))?;
    let speed = |line: &str| {
        let (key, value) = line.split_once('=')?;
        let wanted = key.starts_with("E:MEMORY_DEVICE_") && key.ends_with("_CONFIGURED_SPEED_MTS");
        wanted.then(|| value.parse::<u32>().ok())?
    };
    entry
        .lines()
        .filter_map(speed)
        .filter(|speed| *speed > 0)
        .min()
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
mod tests;
