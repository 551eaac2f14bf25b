//! Every kernel variant this CPU runs over the layer shapes of BitNet b1.58 2B4T, on one thread.
//!
//! `cargo bench -p bitbench-engine -- decode` times one token (GEMV), `prefill` 128 tokens (GEMM). `memory` cycles through
//! more matrices than the last-level cache holds, as decode does; the others work in the caches. Throughput is in weights
//! (times tokens). The weights are random; the speed does not depend on them.

use bitbench_engine::activations::{Activations, Preparation};
use bitbench_engine::cpu::Cpu;
use bitbench_engine::grid::Grid;
use bitbench_engine::kernels::{KernelVariant, PackedMatrix, VARIANTS};
use bitbench_engine::ops::SharedIsa;
use bitbench_engine::threads::Pool;
use bitbench_engine::weights::LinearWeights;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// Rows and columns of the linear layers.
const SHAPES: [(usize, usize); 4] = [(2560, 2560), (640, 2560), (6912, 2560), (2560, 6912)];
/// Bytes of weights that no last-level cache holds.
const BEYOND_CACHE: usize = 256 << 20;
/// Tokens of a prefill batch.
const BATCH: usize = 128;

fn pack(variant: &KernelVariant, rows: usize, cols: usize, cpu: &Cpu) -> Box<dyn PackedMatrix> {
    (variant.pack)(&LinearWeights::synthetic(rows, cols, 1), cpu).expect("packs")
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

fn multiply(matrix: &dyn PackedMatrix, activations: &Activations, out: &mut [f32]) {
    let grid = Grid::stripes(out, matrix.rows(), 1, matrix.row_block());
    if let Some(mut tile) = grid.take(0) {
        matrix.multiply(activations, &mut tile);
    }
}

fn kernels(criterion: &mut Criterion) {
    let cpu = Cpu::detect();
    for (name, tokens) in [("decode", 1), ("prefill", BATCH)] {
        for (rows, cols) in SHAPES {
            let mut group = criterion.benchmark_group(format!("{name}/{rows}x{cols}"));
            group.throughput(Throughput::Elements((rows * cols * tokens) as u64));
            group.sample_size(20);
            for variant in VARIANTS.iter().filter(|v| cpu.require(v.requires).is_ok()) {
                let matrix = pack(variant, rows, cols, &cpu);
                let activations = activations(variant.family.preparation(), tokens, cols, &cpu);
                let mut out = vec![0.0; rows * tokens];
                group.bench_function(BenchmarkId::from_parameter(variant.name), |bencher| {
                    bencher.iter(|| multiply(&*matrix, &activations, &mut out));
                });
            }
        }
    }
}

fn memory(criterion: &mut Criterion) {
    let cpu = Cpu::detect();
    let (rows, cols) = (6912, 2560);
    let mut group = criterion.benchmark_group(format!("memory/{rows}x{cols}"));
    group.throughput(Throughput::Elements((rows * cols) as u64));
    group.sample_size(20);
    for variant in VARIANTS.iter().filter(|v| cpu.require(v.requires).is_ok()) {
        let first = pack(variant, rows, cols, &cpu);
        let count = BEYOND_CACHE.div_ceil(first.bytes().len());
        let matrices: Vec<_> = std::iter::once(first)
            .chain((1..count).map(|_| pack(variant, rows, cols, &cpu)))
            .collect();
        let activations = activations(variant.family.preparation(), 1, cols, &cpu);
        let mut out = vec![0.0; rows];
        let mut next = matrices.iter().cycle();
        group.bench_function(BenchmarkId::from_parameter(variant.name), |bencher| {
            bencher.iter(|| {
                if let Some(matrix) = next.next() {
                    multiply(&**matrix, &activations, &mut out);
                }
            });
        });
    }
}

criterion_group!(benches, kernels, memory);
criterion_main!(benches);
