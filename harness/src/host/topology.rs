//! The physical cores that this process may use, and which of them a worker gets.

use super::cores::{CoreId, HYBRID, core, folder};
use crate::affinity;
use crate::roots::{Roots, list, read, read_number};
use std::collections::BTreeMap;

/// One physical core.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Core {
    /// Its hardware threads that this process may use, in rising order; at least one.
    pub cpus: Vec<u32>,
    /// How fast its kind is: a higher number is a faster core, equal ones are alike as far as the system tells.
    pub performance: u32,
}

/// Where the threads of one worker run, and what is left to the harness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// A CPU for each worker thread.
    pub workers: Vec<u32>,
    /// The CPUs of the other cores; empty where the worker has them all.
    pub harness: Vec<u32>,
}

/// The cores that this process may use, the fast ones first; empty where the system does not tell.
pub fn cores() -> Vec<Core> {
    cores_of(&Roots::machine(), &affinity::of_thread())
}

/// The cores among `allowed` CPUs.
fn cores_of(roots: &Roots, allowed: &[u32]) -> Vec<Core> {
    let kinds: Vec<Vec<u32>> = HYBRID
        .iter()
        .map(|(_, path)| read(&roots.sys(path)).and_then(|text| list(&text)))
        .map(Option::unwrap_or_default)
        .collect();
    let mut cores: BTreeMap<CoreId, Core> = BTreeMap::new();
    for cpu in allowed {
        let folder = folder(roots, *cpu);
        let Some(id) = core(&folder) else {
            // Half a map would bind two threads to one core.
            return Vec::new();
        };
        // Capacities are those of ARM's big.LITTLE; Intel's hybrids list their kinds of cores, the fast ones first.
        let kind = kinds.iter().position(|cpus| cpus.contains(cpu));
        let slower = u32::try_from(kind.unwrap_or(0)).unwrap_or(u32::MAX);
        let performance = read_number(&folder.join("cpu_capacity")).unwrap_or(u32::MAX - slower);
        let core = cores.entry(id).or_insert(Core {
            cpus: Vec::new(),
            performance,
        });
        core.cpus.push(*cpu);
    }
    let mut cores: Vec<Core> = cores.into_values().collect();
    // Stable: within a kind they stay in the order of packages and cores.
    cores.sort_by_key(|core| std::cmp::Reverse(core.performance));
    cores
}

/// How many of these cores can be kept busy by the hardware threads that control groups leave a process; as many as there are
/// threads where the cores are not known.
pub(super) fn count(cores: &[Core], hardware_threads: u32) -> u32 {
    match u32::try_from(cores.len()) {
        Ok(count @ 1..) => count.min(hardware_threads),
        _ => hardware_threads,
    }
}

/// The first hardware thread of as many cores as there are worker threads; nothing where there are not enough.
pub fn place(cores: &[Core], threads: u32) -> Option<Placement> {
    let (workers, others) = cores.split_at_checked(threads as usize)?;
    let mut harness: Vec<u32> = others.iter().flat_map(|core| core.cpus.clone()).collect();
    harness.sort_unstable();
    Some(Placement {
        workers: workers
            .iter()
            .filter_map(|core| core.cpus.first().copied())
            .collect(),
        harness,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A machine with these CPUs: number, package, core, capacity.
    fn machine(cpus: &[(u32, u32, u32, Option<u32>)], atoms: Option<&str>) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a folder");
        let write = |name: String, text: String| {
            let path = root.path().join("sys").join(name);
            fs::create_dir_all(path.parent().expect("in a folder")).expect("create");
            fs::write(path, text + "\n").expect("write");
        };
        for (cpu, package, core, capacity) in cpus {
            let folder = format!("devices/system/cpu/cpu{cpu}");
            write(
                format!("{folder}/topology/physical_package_id"),
                package.to_string(),
            );
            write(format!("{folder}/topology/core_id"), core.to_string());
            if let Some(capacity) = capacity {
                write(format!("{folder}/cpu_capacity"), capacity.to_string());
            }
        }
        if let Some(list) = atoms {
            write("devices/cpu_atom/cpus".to_owned(), list.to_owned());
        }
        root
    }

    fn workers(cores: &[Core], threads: u32) -> (Vec<u32>, Vec<u32>) {
        let placement = place(cores, threads).expect("enough cores");
        (placement.workers, placement.harness)
    }

    #[test]
    fn a_hybrid_intel_gives_its_performance_cores_first_and_one_thread_of_each() {
        // Two performance cores of two threads, numbered after two efficient ones.
        let root = machine(
            &[
                (0, 0, 0, None),
                (1, 0, 1, None),
                (2, 0, 8, None),
                (3, 0, 8, None),
                (4, 0, 9, None),
                (5, 0, 9, None),
            ],
            Some("0-1"),
        );
        let cores = cores_of(&Roots::at(root.path()), &[0, 1, 2, 3, 4, 5]);
        assert_eq!(workers(&cores, 1), (vec![2], vec![0, 1, 4, 5]));
        assert_eq!(workers(&cores, 3), (vec![2, 4, 0], vec![1]));
        assert_eq!(workers(&cores, 4), (vec![2, 4, 0, 1], vec![]));
        assert_eq!(place(&cores, 5), None);
        // A control group that leaves one hardware thread of a core leaves the core.
        assert_eq!(
            workers(&cores_of(&Roots::at(root.path()), &[3, 5]), 2),
            (vec![3, 5], vec![])
        );
    }

    #[test]
    fn big_cores_of_arm_come_first_and_packages_stay_together() {
        let arm = machine(
            &[
                (0, 0, 0, Some(400)),
                (1, 0, 1, Some(400)),
                (2, 0, 2, Some(1024)),
            ],
            None,
        );
        let cores = cores_of(&Roots::at(arm.path()), &[0, 1, 2]);
        assert_eq!(workers(&cores, 2), (vec![2, 0], vec![1]));
        let sockets = machine(
            &[
                (0, 0, 0, None),
                (1, 1, 0, None),
                (2, 0, 1, None),
                (3, 1, 1, None),
            ],
            None,
        );
        let cores = cores_of(&Roots::at(sockets.path()), &[0, 1, 2, 3]);
        assert_eq!(workers(&cores, 3), (vec![0, 2, 1], vec![3]));
    }

    #[test]
    fn an_unknown_machine_binds_nothing() {
        let root = machine(&[(0, 0, 0, None)], None);
        assert_eq!(cores_of(&Roots::at(root.path()), &[0, 1]), []);
        assert_eq!(cores_of(&Roots::at(root.path()), &[]), []);
    }

    #[test]
    fn cores_are_counted_once_and_no_more_than_can_be_used() {
        let root = machine(
            &[
                (0, 0, 0, None),
                (1, 0, 0, None),
                (2, 0, 1, None),
                (3, 1, 0, None),
            ],
            None,
        );
        let of = |allowed: &[u32]| cores_of(&Roots::at(root.path()), allowed);
        assert_eq!(count(&of(&[0, 1, 2, 3]), 8), 3);
        assert_eq!(count(&of(&[0, 1, 2, 3]), 2), 2, "what control groups leave");
        assert_eq!(
            count(&of(&[0, 1]), 2),
            1,
            "two hardware threads of one core"
        );
        assert_eq!(count(&[], 4), 4);
    }
}
