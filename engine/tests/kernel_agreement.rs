//! Every kernel variant against an oracle that shares no code with anything shipped.
//!
//! The tests loop over the registry: a new variant is covered without a new line here. A variant that this CPU cannot run is
//! skipped with a printed reason; `BITBENCH_TEST_EVERY_VARIANT` makes such a skip a failure.
#![expect(clippy::cast_precision_loss, reason = "the test's numbers are small")]

use bitbench_engine::activations::{Activations, Preparation};
use bitbench_engine::cpu::Cpu;
use bitbench_engine::grid::Grid;
use bitbench_engine::kernels::{
    Agreement, Family, KernelVariant, PackError, PackedMatrix, VARIANTS,
};
use bitbench_engine::ops::SharedIsa;
use bitbench_engine::threads::Pool;
use bitbench_engine::weights::{DenseMatrix, LinearWeights, TernaryMatrix};
use std::sync::Arc;

/// The definition: sum over columns of weight times activation, in 64-bit integers.
fn oracle_int(weights: &[Vec<i8>], activation: &[i8], row: usize) -> i64 {
    weights[row]
        .iter()
        .zip(activation)
        .map(|(w, a)| i64::from(*w) * i64::from(*a))
        .sum()
}

/// The definition in double precision, and the sum of the absolute products.
fn oracle_f64(weights: &[Vec<f32>], activation: &[f32], row: usize) -> (f64, f64) {
    let products = || {
        weights[row]
            .iter()
            .zip(activation)
            .map(|(w, a)| f64::from(*w) * f64::from(*a))
    };
    (products().sum(), products().map(f64::abs).sum())
}

/// A stream of numbers from a seed (xorshift64*, Vigna 2016); not the generator the engine ships.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u32) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        u32::try_from(high % u64::from(n)).unwrap()
    }

    fn trit(&mut self) -> i8 {
        [-1, 0, 1][self.below(3) as usize]
    }

    fn int8(&mut self) -> i8 {
        u8::try_from(self.below(256)).unwrap().cast_signed()
    }

    fn unit(&mut self) -> f32 {
        self.below(1 << 24) as f32 / (1 << 23) as f32 - 1.0
    }
}

/// The variants this CPU runs; the others are named, or fail the test where every variant must run.
fn runnable(cpu: &Cpu) -> Vec<&'static KernelVariant> {
    let mut runnable = Vec::new();
    for variant in VARIANTS {
        match cpu.require(variant.requires) {
            Ok(()) => runnable.push(*variant),
            Err(missing) => {
                let every = std::env::var_os("BITBENCH_TEST_EVERY_VARIANT").is_some();
                assert!(!every, "{} cannot run: {missing}", variant.name);
                println!("skipped: {} ({missing})", variant.name);
            }
        }
    }
    runnable
}

fn ternary(weights: &[Vec<i8>], scale: f32) -> LinearWeights {
    LinearWeights::Ternary(TernaryMatrix::new(
        weights.len(),
        weights[0].len(),
        scale,
        Arc::new(weights.to_vec()),
    ))
}

/// Multiplies the whole matrix by the whole batch, its rows shared out among `parts`: [batch][rows].
fn multiply(packed: &dyn PackedMatrix, activations: &Activations, parts: usize) -> Vec<f32> {
    let mut out = vec![f32::NAN; activations.batch() * packed.rows()];
    let grid = Grid::stripes(&mut out, packed.rows(), parts, packed.row_block());
    for index in 0..grid.len() {
        packed.multiply(activations, &mut grid.take(index).unwrap());
    }
    out
}

/// Rows, columns, tokens: one of each, and below, at and above the blocks of the kernels (4, 16, 32, 64, 128, 256 and 2560 rows,
/// 8, 12, 16, 24, 48, 64, 96, 128, 160, 256, 320, 1024, 2048 and 3072 columns, 2, 3, 4, 6, 12, 32, 64, 96 and 256 tokens), with
/// panels enough for each thread.
const SHAPES: &[(usize, usize, usize)] = &[
    (1, 1, 1),
    (1, 128, 1),
    (3, 127, 2),
    (4, 128, 3),
    (5, 129, 4),
    (8, 15, 5),
    (7, 64, 33),
    (9, 1000, 97),
    (2, 1024, 1),
    (6, 1025, 3),
    (4, 1985, 2),
    (4, 2048, 2),
    (5, 2049, 7),
    (12, 2560, 96),
    (3, 6912, 4),
    (16, 256, 6),
    (17, 264, 7),
    (32, 160, 12),
    (33, 321, 13),
    (70, 333, 11),
    (40, 48, 260),
    (33, 24, 1),
    (65, 71, 7),
    (200, 100, 1),
    (200, 73, 20),
    (1030, 17, 18),
    (40, 3073, 1),
    (1, 300, 5),
    (127, 95, 4),
    (128, 96, 8),
    (129, 97, 65),
    (300, 145, 9),
    (2570, 13, 64),
];

