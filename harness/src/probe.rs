//! What parallel work costs and gives on this machine: a barrier over threads, and a plain read of memory by them.

use crate::noise::NoiseError;
use bitbench_engine::cpu::Cpu;
use bitbench_engine::limits::{ReadSet, Reader};
use bitbench_engine::threads::Pool;
use bitbench_reports::stats;
use serde::Serialize;
use std::time::{Duration, Instant};

/// Bytes that are read, as far as there is room.
const SET: usize = 256 << 20;
/// Regions that are timed together, and how often.
const REGIONS: u32 = 200;
const BATCHES: usize = 25;
/// Passes over the set; the first is the warm-up.
const PASSES: usize = 6;
/// A number of threads is given up after so long: threads that share a CPU take a time slice for each barrier.
const PATIENCE: Duration = Duration::from_secs(5);

/// What one number of threads showed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Probed {
    /// Threads, the caller among them.
    pub threads: u32,
    /// Median time of an empty parallel region, in microseconds: what each of the some two hundred barriers of a token costs.
    pub barrier_us: f64,
    /// Median rate of a plain read of memory by all threads, in 10^9 bytes per second.
    pub read_gb_per_second: f64,
}

/// Measures barrier and bandwidth with each of these numbers of threads.
///
/// # Errors
/// See [`NoiseError`].
///
/// # Panics
/// If a number of threads is 0.
pub fn measure(cpu: &Cpu, threads: &[u32]) -> Result<Vec<Probed>, NoiseError> {
    let set = ReadSet::new(SET)?;
    let reader = Reader::best(cpu);
    let mut probed = Vec::new();
    for &threads in threads {
        let source = |source| NoiseError::Threads { threads, source };
        let pool = Pool::new(threads as usize).map_err(source)?;
        let begin = Instant::now();
        let mut barriers = Vec::new();
        while barriers.len() < BATCHES && (barriers.is_empty() || begin.elapsed() < PATIENCE) {
            let start = Instant::now();
            for _ in 0..REGIONS {
                pool.run(&|index| {
                    std::hint::black_box(index);
                });
            }
            barriers.push(start.elapsed().as_secs_f64() * 1e6 / f64::from(REGIONS));
        }
        let mut rates = Vec::new();
        for pass in 0..PASSES {
            let start = Instant::now();
            let bytes = set.read(reader, cpu, &pool, SET, 1, true)?;
            if pass > 0 {
                rates.push(bytes as f64 / start.elapsed().as_secs_f64() / 1e9);
            }
        }
        probed.push(Probed {
            threads,
            barrier_us: stats::median(&barriers).unwrap_or(0.0),
            read_gb_per_second: stats::median(&rates).unwrap_or(0.0),
        });
    }
    Ok(probed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_of_threads_is_probed() {
        let probed = measure(&Cpu::detect(), &[1, 2]).expect("threads and memory");
        assert_eq!(probed.iter().map(|p| p.threads).collect::<Vec<_>>(), [1, 2]);
        for probe in probed {
            assert!(
                probe.barrier_us > 0.0 && probe.read_gb_per_second > 0.0,
                "{probe:?}"
            );
        }
    }
}
