//! What an administrator has set.

use super::chosen;
use crate::roots::{Roots, numbered, read, read_number};
use bitbench_reports::record::Settings;

/// Words of the kernel's command line that change what is measured.
const OPTIONS: [&str; 16] = [
    "isolcpus=",
    "nohz_full=",
    "rcu_nocbs=",
    "nosmt",
    "mitigations=",
    "idle=",
    "intel_idle.max_cstate=",
    "processor.max_cstate=",
    "intel_pstate=",
    "amd_pstate=",
    "cpufreq.",
    "transparent_hugepage=",
    "hugepages=",
    "default_hugepagesz=",
    "numa=",
    "nopti",
];

pub(super) fn of(roots: &Roots) -> Settings {
    let cpu = |name: &str| roots.sys("devices/system/cpu").join(name);
    let policies = numbered(&cpu("cpufreq"), "policy");
    let of_first = |name: &str| read(&policies.first()?.1.join(name));
    let limit = |name: &str| -> Option<u64> { of_first(name)?.parse().ok() };
    let mut governors: Vec<String> = Vec::new();
    for (_, policy) in &policies {
        let governor = read(&policy.join("scaling_governor"));
        governors.extend(governor.filter(|governor| !governors.contains(governor)));
    }
    let is_one = |path: std::path::PathBuf| Some(read_number::<u32>(&path)? != 0);
    let matters = |word: &&str| OPTIONS.iter().any(|option| word.starts_with(option));
    Settings {
        smt: read(&cpu("smt/control")),
        frequency_driver: of_first("scaling_driver"),
        governors,
        energy_preference: of_first("energy_performance_preference"),
        boost: is_one(cpu("intel_pstate/no_turbo"))
            .map(|off| !off)
            .or_else(|| is_one(cpu("cpufreq/boost"))),
        allowed_khz: limit("scaling_min_freq").zip(limit("scaling_max_freq")),
        huge_page_defrag: read(&roots.sys("kernel/mm/transparent_hugepage/defrag"))
            .and_then(|text| chosen(&text)),
        kernel_options: read(&roots.proc("cmdline")).map(|line| {
            let words = line.split_ascii_whitespace().filter(matters);
            words.map(ToOwned::to_owned).collect()
        }),
        numa_balancing: is_one(roots.proc("sys/kernel/numa_balancing")),
    }
}
