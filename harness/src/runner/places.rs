//! Where the harness runs while a worker is measured: on the cores that the worker leaves it.

use crate::affinity;

/// The CPUs of the harness.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// Those it had when it started, once it has left them.
    own: Option<Vec<u32>>,
}

impl Places {
    /// Keeps all threads of the harness to these CPUs, and says which they are; nothing, and no change, where there are none or
    /// the system refuses.
    pub(super) fn keep_to(&mut self, cpus: Vec<u32>) -> Option<Vec<u32>> {
        if cpus.is_empty() {
            return None;
        }
        let own = affinity::of_thread();
        affinity::bind_process(&cpus).ok()?;
        self.own.get_or_insert(own);
        Some(cpus)
    }

    /// Lets the harness run wherever it could when it started.
    pub(super) fn spread(&mut self) {
        if let Some(own) = self.own.take() {
            // It was there before; if the system took a CPU away meanwhile, the next worker is told where to run all the same.
            let _ = affinity::bind_process(&own);
        }
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        self.spread();
    }
}
