//! Heads against the half-precision one: exact heads by equality, the others by a bound derived from their formats.
//!
//! The tests loop over the registry; each runs on the CPU as it is, and as if it had less.
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "the test's numbers are small"
)]

use bitbench_engine::cpu::{Cpu, Feature};
use bitbench_engine::heads::{
    self, Candidate, HEADS, Head, HeadChoice, HeadSource, HeadWork, NotFinite, Team,
};
use bitbench_engine::kernels::{self, Family, PackError, PackedMatrix};
use bitbench_engine::model::{Architecture, Config, Model, RopePairing};
use bitbench_engine::network::{HeadOptions, Network};
use bitbench_engine::ops::SharedIsa;
use bitbench_engine::session::{Session, greedy};
use bitbench_engine::threads::Pool;
use bitbench_engine::weights::{DenseMatrix, LinearWeights};
use std::sync::Arc;

/// A stream of numbers from a seed (xorshift64*, Vigna 2016); not the generator the engine ships.
struct Random(u64);

impl Random {
    fn unit(&mut self) -> f32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 40;
        high as f32 / (1 << 23) as f32 - 1.0
    }

    /// Roughly normal, with variance 1.
    fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.unit()).sum::<f32>() / 2.0
    }

    fn normals(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.normal()).collect()
    }

    fn rows(&mut self, rows: usize, cols: usize) -> Vec<Vec<f32>> {
        (0..rows).map(|_| self.normals(cols)).collect()
    }
}

fn matrix(rows: &[Vec<f32>]) -> DenseMatrix {
    DenseMatrix::new(rows.len(), rows[0].len(), Arc::new(rows.to_vec()), "a head")
}

fn pack(choice: &HeadChoice, rows: &[Vec<f32>], cpu: &Cpu) -> Result<Box<dyn Head>, PackError> {
    let weights = matrix(rows);
    let variant = kernels::best(Family::F16, cpu);
    let half = || {
        (variant.pack)(&LinearWeights::Dense(weights.clone()), cpu)
            .map(Arc::<dyn PackedMatrix>::from)
    };
    (choice.pack)(&HeadSource {
        weights: &weights,
        half: &half,
        half_kernel: variant.name,
        cpu,
    })
}

/// Threads and instruction set to run heads with.
struct Bench {
    cpu: Cpu,
    pool: Pool,
}

impl Bench {
    /// One thread and several on this CPU, and CPUs that have less: one for each instruction set that heads have loops for.
    fn all() -> Vec<Bench> {
        let mut cpus = vec![(Cpu::detect(), 1), (Cpu::detect(), 3)];
        let mut cpu = Cpu::detect();
        while let [_, others @ ..] = &heads::isa_names(&cpu)[..]
            && others.len() > 1
        {
            cpu = Feature::ALL
                .into_iter()
                .map(|feature| cpu.without(feature))
                .find(|less| heads::isa_names(less) == others)
                .expect("a feature makes the difference");
            cpus.push((cpu, 2));
        }
        cpus.push((Cpu::scalar(), 2));
        let bench = |(cpu, threads)| Bench {
            cpu,
            pool: Pool::new(threads).unwrap(),
        };
        cpus.into_iter().map(bench).collect()
    }

    fn team(&self) -> Team<'_> {
        Team {
            pool: &self.pool,
            isa: SharedIsa::best(&self.cpu),
        }
    }

    fn logits(&self, head: &dyn Head, x: &[f32]) -> Vec<f32> {
        let mut work = HeadWork::new();
        head.logits(x, self.team(), &mut work);
        work.logits().to_vec()
    }

    fn top(
        &self,
        head: &dyn Head,
        x: &[f32],
        k: usize,
    ) -> Result<(Vec<Candidate>, u64), NotFinite> {
        let (mut largest, bytes) = head.top(x, k, self.team(), &mut HeadWork::new())?;
        assert_eq!(largest.len(), 1, "x is one token");
        Ok((largest.remove(0), bytes))
    }
}

