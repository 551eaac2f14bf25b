//! Ctrl-C: a run stops at the next safe point and leaves a report of what was measured.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

static REQUESTED: OnceLock<Instant> = OnceLock::new();

/// `timeout` and service managers signal a process and its group at once: what comes so soon is the same request.
const SAME_REQUEST: Duration = Duration::from_secs(1);

/// Listens for SIGINT and SIGTERM. A second request ends the process at once.
///
/// # Errors
/// If the handler cannot be installed.
pub fn listen() -> Result<(), ctrlc::Error> {
    ctrlc::set_handler(|| {
        if REQUESTED.get_or_init(Instant::now).elapsed() > SAME_REQUEST {
            std::process::exit(INTERRUPTED);
        }
    })
}

/// Whether the user asked to stop.
pub fn requested() -> bool {
    REQUESTED.get().is_some()
}

/// Exit code of an interrupted run, 128 + SIGINT as shells have it.
pub const INTERRUPTED: i32 = 130;
