//! Which CPUs threads may run on.

use std::io;

/// Binds the calling thread to these CPUs.
///
/// # Errors
/// If the system refuses, as it does for a CPU outside the control group.
#[cfg(target_os = "linux")]
pub fn bind_thread(cpus: &[u32]) -> io::Result<()> {
    Ok(rustix::thread::sched_setaffinity(None, &set(cpus))?)
}

/// The CPUs that the calling thread may run on; empty where the system does not tell.
#[cfg(target_os = "linux")]
pub fn of_thread() -> Vec<u32> {
    use rustix::thread::{CpuSet, sched_getaffinity};
    let Ok(set) = sched_getaffinity(None) else {
        return Vec::new();
    };
    let cpus = (0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu));
    cpus.filter_map(|cpu| u32::try_from(cpu).ok()).collect()
}

/// Binds all threads of this process to these CPUs. A thread that ends meanwhile is none to be bound.
///
/// # Errors
/// If the system refuses.
#[cfg(target_os = "linux")]
pub fn bind_process(cpus: &[u32]) -> io::Result<()> {
    let set = set(cpus);
    for thread in std::fs::read_dir("/proc/self/task")? {
        let name = thread?.file_name();
        let id = name.to_str().and_then(|name| name.parse().ok());
        let Some(id) = id.and_then(rustix::process::Pid::from_raw) else {
            continue;
        };
        match rustix::thread::sched_setaffinity(Some(id), &set) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

#[cfg(target_os = "linux")]
fn set(cpus: &[u32]) -> rustix::thread::CpuSet {
    let mut set = rustix::thread::CpuSet::new();
    for cpu in cpus {
        let cpu = *cpu as usize;
        if cpu < rustix::thread::CpuSet::MAX_CPU {
            set.set(cpu);
        }
    }
    set
}

/// Binds the calling thread to these CPUs.
///
/// # Errors
/// Always: only Linux is known.
#[cfg(not(target_os = "linux"))]
pub fn bind_thread(_cpus: &[u32]) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The CPUs that the calling thread may run on: not known here.
#[cfg(not(target_os = "linux"))]
pub fn of_thread() -> Vec<u32> {
    Vec::new()
}

/// Binds all threads of this process to these CPUs.
///
/// # Errors
/// Always: only Linux is known.
#[cfg(not(target_os = "linux"))]
pub fn bind_process(_cpus: &[u32]) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_where_it_was_bound() {
        let thread = std::thread::spawn(|| {
            let before = of_thread();
            let last = *before.last().expect("a CPU");
            bind_thread(&[last]).expect("one of its own CPUs");
            assert_eq!(of_thread(), [last]);
            bind_thread(&before).expect("back");
            assert_eq!(of_thread(), before);
            assert!(bind_thread(&[]).is_err(), "no CPU is none to run on");
        });
        thread.join().expect("no panic");
    }
}