/// The definition: sorted by logit, equal ones by token.
fn sorted(logits: &[f32], k: usize) -> Vec<(u32, u32)> {
    let mut order: Vec<u32> = (0..logits.len() as u32).collect();
    order.sort_by(|a, b| {
        logits[*b as usize]
            .partial_cmp(&logits[*a as usize])
            .unwrap()
    });
    order
        .iter()
        .take(k)
        .map(|token| (*token, logits[*token as usize].to_bits()))
        .collect()
}

fn bits(candidates: &[Candidate]) -> Vec<(u32, u32)> {
    candidates
        .iter()
        .map(|c| (c.token, c.logit.to_bits()))
        .collect()
}

/// Exact heads give the logits, the greedy token and the largest `k` of the half-precision head, bit for bit.
fn check_exact(what: &str, rows: &[Vec<f32>], states: &[Vec<f32>]) {
    for bench in Bench::all() {
        let reference = pack(heads::default(), rows, &bench.cpu).unwrap();
        for choice in HEADS.iter().filter(|choice| choice.exact) {
            let head = pack(choice, rows, &bench.cpu).unwrap();
            // One working memory for all: nothing of the last token may show.
            let mut work = HeadWork::new();
            for (state, x) in states.iter().enumerate() {
                let expected = bench.logits(&*reference, x);
                let finite = expected.iter().all(|logit| logit.is_finite());
                for k in [1, 2, 7, 40, rows.len() + 3] {
                    let at = format!(
                        "{what}, state {state}, {} on {} top {k}",
                        choice.name,
                        head.kernel()
                    );
                    match head.top(x, k, bench.team(), &mut work) {
                        Ok((top, _)) => {
                            assert!(finite, "{at}: the logits are not finite");
                            assert_eq!(top.len(), 1, "{at}");
                            assert_eq!(bits(&top[0]), sorted(&expected, k), "{at}");
                        }
                        Err(NotFinite) => assert!(!finite, "{at}: all logits are finite"),
                    }
                }
                head.logits(x, bench.team(), &mut work);
                let same = work
                    .logits()
                    .iter()
                    .zip(&expected)
                    .all(|(a, b)| a.to_bits() == b.to_bits());
                assert!(
                    same || !finite,
                    "{what}, state {state}: all logits of {}",
                    choice.name
                );
            }
        }
    }
}

#[test]
fn exact_heads_agree_on_random_rows_of_any_shape() {
    let mut random = Random(1);
    for (rows, cols) in [
        (1, 1),
        (2, 31),
        (7, 32),
        (8, 33),
        (9, 64),
        (31, 65),
        (100, 100),
        (257, 576),
        (600, 2560),
    ] {
        let weights = random.rows(rows, cols);
        let states = random.rows(4, cols);
        check_exact(&format!("{rows} rows of {cols}"), &weights, &states);
    }
}

#[test]
fn exact_heads_agree_where_rows_are_nearly_or_wholly_equal() {
    let mut random = Random(2);
    let (rows, cols) = (300, 200);
    let x = random.normals(cols);
    let base: Vec<f32> = x.iter().map(|v| v * 0.5 + random.unit() * 0.1).collect();
    // Rows that differ in the last bit of one weight, and copies of them far apart.
    let near: Vec<Vec<f32>> = (0..rows)
        .map(|row| {
            let mut near = base.clone();
            let at = row % 11 * 17;
            let half = half_bits(near[at]).wrapping_add((row % 3) as u16);
            near[at] = half_value(half);
            near
        })
        .collect();
    let negative: Vec<f32> = x.iter().map(|v| -v).collect();
    check_exact("near ties", &near, &[x.clone(), negative]);
    check_exact(
        "equal rows",
        &vec![base.clone(); rows],
        std::slice::from_ref(&x),
    );
    check_exact(
        "zeros",
        &vec![vec![0.0; cols]; rows],
        std::slice::from_ref(&x),
    );
    // The winner twice among noise; the first of the two is the answer.
    let mut twice = random.rows(rows, cols);
    twice[123].clone_from(&base);
    twice[250].clone_from(&base);
    check_exact("a pair of winners", &twice, std::slice::from_ref(&x));
    let head = pack(heads::find("screened").unwrap(), &twice, &Cpu::detect()).unwrap();
    let bench = &Bench::all()[0];
    let (top, _) = bench.top(&*head, &x, 2).unwrap();
    assert_eq!([top[0].token, top[1].token], [123, 250]);
}

