//! The threads of a worker, bound to CPUs.

use crate::affinity;
use bitbench_engine::threads::Pool;

/// A pool of threads, each bound to its CPU where there is one for each, and the CPUs as the system told them afterwards.
///
/// The caller is the first of them. What loads a model beside it (the threads of the packer) keeps the CPUs it had.
///
/// # Errors
/// If there are no threads to be had, or a CPU that cannot be bound to.
pub(super) fn pool(threads: usize, cpus: &[u32]) -> Result<(Pool, Option<Vec<u32>>), String> {
    if cpus.is_empty() {
        let pool = Pool::new(threads).map_err(|e| no_threads(threads, &e))?;
        return Ok((pool, None));
    }
    if cpus.len() != threads {
        return Err(format!("{} CPUs for {threads} threads", cpus.len()));
    }
    let (send, bound) = std::sync::mpsc::channel();
    let wanted = cpus.to_vec();
    let pool = Pool::starting_with(threads, move |index| {
        let result = affinity::bind_thread(&wanted[index..=index]).map(|()| affinity::of_thread());
        // Whoever listens does so until all threads have started.
        let _ = send.send((index, result));
    })
    .map_err(|e| no_threads(threads, &e))?;
    let mut seen = vec![u32::MAX; threads];
    // All threads have started, so all have said it.
    for (index, result) in bound.try_iter() {
        let at = result.map_err(|e| format!("cannot bind a thread to CPU {}: {e}", cpus[index]))?;
        match at[..] {
            [cpu] if cpu == cpus[index] => seen[index] = cpu,
            _ => return Err(format!("a thread for CPU {} is on {at:?}", cpus[index])),
        }
    }
    match seen.contains(&u32::MAX) {
        true => Err("a thread did not say which CPU it is on".to_owned()),
        false => Ok((pool, Some(seen))),
    }
}

fn no_threads(threads: usize, error: &std::io::Error) -> String {
    format!("{threads} threads cannot be started: {error}")
}
