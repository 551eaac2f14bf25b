//! What control groups, containers and affinity leave to this process.

use super::field;
use crate::roots::{Roots, read};
use bitbench_reports::record::Limits;
use std::path::{Component, Path, PathBuf};

/// A limit of memory above this is none: the first version of control groups has no word for it.
const NO_LIMIT: u64 = 1 << 60;

pub(super) fn of(roots: &Roots) -> Limits {
    let status = read(&roots.proc("self/status")).unwrap_or_default();
    Limits {
        cpu_centi: cpu_centi(roots),
        memory_bytes: memory(roots, "memory.max", "memory.limit_in_bytes"),
        cpus: field(&status, "Cpus_allowed_list"),
        memory_nodes: field(&status, "Mems_allowed_list"),
        container: container(roots),
    }
}

/// Memory that can be had without swapping, in bytes.
pub fn available_memory() -> Option<u64> {
    let roots = Roots::machine();
    let text = read(&roots.proc("meminfo"))?;
    let kib: u64 = field(&text, "MemAvailable")?
        .trim_end_matches(" kB")
        .parse()
        .ok()?;
    let available = kib.checked_mul(1024)?;
    // A control group can allow less than the machine has.
    Some(memory_left(&roots).map_or(available, |left| left.min(available)))
}

fn memory_left(roots: &Roots) -> Option<u64> {
    let left = |folder: &PathBuf| {
        let number = |name: &str| read(&folder.join(name))?.parse::<u64>().ok();
        let (limit, used) = match number("memory.max") {
            Some(limit) => (limit, number("memory.current")?),
            None => (
                number("memory.limit_in_bytes").filter(|limit| *limit < NO_LIMIT)?,
                number("memory.usage_in_bytes")?,
            ),
        };
        Some(limit.saturating_sub(used))
    };
    groups(roots, "memory").iter().filter_map(left).min()
}

/// The least memory that any group above this process allows.
fn memory(roots: &Roots, name: &str, old_name: &str) -> Option<u64> {
    let limit = |folder: &PathBuf| {
        let text = read(&folder.join(name)).or_else(|| read(&folder.join(old_name)))?;
        text.parse::<u64>().ok().filter(|bytes| *bytes < NO_LIMIT)
    };
    groups(roots, "memory").iter().filter_map(limit).min()
}

/// The least CPU time that any group above this process allows, in hundredths of a core.
fn cpu_centi(roots: &Roots) -> Option<u64> {
    let limit = |folder: &PathBuf| {
        let (quota, period) = match read(&folder.join("cpu.max")) {
            Some(text) => {
                let (quota, period) = text.split_once(' ')?;
                (
                    quota.parse::<u64>().ok()?,
                    period.trim().parse::<u64>().ok()?,
                )
            }
            None => (
                read(&folder.join("cpu.cfs_quota_us"))?.parse().ok()?,
                read(&folder.join("cpu.cfs_period_us"))?.parse().ok()?,
            ),
        };
        quota.checked_mul(100)?.checked_div(period)
    };
    groups(roots, "cpu").iter().filter_map(limit).min()
}

/// The folders of the control groups that this process is in, from its own to the root of what is mounted.
fn groups(roots: &Roots, controller: &str) -> Vec<PathBuf> {
    let mount = roots.sys("fs/cgroup");
    let mut folders = Vec::new();
    for line in read(&roots.proc("self/cgroup")).unwrap_or_default().lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else {
            continue;
        };
        let root = match controllers {
            "" => mount.clone(),
            list if list.split(',').any(|one| one == controller) => mount.join(controller),
            _ => continue,
        };
        // In a namespace the path can lead out of what is mounted.
        let path = Path::new(path.trim_start_matches('/'));
        let inside = path
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        let below = path
            .ancestors()
            .filter(|part| inside && !part.as_os_str().is_empty());
        folders.extend(below.map(|part| root.join(part)));
        folders.push(root);
    }
    folders
}

/// The container runtime, where one left a sign.
pub(super) fn container(roots: &Roots) -> Option<String> {
    let files = [(".dockerenv", "docker"), ("run/.containerenv", "podman")];
    let by_file = files
        .into_iter()
        .find(|(path, _)| roots.path(path).exists())
        .map(|(_, name)| name.to_owned());
    let by_group = || {
        let groups = read(&roots.proc("self/cgroup"))?;
        let names = ["kubepods", "docker", "containerd", "lxc"];
        let name = names.into_iter().find(|name| groups.contains(name));
        name.map(ToOwned::to_owned)
    };
    by_file
        .or_else(|| read(&roots.path("run/systemd/container")))
        .or_else(by_group)
}