#[test]
fn exact_heads_agree_on_outliers_zeros_and_extremes() {
    let mut random = Random(3);
    let (rows, cols) = (333, 300);
    let mut weights = random.rows(rows, cols);
    for (row, weights) in weights.iter_mut().enumerate() {
        match row % 6 {
            0 => weights.fill(0.0),
            1 => weights[row % cols] *= 300.0,
            2 => weights.iter_mut().for_each(|w| *w *= 1e-4),
            3 => weights.iter_mut().for_each(|w| *w *= 1e-7), // subnormal in half precision
            4 => weights[32..64].fill(0.0),
            _ => {}
        }
    }
    weights[77] = vec![70000.0; cols]; // saturates
    weights[78] = vec![-1e9; cols];
    let ordinary = random.normals(cols);
    let scaled = |factor: f32| ordinary.iter().map(|v| v * factor).collect::<Vec<f32>>();
    let mut outliers = ordinary.clone();
    (outliers[3], outliers[200], outliers[299]) = (4000.0, -900.0, 100.0);
    let mut lonely = vec![0.0; cols];
    lonely[64] = 1.0;
    let states = vec![
        ordinary.clone(),
        outliers,
        lonely,
        vec![0.0; cols],
        vec![-0.0; cols],
        scaled(1e-30),
        scaled(1e-40),
        scaled(1e20),
        scaled(1e30),
        scaled(1e34), // overflows in some rows
        scaled(3e38), // is infinite in places
    ];
    check_exact("extremes", &weights, &states);
    let not_a_number: Vec<f32> = vec![f32::NAN; cols];
    check_exact("NaN", &weights, &[not_a_number]);
}

#[test]
fn a_clear_winner_costs_a_third_of_the_half_precision_head() {
    let mut random = Random(4);
    // The rows that are computed in half precision come in groups, which are wider on some CPUs and weigh on a small head.
    let (rows, cols) = (16_000, 512);
    let weights = random.rows(rows, cols);
    let bench = &Bench::all()[1];
    let choice = heads::find("screened").unwrap();
    let head = pack(choice, &weights, &bench.cpu).unwrap();
    let half = head.half().unwrap().bytes().len() as u64;
    // The logit of row 1234 lies about 22 standard deviations above the others.
    let (top, bytes) = bench.top(&*head, &weights[1234], 1).unwrap();
    assert_eq!(top[0].token, 1234);
    assert!(bytes < half / 3, "{bytes} of {half} bytes");
    // Without a winner it is more, and still counted: what was read beyond the first plane.
    let (_, more) = bench.top(&*head, &random.normals(cols), 1).unwrap();
    assert!(more > bytes);
    // What is kept is what the list says: the planes, and 16 bytes for each row; rows of the second plane are whole cache lines.
    let expected = rows as f64 * (cols as f64 * choice.bits_per_weight / 8.0 + 16.0);
    let kept = head.bytes() as f64;
    assert!((kept / expected - 1.0).abs() < 0.1, "{kept} and {expected}");
}