fn check_exact(
    variant: &KernelVariant,
    cpu: &Cpu,
    weights: &[Vec<i8>],
    activations: &[Vec<i8>],
    what: &str,
) {
    let packed = (variant.pack)(&ternary(weights, 1.0), cpu).unwrap();
    let flat: Vec<i8> = activations.iter().flatten().copied().collect();
    let prepared = Activations::from_int8(&flat, &vec![1.0; activations.len()]);
    let outs = [1, 3].map(|parts| (parts, multiply(&*packed, &prepared, parts)));
    for (token, activation) in activations.iter().enumerate() {
        for row in 0..weights.len() {
            let expected = oracle_int(weights, activation, row);
            assert!(
                expected.abs() < 1 << 24,
                "the test's sums are exact in single precision"
            );
            for (parts, out) in &outs {
                let got = out[token * weights.len() + row];
                assert!(
                    got.to_bits() == (expected as f32).to_bits(),
                    "{}, {what}: row {row}, token {token}, {parts} parts: {got}, expected {expected}",
                    variant.name
                );
            }
        }
    }
}

#[test]
fn every_ternary_variant_equals_the_oracle_bit_for_bit() {
    let cpu = Cpu::detect();
    for variant in runnable(&cpu).into_iter().filter(|v| v.family.is_ternary()) {
        assert_eq!(variant.agreement, Agreement::Exact, "{}", variant.name);
        for (case, &(rows, cols, tokens)) in SHAPES.iter().enumerate() {
            let seed = 1000 + case as u64;
            let mut random = Random(seed);
            let weights: Vec<Vec<i8>> = (0..rows)
                .map(|_| (0..cols).map(|_| random.trit()).collect())
                .collect();
            let values: Vec<Vec<i8>> = (0..tokens)
                .map(|_| (0..cols).map(|_| random.int8()).collect())
                .collect();
            check_exact(
                variant,
                &cpu,
                &weights,
                &values,
                &format!("seed {seed}, {rows} x {cols}, {tokens} tokens"),
            );
        }
    }
}

#[test]
fn every_ternary_variant_is_exact_where_sums_are_largest() {
    let cpu = Cpu::detect();
    for variant in runnable(&cpu).into_iter().filter(|v| v.family.is_ternary()) {
        // The longest rows pass 65536 columns, where 16-bit sums and careless 32-bit ones would overflow. Rows of a panel may
        // go different ways, so some matrices have more than half of the largest panel.
        for (rows, cols, tokens) in [
            (5, 2048, 5),
            (2, 2176, 1),
            (1, 65_664, 3),
            (66, 65_537, 2),
            (97, 961, 5),
            (4, 100_001, 1),
        ] {
            for weight in [-1i8, 0, 1] {
                for value in [-128i8, 127] {
                    // Packing the largest takes an emulator minutes: there, the largest sums alone.
                    if rows * cols > 1 << 20 && (weight, value) != (1, -128) {
                        continue;
                    }
                    let weights = vec![vec![weight; cols]; rows];
                    let values = vec![vec![value; cols]; tokens];
                    check_exact(
                        variant,
                        &cpu,
                        &weights,
                        &values,
                        &format!("all {weight} times all {value}"),
                    );
                }
            }
        }
    }
}

#[test]
fn every_half_precision_variant_is_within_its_bound() {
    let cpu = Cpu::detect();
    let pool = Pool::new(1).unwrap();
    for variant in runnable(&cpu) {
        let factor = match variant.agreement {
            Agreement::Exact => continue,
            Agreement::Rounding(factor) | Agreement::RoundedToBf16(factor) => factor,
        };
        for (case, &(rows, cols, tokens)) in SHAPES.iter().enumerate() {
            let seed = 2000 + case as u64;
            let mut random = Random(seed);
            // Exact as stored: the bound is about the sums, not about storing the weights.
            let mut stored = || match variant.family {
                Family::Bf16 => half::bf16::from_f32(random.unit()).to_f32(),
                _ => half::f16::from_f32(random.unit()).to_f32(),
            };
            let weights: Vec<Vec<f32>> = (0..rows)
                .map(|_| (0..cols).map(|_| stored()).collect())
                .collect();
            let mut values: Vec<f32> = (0..tokens * cols).map(|_| random.unit()).collect();
            let matrix = DenseMatrix::new(rows, cols, Arc::new(weights.clone()), "test");
            let packed = (variant.pack)(&LinearWeights::Dense(matrix), &cpu).unwrap();
            let mut prepared = Activations::new(variant.family.preparation());
            prepared.prepare(&values, cols, &pool, SharedIsa::Portable);
            let out = multiply(&*packed, &prepared, 2);
            if matches!(variant.agreement, Agreement::RoundedToBf16(_)) {
                for value in &mut values {
                    *value = half::bf16::from_f32(*value).to_f32();
                }
            }
            for token in 0..tokens {
                for row in 0..rows {
                    let (expected, size) =
                        oracle_f64(&weights, &values[token * cols..][..cols], row);
                    let got = f64::from(out[token * rows + row]);
                    // The error of a sum of n products is at most n units of rounding of their absolute sum; in random
                    // order it grows with the root of n.
                    let bound = f64::from(factor * f32::EPSILON) * size * (cols as f64).sqrt();
                    assert!(
                        (got - expected).abs() <= bound,
                        "{}, seed {seed}: {rows} x {cols}, row {row}, token {token}: {got}, expected {expected} +- {bound}",
                        variant.name
                    );
                }
            }
        }
    }
}

