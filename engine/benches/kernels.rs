//! Every kernel variant that this CPU runs over the shapes of real layers, on one thread.
//!
//! A bench is called `PHASE/ROWSxCOLS/WHERE/VARIANT`, such as `decode/2560x2560/memory/i2s-avx2`, and any part of the name is a
//! filter: `cargo bench -p bitbench-engine -- prefill128/2560x2560/cache`. `decode` is one token (GEMV), `batch2` to `batch16` are
//! steps of sequences that are decoded together, `prefill128` and `prefill512` are prompts (GEMM). `cache` multiplies by one matrix again and again; `memory` goes through more matrices than
//! the last-level cache holds, as a forward pass does. Throughput is in weights times tokens. The weights are
//! random; the speed does not depend on them.
//!
//! Each bench warms up for 0.1 s and takes ten samples in about half a second; only what is slower than that takes longer.

use bitbench_engine::activations::{Activations, Preparation};
use bitbench_engine::cpu::Cpu;
use bitbench_engine::kernels::{KernelVariant, PackedMatrix, VARIANTS};
use bitbench_engine::linear::linear;
use bitbench_engine::ops::SharedIsa;
use bitbench_engine::threads::Pool;
use bitbench_engine::weights::LinearWeights;
use criterion::{
    BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
};
use std::time::Duration;

/// Rows and columns of the linear layers of BitNet b1.58 2B4T (query and output, key and value, gate and up, down), and of the
/// query of the 100B shape.
const SHAPES: [(usize, usize); 5] = [
    (2560, 2560),
    (640, 2560),
    (6912, 2560),
    (2560, 6912),
    (8192, 8192),
];
/// Phases and their tokens.
const PHASES: [(&str, usize); 9] = [
    ("decode", 1),
    ("batch2", 2),
    ("batch3", 3),
    ("batch4", 4),
    ("batch6", 6),
    ("batch8", 8),
    ("batch16", 16),
    ("prefill128", 128),
    ("prefill512", 512),
];
/// Bytes of weights that few last-level caches hold.
const BEYOND_CACHE: usize = 256 << 20;

/// Packed matrices of one variant and shape, and what they are multiplied by.
struct Set {
    matrices: Vec<Box<dyn PackedMatrix>>,
    activations: Activations,
    out: Vec<f32>,
}

impl Set {
    fn new(
        variant: &KernelVariant,
        (rows, cols): (usize, usize),
        tokens: usize,
        bytes: usize,
        cpu: &Cpu,
    ) -> Set {
        let pack = || (variant.pack)(&LinearWeights::synthetic(rows, cols, 1), cpu).expect("packs");
        let mut matrices = vec![pack()];
        let count = bytes.div_ceil(matrices[0].bytes().len());
        matrices.extend((1..count).map(|_| pack()));
        Set {
            matrices,
            activations: activations(variant.family.preparation(), tokens, cols, cpu),
            out: vec![0.0; rows * tokens],
        }
    }
}

fn activations(preparation: Preparation, tokens: usize, cols: usize, cpu: &Cpu) -> Activations {
    let x: Vec<f32> = (0..tokens * cols)
        .map(|i| f32::from(u8::try_from(i * 31 % 251).unwrap_or(0)) - 125.0)
        .collect();
    let mut activations = Activations::new(preparation);
    activations.prepare(
        &x,
        cols,
        &Pool::new(1).expect("no thread is started"),
        SharedIsa::best(cpu),
    );
    activations
}

fn kernels(criterion: &mut Criterion) {
    let cpu = Cpu::detect();
    let pool = Pool::new(1).expect("no thread is started");
    for (phase, tokens) in PHASES {
        for shape in SHAPES {
            for (place, bytes) in [("cache", 1), ("memory", BEYOND_CACHE)] {
                let (rows, cols) = shape;
                let mut group = criterion.benchmark_group(format!("{phase}/{rows}x{cols}/{place}"));
                group
                    .throughput(Throughput::Elements((rows * cols * tokens) as u64))
                    .sampling_mode(SamplingMode::Flat)
                    .sample_size(10)
                    .warm_up_time(Duration::from_millis(100))
                    .measurement_time(Duration::from_millis(500));
                for variant in VARIANTS.iter().filter(|v| cpu.require(v.requires).is_ok()) {
                    // Packed at the first use: a bench that is filtered out costs nothing.
                    let mut set = None;
                    let mut next = 0;
                    group.bench_function(BenchmarkId::from_parameter(variant.name), |bencher| {
                        let Set {
                            matrices,
                            activations,
                            out,
                        } = set
                            .get_or_insert_with(|| Set::new(variant, shape, tokens, bytes, &cpu));
                        bencher.iter(|| {
                            linear(&pool, activations, &mut [(&*matrices[next], out)]);
                            next = (next + 1) % matrices.len();
                        });
                    });
                }
            }
        }
    }
}

criterion_group!(benches, kernels);
criterion_main!(benches);