#[test]
fn several_tokens_get_the_answers_of_each_alone_and_read_a_plain_head_once() {
    let mut random = Random(5);
    let (rows, cols) = (600, 300);
    let weights = random.rows(rows, cols);
    let states: Vec<Vec<f32>> = (0..5).map(|_| random.normals(cols)).collect();
    let together = states.concat();
    for bench in Bench::all() {
        for choice in HEADS {
            let head = pack(choice, &weights, &bench.cpu).unwrap();
            let what = format!("{} on {}", choice.name, head.kernel());
            let mut work = HeadWork::new();
            let (all, bytes) = head.top(&together, 3, bench.team(), &mut work).unwrap();
            assert_eq!(all.len(), states.len(), "{what}");
            let mut one_by_one = 0;
            for (x, several) in states.iter().zip(&all) {
                let (alone, bytes) = bench.top(&*head, x, 3).unwrap();
                one_by_one += bytes;
                for (a, b) in alone.iter().zip(several) {
                    assert_eq!(a.token, b.token, "{what}");
                    // One token adds up the half-precision rows in another order than several.
                    let slack = if choice.name == "f16" { 1e-5 } else { 0.0 };
                    assert!(
                        (a.logit - b.logit).abs() <= slack * a.logit.abs(),
                        "{what}: {a:?} and {b:?}"
                    );
                }
            }
            let expected = match choice.name {
                "screened" => one_by_one,
                _ => one_by_one / states.len() as u64,
            };
            assert_eq!(bytes, expected, "{what}");
            let all = bench.logits(&*head, &together);
            assert_eq!(all.len(), states.len() * head.vocab(), "{what}");
        }
    }
}

/// Half the largest step that a format can have for the weight at `column`, as its documentation derives it.
type HalfStep = fn(row: &[f32], column: usize) -> f64;

fn largest(weights: &[f32]) -> f64 {
    weights
        .iter()
        .fold(0.0, |largest, w| f64::from(w.abs()).max(largest))
}

/// What rounding upwards to half precision can add.
fn half_up(value: f64) -> f64 {
    value * (1.0 + 2f64.powi(-10)) + 2f64.powi(-24)
}

fn q8_0_half_step(row: &[f32], column: usize) -> f64 {
    let block = row.chunks(32).nth(column / 32).unwrap();
    half_up(largest(block) / 127.0) / 2.0
}

fn q6_k_half_step(row: &[f32], column: usize) -> f64 {
    // `s` is rounded upwards to a multiple of d, which is at most the largest step of the block over 127.
    let block = row.chunks(256).nth(column / 256).unwrap();
    let own = row.chunks(16).nth(column / 16).unwrap();
    (largest(own) / 31.5 + half_up(largest(block) / 31.5 / 127.0)) / 2.0
}

#[test]
fn approximate_heads_stay_within_the_bound_of_their_format() {
    let formats: &[(&str, HalfStep)] = &[("q8_0", q8_0_half_step), ("q6_k", q6_k_half_step)];
    let named: Vec<&str> = formats.iter().map(|f| f.0).collect();
    let approximate: Vec<&str> = HEADS.iter().filter(|h| !h.exact).map(|h| h.name).collect();
    assert_eq!(
        named, approximate,
        "every approximate head has a bound here"
    );
    let mut random = Random(5);
    let mut typical = Vec::new();
    for (name, half_step) in formats {
        let mut squares = [0.0f64; 2];
        for (rows, cols) in [(1, 1), (5, 31), (8, 32), (9, 257), (17, 576), (64, 2560)] {
            let mut weights = random.rows(rows, cols);
            weights[0][0] *= 50.0;
            weights[rows - 1].iter_mut().for_each(|w| *w *= 1e-5); // steps that are subnormal in half precision
            for mut x in random.rows(3, cols) {
                x[cols / 2] *= 20.0;
                for bench in Bench::all() {
                    let head = pack(heads::find(name).unwrap(), &weights, &bench.cpu).unwrap();
                    let reference = pack(heads::default(), &weights, &bench.cpu).unwrap();
                    let logits = bench.logits(&*head, &x);
                    let exact = bench.logits(&*reference, &x);
                    for (row, weights) in weights.iter().enumerate() {
                        let error = f64::from(logits[row]) - f64::from(exact[row]);
                        let bound = bound(weights, &x, *half_step);
                        assert!(
                            error.abs() <= bound,
                            "{} of {rows} x {cols}, row {row}: off by {error:e}, more than {bound:e}",
                            head.kernel()
                        );
                        if cols == 2560 && row + 1 < rows && row > 0 {
                            squares[0] += error * error;
                            squares[1] += f64::from(exact[row]).powi(2);
                        }
                    }
                }
            }
        }
        typical.push((squares[0] / squares[1]).sqrt());
    }
    // Not a bound: uniform errors of a step, some 4.2 and 2.1 normal deviations long over 254 and 63 codes, over the root of 12.
    assert!(
        (0.003..0.008).contains(&typical[0]),
        "q8_0 is off by {} of a logit",
        typical[0]
    );
    assert!(
        (0.01..0.03).contains(&typical[1]),
        "q6_k is off by {} of a logit",
        typical[1]
    );
}

