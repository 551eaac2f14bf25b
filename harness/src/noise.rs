//! How noisy this machine is: the same work again and again, and what difference two figures would have by chance.

use crate::roots::Roots;
use crate::surroundings::Watch;
use bitbench_engine::cpu::Cpu;
use bitbench_engine::limits::{ReadSet, Reader};
use bitbench_engine::threads::Pool;
use bitbench_reports::stats;
use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::Rng;
use serde::Serialize;
use std::time::{Duration, Instant};

/// Length of one window of each kind of work.
const WINDOW: Duration = Duration::from_millis(125);
/// Least windows of each kind: a figure over five against another over five needs ten.
const LEAST_WINDOWS: usize = 2 * ROUNDS;
/// Rounds of a run, as the suites have them.
const ROUNDS: usize = 5;
/// Pairs of figures that are drawn from the windows.
const DRAWS: usize = 4000;
/// Any seed: the same windows give the same figure.
const SEED: u128 = 0x6f69_7365;
/// Share of the time that goes to wake-ups.
const WAKE_UP_SHARE: f64 = 0.1;
/// Bytes that are read from memory: more than caches hold, and room for it anywhere.
const SET: usize = 128 << 20;
/// One piece of computing on each thread, then a barrier: about a millisecond, as a layer of a large model.
const PIECE: Duration = Duration::from_millis(1);

/// A machine on which two figures differ by more than this by chance cannot compare kernels, in percent.
pub const TOO_NOISY_PERCENT: f64 = 5.0;

/// How noisy a machine is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Noise {
    /// Threads that worked.
    pub threads: u32,
    /// Windows of each kind.
    pub windows: usize,
    /// Two figures of five rounds each differ by more than this once in twenty times although nothing did, in percent:
    /// computing in registers.
    pub compute_percent: f64,
    /// The same of reading memory.
    pub memory_percent: f64,
    /// How much later than asked for a thread wakes up, in microseconds: the median.
    pub wake_up_us: f64,
    /// The same: one in a hundred is later.
    pub late_wake_up_us: f64,
    /// Cores that other processes took meanwhile.
    pub others_cores: Option<f64>,
    /// Cores that the hypervisor kept.
    pub stolen_cores: Option<f64>,
}

