//! Memory: of a process, read from outside, and what the allocator of this one hands out.

use cap::Cap;
use std::alloc::System;
use std::fs;

/// Counts what is handed out; the system's allocator does the work.
#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// The most that the allocator of this process had handed out at a time, in bytes.
pub fn allocated_peak() -> u64 {
    ALLOCATOR.max_allocated() as u64
}

/// What `/proc/PID/status` says, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProcessMemory {
    /// Largest resident set so far (VmHWM).
    pub peak_bytes: Option<u64>,
    /// Anonymous pages now (RssAnon).
    pub anonymous_bytes: Option<u64>,
    /// File pages now (RssFile).
    pub file_bytes: Option<u64>,
}

/// Memory of a running process; empty where the system does not tell.
pub fn of_process(id: u32) -> ProcessMemory {
    fs::read_to_string(format!("/proc/{id}/status"))
        .map(|text| parse(&text))
        .unwrap_or_default()
}

/// Bytes that a process had to fetch from storage (`read_bytes` of `/proc/PID/io`); nothing where the system does not tell.
pub fn read_from_storage(id: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{id}/io")).ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("read_bytes:"))?;
    line.trim().parse().ok()
}

fn parse(status: &str) -> ProcessMemory {
    let bytes = |name: &str| {
        let line = status
            .lines()
            .find_map(|l| l.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim()
            .strip_suffix(" kB")?
            .trim()
            .parse::<u64>()
            .ok()?
            .checked_mul(1024)
    };
    ProcessMemory {
        peak_bytes: bytes("VmHWM"),
        anonymous_bytes: bytes("RssAnon"),
        file_bytes: bytes("RssFile"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_a_status_file_are_found() {
        let memory =
            parse("Name:\tx\nVmHWM:\t    1024 kB\nRssAnon:\t 512 kB\nRssFile:\t       0 kB\n");
        let expected = ProcessMemory {
            peak_bytes: Some(1 << 20),
            anonymous_bytes: Some(1 << 19),
            file_bytes: Some(0),
        };
        assert_eq!(memory, expected);
        assert_eq!(parse("VmHWM: lots"), ProcessMemory::default());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_live_process_has_a_peak_and_a_dead_one_has_none() {
        assert!(
            of_process(std::process::id())
                .peak_bytes
                .is_some_and(|bytes| bytes > 1 << 16)
        );
        assert_eq!(of_process(u32::MAX), ProcessMemory::default());
    }
}