#[test]
fn every_variant_gives_back_the_weights_it_packed() {
    let cpu = Cpu::detect();
    let mut random = Random(3000);
    for variant in runnable(&cpu) {
        for &(rows, cols, _) in SHAPES {
            let weights: Vec<Vec<i8>> = (0..rows)
                .map(|_| (0..cols).map(|_| random.trit()).collect())
                .collect();
            let packed = (variant.pack)(&ternary(&weights, 0.125), &cpu).unwrap();
            assert_eq!((packed.rows(), packed.cols()), (rows, cols));
            let mut row = vec![f32::NAN; cols];
            for (index, expected) in weights.iter().enumerate() {
                packed.unpack_row(index, &mut row);
                let same = row
                    .iter()
                    .zip(expected)
                    .all(|(got, w)| *got == f32::from(*w) * 0.125);
                assert!(same, "{}: {rows} x {cols}, row {index}", variant.name);
            }
            let bits = packed.bytes().len() as f32 * 8.0 / (rows * cols) as f32;
            assert!(
                bits >= variant.bits_per_weight,
                "{}: {bits} bits for a weight",
                variant.name
            );
        }
    }
}

#[test]
fn every_variant_is_named_after_its_file_and_refuses_a_cpu_without_its_features() {
    for variant in VARIANTS {
        let file = format!(
            "{}/src/kernels/{}.rs",
            env!("CARGO_MANIFEST_DIR"),
            variant.name.replace('-', "_")
        );
        assert!(
            std::path::Path::new(&file).exists(),
            "{} has no file of its name",
            variant.name
        );
        match (variant.pack)(&ternary(&[vec![1, 0, -1]], 1.0), &Cpu::scalar()) {
            Ok(_) => assert!(
                variant.requires.is_empty(),
                "{} ran without its features",
                variant.name
            ),
            Err(error) => {
                assert!(
                    matches!(error, PackError::Unsupported { .. }),
                    "{}: {error}",
                    variant.name
                );
                assert!(!variant.requires.is_empty(), "{}", variant.name);
            }
        }
    }
}

#[test]
fn a_ternary_variant_refuses_dense_weights_and_says_why() {
    let cpu = Cpu::detect();
    for variant in runnable(&cpu).into_iter().filter(|v| v.family.is_ternary()) {
        let matrix = DenseMatrix::new(
            1,
            2,
            Arc::new(vec![vec![0.1f32, 0.2]]),
            "the file holds Q4_1; use --ternarize",
        );
        let error = (variant.pack)(&LinearWeights::Dense(matrix), &cpu)
            .err()
            .expect("dense weights");
        assert!(error.to_string().contains("--ternarize"), "{error}");
    }
}

#[test]
fn a_half_precision_variant_refuses_weights_that_are_no_numbers() {
    let cpu = Cpu::detect();
    for variant in runnable(&cpu)
        .into_iter()
        .filter(|v| !v.family.is_ternary())
    {
        for bad in [f32::NAN, f32::INFINITY] {
            let matrix = DenseMatrix::new(
                2,
                2,
                Arc::new(vec![vec![0.5f32, 1.0], vec![0.5, bad]]),
                "test",
            );
            let error = (variant.pack)(&LinearWeights::Dense(matrix), &cpu).err();
            assert_eq!(
                error,
                Some(PackError::NotFinite { row: 1 }),
                "{}",
                variant.name
            );
        }
    }
}

#[test]
fn quantisation_is_the_same_on_every_instruction_set_and_any_number_of_threads() {
    let isa = SharedIsa::best(&Cpu::detect());
    let mut random = Random(4000);
    for (tokens, cols) in [(1, 1), (1, 100), (7, 333), (64, 2560)] {
        let x: Vec<f32> = (0..tokens * cols).map(|_| random.unit() * 3.0).collect();
        let prepared = |isa, threads| {
            let mut prepared = Activations::new(Preparation::Int8);
            prepared.prepare(&x, cols, &Pool::new(threads).unwrap(), isa);
            prepared
        };
        let plain = prepared(SharedIsa::Portable, 1);
        for threads in [1, 3] {
            let other = prepared(isa, threads);
            for token in 0..tokens {
                assert_eq!(plain.int8(token), other.int8(token));
                assert_eq!(plain.scale(token).to_bits(), other.scale(token).to_bits());
                assert_eq!(plain.sum(token), other.sum(token));
            }
        }
        // The definition, in double precision.
        for token in 0..tokens {
            let row = &x[token * cols..][..cols];
            let largest = row.iter().fold(0.0f32, |a, b| a.max(b.abs()));
            for (x, q) in row.iter().zip(plain.int8(token)) {
                let exact = f64::from(*x) * 127.0 / f64::from(largest);
                assert!(
                    (exact - f64::from(*q)).abs() <= 0.5 + 1e-4,
                    "{x} became {q}, expected {exact}"
                );
            }
        }
    }
}