/// How far the logit of a row can be from that of the half-precision head.
fn bound(weights: &[f32], x: &[f32], half_step: HalfStep) -> f64 {
    let roundings = (weights.len() + 16) as f64 * 2f64.powi(-24);
    let gamma = roundings / (1.0 - roundings);
    // Half a step of the fixed point, and what dividing by its scale in single precision can add.
    let fixed = largest(x) / 32512.0 * 0.51;
    let mut bound = f64::from(f32::MIN_POSITIVE);
    for (column, (w, x)) in weights.iter().zip(x).enumerate() {
        let (w, x) = (f64::from(w.abs()), f64::from(x.abs()));
        let step = half_step(weights, column);
        let half = w * 2f64.powi(-11) + 2f64.powi(-25);
        bound += step * x + (w + step) * fixed + gamma * (w + step) * (x + fixed); // this head
        bound += half * x + gamma * (w + half) * x; // the half-precision one
    }
    bound
}

#[test]
fn damaged_rows_are_refused_by_every_head() {
    for choice in HEADS {
        for bad in [f32::NAN, f32::INFINITY] {
            let mut rows = Random(6).rows(20, 40);
            rows[13][7] = bad;
            let refused = pack(choice, &rows, &Cpu::detect()).err();
            assert_eq!(
                refused,
                Some(PackError::NotFinite { row: 13 }),
                "{}",
                choice.name
            );
        }
    }
}

#[test]
fn heads_have_names_of_their_own_and_are_found_by_them() {
    for (index, choice) in HEADS.iter().enumerate() {
        assert_eq!(heads::find(choice.name).map(|h| h.name), Some(choice.name));
        assert!(HEADS[..index].iter().all(|other| other.name != choice.name));
    }
    assert!(heads::find("f32").is_none());
    assert_eq!(heads::default().name, "f16");
}

fn tiny() -> Config {
    Config {
        architecture: Architecture::BitnetB158,
        vocab: 1001,
        hidden: 256,
        ffn: 512,
        layers: 2,
        heads: 6,
        kv_heads: 2,
        head_dim: 24,
        rms_epsilon: 1e-5,
        rope_base: 10000.0,
        rope_dims: 24,
        rope_pairing: RopePairing::Halves,
        rope_linear_factor: 1.0,
        context_length: 64,
    }
}

