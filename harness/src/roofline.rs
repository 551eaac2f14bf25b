//! Measures what the machine allows: plain reads from memory and caches, and multiply-adds in registers.
//!
//! Every limit with every number of threads is a task. A round runs each task once, in an order that the seed gives, so that a machine that
//! gets slower for a while does so for all of them.

use bitbench_engine::cpu::{Cpu, Unsupported};
use bitbench_engine::kernels::PackError;
use bitbench_engine::limits::{PEAKS, Peak, ReadSet, Reader};
use bitbench_engine::threads::Pool;
use bitbench_reports::design::row;
use bitbench_reports::roofline::{Cache, Limit, LimitKind, Sample};
use std::io;
use std::time::{Duration, Instant};

/// Shortest reading: long against the start of the threads, short enough that many rounds fit into seconds.
const READING: Duration = Duration::from_millis(20);
/// Smallest and largest set that stands for memory, in bytes.
const MEMORY_SET: (u64, u64) = (256 << 20, 2 << 30);
/// The set that stands for memory is this many times the last-level cache, as far as there is room.
const BEYOND_CACHE: u64 = 8;
/// Below this many times the last-level cache a set is not memory.
const LEAST_BEYOND_CACHE: u64 = 2;
/// Share of the available memory that the set may take.
const MEMORY_SHARE: u64 = 4;

/// What to measure on.
#[derive(Debug)]
pub struct Machine<'a> {
    /// The CPU.
    pub cpu: &'a Cpu,
    /// Its caches of data, the first level first.
    pub caches: &'a [Cache],
    /// Memory that can be had, in bytes.
    pub available_memory: Option<u64>,
}

/// Why nothing could be measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RooflineError {
    /// The system gave no threads.
    #[error("cannot start {threads} threads: {source}")]
    Threads {
        /// Threads asked for.
        threads: u32,
        /// The cause.
        source: io::Error,
    },
    /// The system gave no memory.
    #[error(transparent)]
    Memory(#[from] PackError),
    /// A peak asked for a feature that the CPU turned out to lack.
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
}

