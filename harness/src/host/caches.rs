//! Caches, as the system lists them for each CPU.

use crate::roots::{Roots, list, numbered, read};
use bitbench_reports::record::CacheInfo;
use bitbench_reports::roofline::Cache;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The caches that hold data of the first CPU, the first level first.
pub fn caches(sysfs: &Path) -> Vec<Cache> {
    let caches = numbered(&sysfs.join("devices/system/cpu/cpu0/cache"), "index");
    let cache = |(_, index): &(u32, PathBuf)| {
        // A system that does not tell the type has no caches of instructions in the list.
        if read(&index.join("type")).is_some_and(|kind| kind == "Instruction") {
            return None;
        }
        Some(Cache {
            level: read(&index.join("level"))?.parse().ok()?,
            bytes: size(&read(&index.join("size"))?)?,
            shared_by: shared_by(index).map(|(_, cpus)| cpus),
        })
    };
    let mut caches: Vec<Cache> = caches.iter().filter_map(cache).collect();
    caches.sort_by_key(|c| (c.level, c.bytes));
    caches
}

/// All caches of these CPUs, those of one level, kind, size and number of sharers together.
pub(super) fn all(roots: &Roots, cpus: &[u32]) -> Vec<CacheInfo> {
    // Each cache is listed under every CPU that shares it.
    let mut caches: BTreeMap<(u32, String, String), (u64, u32)> = BTreeMap::new();
    for cpu in cpus {
        let folder = roots.sys(&format!("devices/system/cpu/cpu{cpu}/cache"));
        for (_, index) in numbered(&folder, "index") {
            let found = || {
                let level = read(&index.join("level"))?.parse().ok()?;
                let kind = read(&index.join("type"))?.to_lowercase();
                let bytes = size(&read(&index.join("size"))?)?;
                let (sharers, count) = shared_by(&index)?;
                Some(((level, kind, sharers), (bytes, count)))
            };
            caches.extend(found());
        }
    }
    let mut kinds: BTreeMap<(u32, String, u64, u32), u32> = BTreeMap::new();
    for ((level, kind, _), (bytes, shared_by)) in caches {
        *kinds.entry((level, kind, bytes, shared_by)).or_default() += 1;
    }
    kinds
        .into_iter()
        .map(|((level, kind, bytes, shared_by), count)| CacheInfo {
            level,
            kind,
            bytes,
            shared_by,
            count,
        })
        .collect()
}

/// The CPUs that share a cache, as a list and counted.
fn shared_by(index: &Path) -> Option<(String, u32)> {
    let sharers = read(&index.join("shared_cpu_list"))?;
    let count = u32::try_from(list(&sharers)?.len()).ok()?;
    Some((sharers, count))
}

/// Bytes of a size such as `512K`.
fn size(text: &str) -> Option<u64> {
    let (number, shift) = match text.strip_suffix('K') {
        Some(number) => (number, 10),
        None => (text.strip_suffix('M')?, 20),
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

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
    }
}
