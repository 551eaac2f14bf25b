//! CPUs, cores, packages and memory nodes.

use super::field;
use crate::roots::{Roots, list, numbered, read, read_number};
use bitbench_reports::record::{CoreKind, MemoryNode};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// CPUs that Intel's hybrids list apart, by kind, the fast ones first.
pub(super) const HYBRID: [(&str, &str); 3] = [
    ("performance", "devices/cpu_core/cpus"),
    ("efficient", "devices/cpu_atom/cpus"),
    ("low power", "devices/cpu_lowpower/cpus"),
];

/// Package and core within it. A package can be -1, where the firmware does not number it.
pub(super) type CoreId = (i64, i64);

/// The core of a CPU, from its folder.
pub(super) fn core(cpu: &Path) -> Option<CoreId> {
    let id = |name: &str| read_number(&cpu.join("topology").join(name));
    Some((id("physical_package_id")?, id("core_id")?))
}

/// The CPUs that are online.
pub(super) fn online(roots: &Roots) -> Vec<u32> {
    read(&roots.sys("devices/system/cpu/online"))
        .and_then(|text| list(&text))
        .unwrap_or_default()
}

/// CPU packages of these CPUs.
pub(super) fn packages(roots: &Roots, cpus: &[u32]) -> Option<u32> {
    let core = |cpu: &u32| core(&folder(roots, *cpu));
    let packages: BTreeSet<i64> = cpus.iter().filter_map(core).map(|(p, _)| p).collect();
    u32::try_from(packages.len()).ok().filter(|n| *n > 0)
}

/// Kinds of cores among these CPUs, the fastest first.
pub(super) fn kinds(roots: &Roots, cpus: &[u32]) -> Vec<CoreKind> {
    let kind = |name: String, cpus: Vec<u32>| {
        let cores: BTreeSet<_> = cpus
            .iter()
            .filter_map(|cpu| core(&folder(roots, *cpu)))
            .collect();
        let khz = cpus
            .iter()
            .filter_map(|cpu| limit(roots, *cpu, "cpuinfo_max_freq"));
        (!cores.is_empty()).then(|| CoreKind {
            name,
            cpus: list_of(&cpus),
            cores: u32::try_from(cores.len()).unwrap_or(u32::MAX),
            khz: khz.max(),
        })
    };
    let listed = |(name, path): &(&str, &str)| {
        let named = list(&read(&roots.sys(path))?)?;
        let present = named.into_iter().filter(|cpu| cpus.contains(cpu));
        kind((*name).to_owned(), present.collect())
    };
    let hybrid: Vec<CoreKind> = HYBRID.iter().filter_map(listed).collect();
    if !hybrid.is_empty() {
        return hybrid;
    }
    let mut capacities: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for cpu in cpus {
        let capacity = read_number(&folder(roots, *cpu).join("cpu_capacity")).unwrap_or(0);
        capacities.entry(capacity).or_default().push(*cpu);
    }
    if capacities.len() < 2 {
        return kind("all".to_owned(), cpus.to_vec()).into_iter().collect();
    }
    let of_capacity =
        |(capacity, cpus): (u32, Vec<u32>)| kind(format!("capacity {capacity}"), cpus);
    capacities
        .into_iter()
        .rev()
        .filter_map(of_capacity)
        .collect()
}

/// Lowest and highest clock of the fastest kind of core, in kHz.
pub(super) fn khz(roots: &Roots, kinds: &[CoreKind]) -> Option<(u64, u64)> {
    let fastest = kinds.first()?;
    let cpu = *list(&fastest.cpus)?.first()?;
    Some((limit(roots, cpu, "cpuinfo_min_freq")?, fastest.khz?))
}

fn limit(roots: &Roots, cpu: u32, name: &str) -> Option<u64> {
    read_number(&folder(roots, cpu).join("cpufreq").join(name))
}

/// The folder of a CPU.
pub(super) fn folder(roots: &Roots, cpu: u32) -> PathBuf {
    roots.sys(&format!("devices/system/cpu/cpu{cpu}"))
}

/// Every memory node with its CPUs.
pub(super) fn memory_nodes(roots: &Roots) -> Vec<MemoryNode> {
    let nodes = numbered(&roots.sys("devices/system/node"), "node");
    nodes
        .into_iter()
        .map(|(node, folder)| MemoryNode {
            node,
            cpus: read(&folder.join("cpulist")).unwrap_or_default(),
            bytes: read(&folder.join("meminfo")).and_then(|text| {
                let kib = field(&text, &format!("Node {node} MemTotal"))?;
                let kib: u64 = kib.strip_suffix("kB")?.trim().parse().ok()?;
                kib.checked_mul(1024)
            }),
        })
        .collect()
}

/// Numbers in rising order as a list such as `0-3,8`.
pub(super) fn list_of(numbers: &[u32]) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(*number) => *last = *number,
            _ => ranges.push((*number, *number)),
        }
    }
    let words = ranges.into_iter().map(|(first, last)| {
        if first == last {
            first.to_string()
        } else {
            format!("{first}-{last}")
        }
    });
    words.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_listed_as_ranges() {
        for text in ["0-3,8", "5", "1,3,5-6"] {
            assert_eq!(list_of(&list(text).expect("a list")), text);
        }
        assert_eq!(list_of(&[]), "");
    }
}