/// Why noise could not be measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoiseError {
    /// The system gave no threads.
    #[error("cannot start {threads} threads: {source}")]
    Threads {
        /// Threads asked for.
        threads: u32,
        /// The cause.
        source: std::io::Error,
    },
    /// The system gave no memory.
    #[error(transparent)]
    Memory(#[from] bitbench_engine::kernels::PackError),
    /// The reader asked for a feature that the CPU turned out to lack.
    #[error(transparent)]
    Unsupported(#[from] bitbench_engine::cpu::Unsupported),
}

/// Works for about so long on so many threads, bound to no CPU, and says how much it varied.
///
/// # Errors
/// See [`NoiseError`].
///
/// # Panics
/// If `threads` is 0.
pub fn measure(cpu: &Cpu, threads: u32, length: Duration) -> Result<Noise, NoiseError> {
    let source = |source| NoiseError::Threads { threads, source };
    let pool = Pool::new(threads as usize).map_err(source)?;
    let set = ReadSet::new(SET)?;
    let reader = Reader::best(cpu);
    let read = || set.read(reader, cpu, &pool, SET, 1, true);
    read()?;
    let repeats = repeats_for(PIECE);
    let mut watch = Watch::open(&Roots::machine());
    let look = watch.look();
    let working = length.mul_f64(1.0 - WAKE_UP_SHARE);
    let begin = Instant::now();
    let (mut compute, mut memory) = (Vec::new(), Vec::new());
    while begin.elapsed() < working || compute.len() < LEAST_WINDOWS {
        compute.push(rate(|| {
            pool.run(&|_| {
                std::hint::black_box(spin(repeats));
            });
            Ok(())
        })?);
        memory.push(rate(|| read().map(drop))?);
    }
    let late = wake_ups(length.mul_f64(WAKE_UP_SHARE));
    let (around, _) = watch.since(&look);
    let quantile = |p| stats::quantile(&late, p).unwrap_or(0.0);
    Ok(Noise {
        threads,
        windows: compute.len(),
        compute_percent: indistinguishable(&compute).unwrap_or(100.0),
        memory_percent: indistinguishable(&memory).unwrap_or(100.0),
        wake_up_us: quantile(0.5),
        late_wake_up_us: quantile(0.99),
        others_cores: around.others_cores(),
        stolen_cores: around.stolen_cores(),
    })
}

impl Noise {
    /// The larger of the two: figures that differ by less cannot be told apart here.
    pub fn percent(&self) -> f64 {
        self.compute_percent.max(self.memory_percent)
    }

    /// One word for it.
    pub fn word(&self) -> &'static str {
        match self.percent() {
            percent if percent < 1.0 => "quiet",
            percent if percent < 3.0 => "fair",
            percent if percent < TOO_NOISY_PERCENT => "restless",
            _ => "too noisy",
        }
    }

    /// Whether kernels can be compared here.
    pub fn is_too_noisy(&self) -> bool {
        self.percent() >= TOO_NOISY_PERCENT
    }

    /// What would help, from what was seen.
    pub fn advice(&self) -> Vec<String> {
        let mut advice = Vec::new();
        if let Some(cores) = self.stolen_cores.filter(|cores| *cores > 0.02) {
            advice.push(format!(
                "the hypervisor kept {cores:.2} of a core: take another machine, or a dedicated one"
            ));
        }
        if let Some(cores) = self.others_cores.filter(|cores| *cores > 0.1) {
            advice.push(format!(
                "other processes took {cores:.1} of a core: end them; `top` says which they are"
            ));
        }
        if self.memory_percent > 2.0 * self.compute_percent && self.memory_percent > 1.0 {
            advice.push(
                "memory varies more than computing: something else reads memory, a neighbour of a virtual machine perhaps; \
                 hold decode against the read bandwidth of the same round"
                    .to_owned(),
            );
        }
        if self.late_wake_up_us > 2000.0 {
            advice.push(format!(
                "one wake-up in a hundred is {:.1} ms late: the CPUs are shared, or sleep deeply (sudo cpupower idle-set -D 10)",
                self.late_wake_up_us / 1000.0
            ));
        }
        if self.percent() >= 1.0 {
            advice.push(
                "more rounds help as their root does: four times as many halve it; ratios within one run are better than that"
                    .to_owned(),
            );
        }
        advice
    }
}

/// Repetitions a second over one window.
fn rate(
    mut work: impl FnMut() -> Result<(), bitbench_engine::cpu::Unsupported>,
) -> Result<f64, bitbench_engine::cpu::Unsupported> {
    let begin = Instant::now();
    let mut repeats = 0.0;
    loop {
        work()?;
        repeats += 1.0;
        let elapsed = begin.elapsed();
        if elapsed >= WINDOW {
            return Ok(repeats / elapsed.as_secs_f64());
        }
    }
}

/// A chain of multiplications that no compiler shortens.
fn spin(repeats: u64) -> u64 {
    let mut state = std::hint::black_box(0x9e37_79b9_u64);
    for _ in 0..repeats {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
    }
    state
}

/// How many repeats of [`spin`] take so long on this CPU.
fn repeats_for(length: Duration) -> u64 {
    let mut repeats = 1024;
    loop {
        let begin = Instant::now();
        std::hint::black_box(spin(repeats));
        if begin.elapsed() >= length || repeats >= 1 << 40 {
            return repeats;
        }
        repeats *= 2;
    }
}