/// What a task does.
enum Work {
    Read {
        /// Bytes for each thread.
        share: usize,
        from_memory: bool,
    },
    Multiply(&'static Peak),
}

/// One limit with one number of threads.
struct Task {
    work: Work,
    pool: usize,
    /// Passes or repeats of a reading.
    repeats: u64,
    limit: usize,
}

/// Measures every limit in `rounds` rounds.
///
/// # Errors
/// See [`RooflineError`]. What this machine cannot show is no error: such a limit has no samples and says why.
///
/// # Panics
/// If a number of threads is 0.
pub fn measure(
    machine: &Machine<'_>,
    threads: &[u32],
    rounds: u32,
    seed: u64,
) -> Result<Vec<Limit>, RooflineError> {
    let cpu = machine.cpu;
    let reader = Reader::best(cpu);
    let set = ReadSet::new(memory_set(machine))?;
    let mut pools = Vec::new();
    for &threads in threads {
        let source = |source| RooflineError::Threads { threads, source };
        pools.push(Pool::new(threads as usize).map_err(source)?);
    }
    let mut limits = Vec::new();
    let mut tasks: Vec<Task> = Vec::new();
    for (pool, &threads) in threads.iter().enumerate() {
        for level in levels(machine, threads, set.len()) {
            if let Ok(share) = level.share {
                tasks.push(Task {
                    work: Work::Read {
                        share,
                        from_memory: level.from_memory,
                    },
                    pool,
                    repeats: 1,
                    limit: limits.len(),
                });
            }
            limits.push(Limit {
                name: level.name,
                kind: LimitKind::ReadBandwidth,
                threads,
                about: format!("{}, {}", level.about, reader.name),
                samples: Vec::new(),
                missing: level.share.err(),
            });
        }
        for peak in PEAKS {
            let missing = cpu.require(peak.requires).err();
            if missing.is_none() {
                tasks.push(Task {
                    work: Work::Multiply(peak),
                    pool,
                    repeats: peak.repeats_for(cpu, &pools[pool], READING)?,
                    limit: limits.len(),
                });
            }
            limits.push(Limit {
                name: peak.name.to_owned(),
                kind: LimitKind::ComputePeak,
                threads,
                about: peak.instruction.to_owned(),
                samples: Vec::new(),
                missing: missing.map(|m| m.to_string()),
            });
        }
    }
    let run = |task: &Task| -> Result<Sample, Unsupported> {
        let pool = &pools[task.pool];
        let start = Instant::now();
        let amount = match &task.work {
            Work::Read { share, from_memory } => {
                set.read(reader, cpu, pool, *share, task.repeats, *from_memory)?
            }
            Work::Multiply(peak) => peak.run(cpu, pool, task.repeats)?,
        };
        let duration_ns = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        Ok(Sample {
            amount,
            duration_ns,
        })
    };
    for task in &mut tasks {
        // Reads: as many passes as take long enough, which is the warm-up too.
        while matches!(task.work, Work::Read { .. })
            && u128::from(run(task)?.duration_ns) < READING.as_nanos()
        {
            task.repeats *= 2;
        }
    }
    for round in 0..rounds {
        for index in row(seed, 0, round, tasks.len()) {
            let task = &tasks[index];
            limits[task.limit].samples.push(run(task)?);
        }
    }
    Ok(limits)
}

/// Numbers of threads to measure by default: each up to four, then each power of two, and all physical cores.
pub fn default_threads(physical_cores: u32) -> Vec<u32> {
    let mut threads: Vec<u32> = (1..=physical_cores)
        .filter(|n| *n <= 4 || n.is_power_of_two() || *n == physical_cores)
        .collect();
    if threads.is_empty() {
        threads.push(1);
    }
    threads
}

/// Bytes of the set that stands for memory.
fn memory_set(machine: &Machine<'_>) -> usize {
    let last_level = machine.caches.last().map_or(0, |c| c.bytes);
    let (smallest, largest) = MEMORY_SET;
    let wanted = (BEYOND_CACHE * last_level).clamp(smallest, largest);
    let room = machine
        .available_memory
        .map_or(u64::MAX, |a| a / MEMORY_SHARE);
    usize::try_from(wanted.min(room).max(1 << 20)).unwrap_or(usize::MAX)
}

/// A place that bytes are read from.
struct Level {
    name: String,
    about: String,
    /// Bytes for each thread, or why it cannot be told from another level.
    share: Result<usize, String>,
    from_memory: bool,
}

/// Memory, then the caches, the last level first: half of a cache for its threads, so that nothing else drives it out, and at
/// most [`BEYOND_CACHE`] times the level below, which is beyond that for a read from end to end and leaves room to the
/// neighbours of a virtual machine.
fn levels(machine: &Machine<'_>, threads: u32, set: usize) -> Vec<Level> {
    let last_level = machine.caches.last().map_or(0, |c| c.bytes);
    let memory = if (set as u64) < LEAST_BEYOND_CACHE * last_level {
        Err(format!(
            "{} of memory that could be had are too few beside a cache of {}",
            bytes(set as u64),
            bytes(last_level)
        ))
    } else {
        Ok(set / threads as usize)
    };
    let mut levels = vec![Level {
        name: "memory".to_owned(),
        about: format!("{} in all", bytes(set as u64)),
        share: memory,
        from_memory: true,
    }];
    for (index, cache) in machine.caches.iter().enumerate().rev() {
        let below = index.checked_sub(1).map_or(0, |i| machine.caches[i].bytes);
        // A first-level or second-level cache is a core's own, whatever its hardware threads are; one thread a core is run.
        let sharing = match cache.level {
            1 | 2 => 1,
            _ => cache.shared_by.unwrap_or(threads).clamp(1, threads),
        };
        let half = cache.bytes / 2 / u64::from(sharing);
        let share = if below > 0 {
            half.min(BEYOND_CACHE * below)
        } else {
            half
        };
        let fits = share * u64::from(threads) <= set as u64;
        levels.push(Level {
            name: format!("L{}", cache.level),
            about: format!("{} for each of its threads", bytes(share)),
            share: if share < 2 * below {
                Err(format!(
                    "half of {} shared by {sharing} is no larger than the level below it",
                    bytes(cache.bytes)
                ))
            } else if fits {
                Ok(usize::try_from(share).unwrap_or(usize::MAX))
            } else {
                Err("there is not memory enough for a set of that size".to_owned())
            },
            from_memory: false,
        });
    }
    levels
}

/// `256 MiB`, `16 KiB`.
fn bytes(bytes: u64) -> String {
    if bytes >= 1 << 20 {
        format!("{} MiB", bytes >> 20)
    } else {
        format!("{} KiB", bytes >> 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(level: u32, kib: u64, shared_by: u32) -> Cache {
        Cache {
            level,
            bytes: kib << 10,
            shared_by: Some(shared_by),
        }
    }

    fn machine<'a>(cpu: &'a Cpu, caches: &'a [Cache], available: u64) -> Machine<'a> {
        Machine {
            cpu,
            caches,
            available_memory: Some(available),
        }
    }

    #[test]
    fn sets_fit_their_level_and_no_smaller_one() {
        let cpu = Cpu::scalar();
        let caches = [cache(1, 32, 2), cache(2, 512, 2), cache(3, 32 << 10, 16)];
        let machine = machine(&cpu, &caches, 16 << 30);
        let set = memory_set(&machine);
        assert_eq!(set, 256 << 20);
        let shares = |threads| -> Vec<Result<usize, String>> {
            let levels = levels(&machine, threads, set);
            levels.into_iter().map(|l| l.share).collect()
        };
        assert_eq!(
            shares(1),
            [Ok(256 << 20), Ok(4 << 20), Ok(256 << 10), Ok(16 << 10)]
        );
        assert_eq!(shares(8)[..2], [Ok(32 << 20), Ok(2 << 20)]);
        let crowded = shares(16);
        assert!(crowded[1].as_ref().is_ok_and(|share| *share == 1 << 20));
        let caches = [cache(1, 48, 2), cache(2, 2048, 2), cache(3, 32 << 10, 32)];
        let machine = Machine {
            caches: &caches,
            ..machine
        };
        let crowded = levels(&machine, 16, set).remove(1).share;
        assert!(
            crowded.as_ref().is_err_and(|e| e.contains("no larger")),
            "{crowded:?}"
        );
    }

    #[test]
    fn too_little_memory_is_not_called_memory() {
        let cpu = Cpu::scalar();
        let caches = [cache(3, 96 << 10, 16)];
        let machine = machine(&cpu, &caches, 512 << 20);
        let set = memory_set(&machine);
        assert_eq!(set, 128 << 20);
        let memory = levels(&machine, 1, set).remove(0).share;
        assert!(memory.is_err_and(|reason| reason.contains("too few")));
    }

    #[test]
    fn numbers_of_threads_thin_out() {
        assert_eq!(default_threads(0), [1]);
        assert_eq!(default_threads(2), [1, 2]);
        assert_eq!(default_threads(6), [1, 2, 3, 4, 6]);
        assert_eq!(default_threads(64), [1, 2, 3, 4, 8, 16, 32, 64]);
    }

    #[test]
    fn every_limit_of_this_machine_is_a_rate_or_a_reason() {
        let cpu = Cpu::detect();
        let caches = crate::host::caches(std::path::Path::new("/sys"));
        let machine = Machine {
            cpu: &cpu,
            caches: &caches,
            available_memory: crate::host::available_memory(),
        };
        let limits = measure(&machine, &[1], 2, 1).expect("measured");
        assert!(limits.iter().any(|l| l.name == "memory"));
        for limit in &limits {
            match &limit.missing {
                Some(reason) => assert!(limit.samples.is_empty() && !reason.is_empty()),
                None => {
                    assert_eq!(limit.samples.len(), 2, "{}", limit.name);
                    assert!(limit.figure().expect("a rate").median > 0.0);
                }
            }
        }
    }
}
