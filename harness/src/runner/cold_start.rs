//! A load of a model file that has to come from its disk.

use super::{Runner, Stop, What};
use crate::memory;
use crate::models;
use crate::plan::PlannedJob;
use crate::worker::ModelSource;
use bitbench_reports::record::{ColdStart, Place, Record};
use std::path::Path;
use std::time::Duration;

impl Runner<'_> {
    /// Before the first round of a job of a file, where it was asked for: asks the system to drop the pages of the file, has a
    /// process of its own load it, and stores how long that took and what the disk delivered. Weights that are generated have
    /// no cold start.
    pub(super) fn cold_start(
        &mut self,
        planned: &PlannedJob,
        place: &Place,
        limit: Duration,
    ) -> Result<(), Stop> {
        let ModelSource::File { path, .. } = &planned.source else {
            return Ok(());
        };
        if !self.plan.cold_start || place.round > 0 {
            return Ok(());
        }
        let file_bytes = drop_pages(path).map_err(Stop::Failed)?;
        let job = &planned.job;
        let what = What {
            kernel: &job.kernel,
            head: &job.head,
            portable_head: false,
            threads: job.threads,
            cpus: &[],
        };
        let (worker, loaded) = self.start_worker(planned, &what, limit, |_| {})?;
        let cold = ColdStart {
            place: place.clone(),
            duration_ns: loaded.duration_ns,
            file_bytes,
            storage_bytes: memory::read_from_storage(worker.id()),
        };
        self.journal.append(&Record::ColdStart(cold))?;
        Ok(())
    }
}

/// Asks the system to drop the pages of the files of a model from its memory; gives their size. It may keep some all the same,
/// which what the disk delivers tells.
fn drop_pages(path: &Path) -> Result<u64, String> {
    let mut bytes = 0;
    for path in models::files(path).map_err(|e| e.to_string())? {
        let cannot = |e: std::io::Error| format!("{}: {e}", path.display());
        let file = std::fs::File::open(&path).map_err(cannot)?;
        bytes += file.metadata().map_err(cannot)?.len();
        // What was written and is not on the disk yet cannot be dropped. A file that may not be written to disk now was not
        // written by us.
        let _ = file.sync_all();
        advise(&file).map_err(cannot)?;
    }
    Ok(bytes)
}

#[cfg(target_os = "linux")]
fn advise(file: &std::fs::File) -> std::io::Result<()> {
    Ok(rustix::fs::fadvise(
        file,
        0,
        None,
        rustix::fs::Advice::DontNeed,
    )?)
}

#[cfg(not(target_os = "linux"))]
fn advise(_file: &std::fs::File) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}