/// How much later than asked for each wake-up was, in microseconds.
fn wake_ups(length: Duration) -> Vec<f64> {
    const NAP: Duration = Duration::from_millis(1);
    let begin = Instant::now();
    let mut late = Vec::new();
    while begin.elapsed() < length {
        let asleep = Instant::now();
        std::thread::sleep(NAP);
        late.push(asleep.elapsed().saturating_sub(NAP).as_secs_f64() * 1e6);
    }
    late
}

/// Two medians of five of these numbers each, drawn by chance, differ by less than this nineteen times in twenty, in percent.
/// The numbers are of the same work, so all of it is noise. Nothing for fewer than ten numbers.
pub fn indistinguishable(rates: &[f64]) -> Option<f64> {
    if rates.len() < LEAST_WINDOWS || rates.iter().any(|rate| *rate <= 0.0) {
        return None;
    }
    let mut random = Pcg64Mcg::new(SEED);
    let mut order: Vec<usize> = (0..rates.len()).collect();
    let mut differences = Vec::with_capacity(DRAWS);
    for _ in 0..DRAWS {
        // The first ten of a shuffle.
        for place in 0..LEAST_WINDOWS {
            let rest = (rates.len() - place) as u64;
            let pick = usize::try_from(random.next_u64() % rest).unwrap_or(0);
            order.swap(place, place + pick);
        }
        let median = |places: &[usize]| {
            let numbers: Vec<f64> = places.iter().map(|place| rates[*place]).collect();
            stats::median(&numbers)
        };
        let (a, b) = (
            median(&order[..ROUNDS])?,
            median(&order[ROUNDS..LEAST_WINDOWS])?,
        );
        differences.push((a / b).ln().abs());
    }
    let difference = stats::quantile(&differences, 0.95)?;
    Some((difference.exp() - 1.0) * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_work_at_equal_speed_has_no_noise_and_jumps_have_as_much_as_they_jump() {
        assert_eq!(indistinguishable(&[3.0; 20]), Some(0.0));
        assert_eq!(indistinguishable(&[3.0; 9]), None);
        assert_eq!(indistinguishable(&[0.0; 20]), None);
        // Half of the windows 20 % faster: medians of five are of either kind.
        let jumps: Vec<f64> = (0..40)
            .map(|n| if n % 2 == 0 { 1.0 } else { 1.2 })
            .collect();
        let percent = indistinguishable(&jumps).expect("forty windows");
        assert!((percent - 20.0).abs() < 1e-9, "{percent}");
        // One slow window in forty does not move a median.
        let mut once = vec![1.0; 40];
        once[7] = 0.5;
        assert_eq!(indistinguishable(&once), Some(0.0));
    }

    #[test]
    fn words_and_advice_follow_the_numbers() {
        let noise = |percent: f64| Noise {
            threads: 2,
            windows: 70,
            compute_percent: percent / 2.0,
            memory_percent: percent,
            wake_up_us: 60.0,
            late_wake_up_us: 90.0,
            others_cores: Some(0.01),
            stolen_cores: Some(0.0),
        };
        for (percent, word) in [
            (0.4, "quiet"),
            (2.0, "fair"),
            (4.0, "restless"),
            (5.0, "too noisy"),
        ] {
            assert_eq!(noise(percent).word(), word);
            assert_eq!(noise(percent).is_too_noisy(), word == "too noisy");
        }
        assert_eq!(noise(0.4).advice(), Vec::<String>::new());
        let disturbed = Noise {
            others_cores: Some(0.9),
            stolen_cores: Some(0.3),
            late_wake_up_us: 4000.0,
            compute_percent: 1.0,
            ..noise(9.0)
        };
        let advice = disturbed.advice().join("\n");
        for word in [
            "hypervisor kept 0.30",
            "processes took 0.9",
            "memory varies",
            "4.0 ms late",
            "more rounds",
        ] {
            assert!(advice.contains(word), "{word}: {advice}");
        }
    }
}