#[test]
fn a_session_chooses_the_token_of_its_logits_with_every_head() {
    for tied in [true, false] {
        let model = Model::synthetic(&tiny(), tied, 9);
        let cpu = Cpu::detect();
        let kernel = kernels::best(Family::I2s, &cpu);
        let mut tokens_of_f16 = Vec::new();
        for choice in HEADS {
            let options = HeadOptions {
                choice,
                portable: false,
            };
            let network = Arc::new(Network::pack_with_head(&model, kernel, options, &cpu).unwrap());
            let mut session = Session::new(Arc::clone(&network), 2, 32).unwrap();
            let mut token = session.run_greedy(&[1, 2, 3]).unwrap();
            let mut tokens = vec![token];
            let before = session.head_bytes();
            for _ in 0..8 {
                let logits = session.run(&[token]).unwrap().to_vec();
                assert_eq!(
                    session.greedy().unwrap(),
                    greedy(&logits),
                    "{}",
                    choice.name
                );
                let top = session.top_k(5).unwrap();
                assert_eq!(bits(&top), sorted(&logits, 5), "{}", choice.name);
                token = top[0].token;
                tokens.push(token);
            }
            assert!(session.head_bytes() - before >= 16 * network.head_stream_bytes());
            if choice.exact && !tokens_of_f16.is_empty() {
                assert_eq!(tokens, tokens_of_f16, "{}", choice.name);
            }
            if choice.name == "f16" {
                tokens_of_f16 = tokens;
            }
            // A reference head gives the same bits.
            let options = HeadOptions {
                choice,
                portable: true,
            };
            let reference =
                Arc::new(Network::pack_with_head(&model, kernel, options, &cpu).unwrap());
            let expected = Session::new(reference, 1, 32)
                .unwrap()
                .run_all(&[5, 6, 7])
                .unwrap();
            let got = Session::new(network, 2, 32)
                .unwrap()
                .run_all(&[5, 6, 7])
                .unwrap();
            assert!(
                got.iter()
                    .zip(&expected)
                    .all(|(a, b)| a.to_bits() == b.to_bits()),
                "{}",
                choice.name
            );
        }
    }
}

#[test]
fn every_copy_of_the_head_counts_as_weights() {
    let config = tiny();
    let cpu = Cpu::detect();
    let kernel = kernels::best(Family::I2s, &cpu);
    let bytes = |name: &str, tied| {
        let choice = heads::find(name).unwrap();
        let model = Model::synthetic(&config, tied, 9);
        let options = HeadOptions {
            choice,
            portable: false,
        };
        let network = Network::pack_with_head(&model, kernel, options, &cpu).unwrap();
        let estimate = Network::estimated_bytes(&config, tied, kernel, choice) as f64;
        let all = network.weights_bytes();
        assert!(
            (all as f64 / estimate - 1.0).abs() < 0.1,
            "{name}: {all} and {estimate}"
        );
        assert!(network.weights_bytes_per_token() <= all + 4 * config.hidden as u64);
        all
    };
    let table = 2 * (config.vocab * config.hidden) as u64;
    // A matrix of its own. A panel of rows is as long as threads split at, and the last one is padded; 256 columns need no padding.
    let half = kernels::best(Family::F16, &cpu);
    let weights = Model::synthetic(&config, true, 9).embedding;
    let row_block = (half.pack)(&LinearWeights::Dense(weights), &cpu)
        .unwrap()
        .row_block();
    let second = bytes("f16", false) - bytes("f16", true);
    assert_eq!(
        second,
        2 * (config.vocab.next_multiple_of(row_block) * config.hidden) as u64
    );
    assert_eq!(bytes("screened", false), bytes("screened", true) + second);
    assert!(bytes("screened", true) > bytes("f16", true) + table / 2);
    // An approximate head needs no rows in half precision beside the embedding.
    assert_eq!(bytes("q8_0", false), bytes("q8_0", true));
    assert!(bytes("q8_0", false) < bytes("f16", false));
}

fn half_bits(value: f32) -> u16 {
    // The cases need a normal number of half precision: sign, exponent less 112, the upper ten bits.
    let bits = value.to_bits();
    ((bits >> 16) & 0x8000 | (((bits >> 13) & 0x3_ffff) - (112 << 10)) & 0x7fff) as u16
}

fn half_value(bits: u16) -> f32 {
    let bits = u32::from(bits);
    f32::from_bits((bits & 0x8000) << 16 | ((bits & 0x7fff) + (112 << 10)) << 13)
}
