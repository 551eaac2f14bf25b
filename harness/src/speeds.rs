//! A half-second look at what the kernels do here, to predict how long a plan will take. It feeds no report.

use bitbench_engine::activations::Activations;
use bitbench_engine::cpu::Cpu;
use bitbench_engine::grid::Grid;
use bitbench_engine::kernels::KernelVariant;
use bitbench_engine::ops::SharedIsa;
use bitbench_engine::threads::Pool;
use bitbench_engine::weights::LinearWeights;
use std::cell::RefCell;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Rough speeds of this machine. A kernel is looked at when it is first asked for.
#[derive(Debug)]
pub struct Speeds {
    cpu: Cpu,
    /// Bytes a second that one thread reads from memory.
    read_one: f64,
    /// Bytes a second that all cores together read.
    read_all: f64,
    /// Weights a second on one thread: one token, and each of a batch; by the name of a kernel.
    kernels: RefCell<HashMap<&'static str, (f64, f64)>>,
}

/// How long each look lasts.
const LOOK: Duration = Duration::from_millis(25);
/// Columns of the matrix that stands for a layer.
const COLUMNS: usize = 2048;
/// Tokens of the batch that stands for prefill.
const BATCH: usize = 32;
/// Bytes that are read to learn the bandwidth: above most last-level caches.
const READ_BYTES: usize = 128 << 20;

impl Speeds {
    /// Looks at the memory.
    pub fn probe(cpu: &Cpu, physical_cores: u32) -> Speeds {
        let memory: Vec<u64> = vec![1; READ_BYTES / 8];
        let read = |threads: usize| {
            per_second(|| {
                let share = memory.len().div_ceil(threads);
                std::thread::scope(|scope| {
                    for part in memory.chunks(share) {
                        scope.spawn(move || {
                            std::hint::black_box(part.iter().fold(0u64, |a, b| a.wrapping_add(*b)))
                        });
                    }
                });
                READ_BYTES
            })
        };
        let (read_one, read_all) = (read(1), read(physical_cores.max(1) as usize));
        Speeds {
            cpu: *cpu,
            read_one,
            read_all,
            kernels: RefCell::default(),
        }
    }

    fn of(&self, kernel: &'static KernelVariant) -> (f64, f64) {
        let mut kernels = self.kernels.borrow_mut();
        let known = kernels.entry(kernel.name);
        // One that does not run here is skipped, so whatever is said of its time is not used.
        *known.or_insert_with(|| kernel_speed(&self.cpu, kernel).unwrap_or((1e9, 1e9)))
    }

    /// Predicted time of a decoded token in seconds.
    #[expect(clippy::cast_precision_loss, reason = "a prediction")]
    pub fn token_s(
        &self,
        kernel: &'static KernelVariant,
        weights: u64,
        bytes: u64,
        threads: u32,
    ) -> f64 {
        let (decode, _) = self.of(kernel);
        let read = if threads > 1 {
            self.read_all
        } else {
            self.read_one
        };
        (weights as f64 / (decode * f64::from(threads))).max(bytes as f64 / read)
    }

    /// Predicted time of a prompt in seconds.
    #[expect(clippy::cast_precision_loss, reason = "a prediction")]
    pub fn prompt_s(
        &self,
        kernel: &'static KernelVariant,
        weights: u64,
        tokens: u32,
        threads: u32,
    ) -> f64 {
        let (_, prefill) = self.of(kernel);
        // A tenth for attention and the rest.
        1.1 * weights as f64 * f64::from(tokens) / (prefill * f64::from(threads))
    }

    /// Predicted time to make and pack so many bytes of weights, in seconds.
    #[expect(clippy::cast_precision_loss, reason = "a prediction")]
    pub fn load_s(&self, weights: u64, bytes: u64) -> f64 {
        0.1 + weights as f64 / 2e9 + bytes as f64 / (self.read_all / 12.0)
    }
}

/// Weights a second of one variant on one thread, with one token and with a batch, working in the caches.
fn kernel_speed(cpu: &Cpu, kernel: &KernelVariant) -> Option<(f64, f64)> {
    let packed = (kernel.pack)(&LinearWeights::synthetic(512, COLUMNS, 1), cpu).ok()?;
    let pool = Pool::new(1).ok()?;
    let speed = |tokens: usize| {
        let mut activations = Activations::new(kernel.family.preparation());
        activations.prepare(
            &vec![0.5; tokens * COLUMNS],
            COLUMNS,
            &pool,
            SharedIsa::best(cpu),
        );
        let mut out = vec![0.0; tokens * packed.rows()];
        per_second(|| {
            let grid = Grid::stripes(&mut out, packed.rows(), 1, packed.row_block());
            if let Some(mut tile) = grid.take(0) {
                packed.multiply(&activations, &mut tile);
            }
            packed.rows() * packed.cols() * tokens
        })
    };
    Some((speed(1), speed(BATCH)))
}

/// Units a second of a piece of work that says how many it did.
#[expect(clippy::cast_precision_loss, reason = "a prediction")]
fn per_second(mut work: impl FnMut() -> usize) -> f64 {
    work();
    let start = Instant::now();
    let mut units = 0;
    while units == 0 || start.elapsed() < LOOK {
        units += work();
    }
    units as f64 / start.elapsed().as_secs_f64()
}
