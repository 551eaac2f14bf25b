//! Coverage of the interval and false positives of the paired test on made-up machines, with fixed seeds.

use bitbench_reports::design::row;
use bitbench_reports::gate::{Decision, Evidence, alpha_of_look};
use bitbench_reports::judge::{ALPHA, MINIMUM_EFFECT};
use bitbench_reports::record::GatePolicy;
use bitbench_reports::stats::*;
use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::Rng;

const TRIALS: u32 = 2_000;

/// Three standard errors of a share of about one in twenty, over [`TRIALS`].
const TOLERANCE: f64 = 0.015;

/// A source of chance with a fixed seed.
struct Chance(Pcg64Mcg);

impl Chance {
    fn new(seed: u64) -> Chance {
        Chance(Pcg64Mcg::new(u128::from(seed) << 1 | 1))
    }

    fn share(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A standard normal number: Box and Muller (1958).
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.share()).ln()).sqrt();
        radius * (2.0 * std::f64::consts::PI * self.share()).cos()
    }

    fn exponential(&mut self) -> f64 {
        -(1.0 - self.share()).ln()
    }

    /// Noise of one process: 1 %, and one in twenty slow by 3 to 12 %.
    fn process(&mut self) -> f64 {
        let slow = self.share() < 0.05;
        0.01 * self.normal()
            + if slow {
                0.03 + 0.09 * self.share()
            } else {
                0.0
            }
    }
}

#[test]
fn the_interval_covers_as_often_as_it_says() {
    type Noise = (&'static str, fn(&mut Chance) -> f64);
    let noises: [Noise; 4] = [
        ("normal", |c| 0.01 * c.normal()),
        // Of a pair of skewed times: what a paired design leaves of the skew.
        ("skewed", |c| 0.02 * (c.exponential() - c.exponential())),
        // Of a pair of Cauchy numbers, which has no variance.
        ("heavy", |c| {
            let quotient = |c: &mut Chance| 0.005 * c.normal() / c.normal();
            quotient(c) - quotient(c)
        }),
        ("slow outliers", |c| c.process() - c.process()),
    ];
    let mut chance = Chance::new(1);
    let truth = 1.03_f64.ln();
    for (name, noise) in noises {
        for n in [6, 8, 10, 12, 16, 20] {
            let mut covered = 0;
            let mut level = 0.0;
            for _ in 0..TRIALS {
                let values: Vec<f64> = (0..n).map(|_| truth + noise(&mut chance)).collect();
                let interval = signed_rank_interval(&values, 0.95).unwrap();
                covered += u32::from(interval.low <= truth && truth <= interval.high);
                level = interval.level;
            }
            let coverage = f64::from(covered) / f64::from(TRIALS);
            println!(
                "{name}, {n} values: {:.1} % for {:.1} %",
                coverage * 100.0,
                level * 100.0
            );
            assert!(
                (coverage - level).abs() < TOLERANCE,
                "{name}, {n} values: {coverage} for {level}"
            );
        }
    }
}

/// What a machine does while it is measured: the slowness at each of so many points in time.
type Drift = fn(&mut Chance, usize) -> Vec<f64>;

/// The drifts of `harness.md` 4.3 (Firecracker, larql): none, a ramp, a neighbour for 40 % of the session, and noise that lasts.
const DRIFTS: [(&str, Drift); 5] = [
    ("none", |_, length| vec![0.0; length]),
    ("ramp of 3 %", |_, length| {
        (0..length)
            .map(|i| 0.03 * i as f64 / length as f64)
            .collect()
    }),
    ("neighbour of 4 %", |chance, length| {
        let start = (0.6 * chance.share() * length as f64).floor();
        let busy = start..start + 0.4 * length as f64;
        (0..length)
            .map(|i| {
                if busy.contains(&(i as f64)) {
                    0.04
                } else {
                    0.0
                }
            })
            .collect()
    }),
    ("AR(1) of 0.9", |chance, length| {
        autocorrelated(chance, length, 0.9)
    }),
    ("AR(1) of 0.5", |chance, length| {
        autocorrelated(chance, length, 0.5)
    }),
];

/// Noise of 1.5 % of which a share lasts from one process to the next.
fn autocorrelated(chance: &mut Chance, length: usize, lasts: f64) -> Vec<f64> {
    let mut level = 0.015 * chance.normal();
    let mut step = || {
        level = lasts * level + 0.015 * (1.0 - lasts * lasts).sqrt() * chance.normal();
        level
    };
    (0..length).map(|_| step()).collect()
}

/// Who runs at each point in time, by the number of the contender: so many contenders over so many rounds.
type Order = fn(seed: u64, contenders: usize, rounds: u32) -> Vec<usize>;

/// The order of a run.
fn blocks(seed: u64, contenders: usize, rounds: u32) -> Vec<usize> {
    (0..rounds)
        .flat_map(|round| row(seed, 0, round, contenders))
        .collect()
}

/// All rounds of the one, then all of the next: how it is usually done.
fn sequential(_: u64, contenders: usize, rounds: u32) -> Vec<usize> {
    (0..contenders)
        .flat_map(|contender| (0..rounds).map(move |_| contender))
        .collect()
}

/// How often the paired test calls the first two contenders different at 5 %, the second being slower by `effect`; and how
/// often they are judged to be, the estimate being beyond the minimum effect besides.
fn flagged(drift: Drift, effect: f64, contenders: usize, order: Order) -> (f64, f64) {
    const ROUNDS: u32 = 12;
    let mut chance = Chance::new(2);
    let (mut flagged, mut judged) = (0, 0);
    for trial in 0..TRIALS {
        let order = order(u64::from(trial), contenders, ROUNDS);
        let slowness = drift(&mut chance, order.len());
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for (slowness, contender) in slowness.iter().zip(order) {
            let time = slowness + chance.process();
            match contender {
                0 => first.push(time),
                1 => second.push(time + effect),
                _ => {}
            }
        }
        let differences: Vec<f64> = second.iter().zip(&first).map(|(b, a)| b - a).collect();
        let p = sign_flip(&differences, Tail::Both, 0).unwrap().p;
        flagged += u32::from(p <= ALPHA);
        let estimate = hodges_lehmann(&differences).unwrap();
        judged += u32::from(p <= ALPHA && estimate.abs() >= (1.0 + MINIMUM_EFFECT).ln());
    }
    let share = |count: u32| f64::from(count) / f64::from(TRIALS);
    (share(flagged), share(judged))
}

#[test]
fn the_order_of_a_run_holds_what_the_test_promises_whatever_the_machine_does() {
    for contenders in [2, 5] {
        for (name, drift) in DRIFTS {
            let (false_alarms, false_judgements) = flagged(drift, 0.0, contenders, blocks);
            let (_, found) = flagged(drift, 0.05, contenders, blocks);
            println!(
                "{contenders} contenders, {name}: {:.1} % false alarms, {:.1} % judged so, 5 % found in {:.1} %",
                false_alarms * 100.0,
                false_judgements * 100.0,
                found * 100.0
            );
            assert!(
                false_alarms < 0.05 + TOLERANCE,
                "{contenders}, {name}: {false_alarms}"
            );
            assert!(
                false_judgements < 0.02,
                "{contenders}, {name}: {false_judgements}"
            );
            assert!(found > 0.95, "{contenders}, {name}: {found}");
        }
    }
}

#[test]
fn one_after_the_other_is_fooled_by_every_drift() {
    for (name, drift) in DRIFTS {
        let (false_alarms, _) = flagged(drift, 0.0, 2, sequential);
        println!(
            "{name}, one after the other: {:.1} % false alarms",
            false_alarms * 100.0
        );
        match name {
            "none" => assert!(false_alarms < 0.05 + TOLERANCE, "{false_alarms}"),
            _ => assert!(false_alarms > 0.10, "{name}: {false_alarms}"),
        }
    }
}

/// Costs of the rounds of a run of a gate, whose contenders are both builds and the control, one process after the other.
fn costs(chance: &mut Chance, drift: Drift, effect: f64, seed: u64, rounds: u32) -> Vec<f64> {
    let order = blocks(seed, 3, rounds);
    let slowness = drift(chance, order.len());
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    for (slowness, contender) in slowness.iter().zip(order) {
        let of_build = if contender == 1 { effect } else { 0.0 };
        times[contender].push(slowness + chance.process() + of_build);
    }
    let [base, new, _] = &times;
    new.iter().zip(base).map(|(new, base)| new - base).collect()
}

/// How often a gate of one cell ends as a regression, as fine, and as neither: screening, confirming and more rounds, as they
/// are by default.
fn gated(drift: Drift, effect: f64, limit_percent: f64) -> [f64; 3] {
    let policy = GatePolicy::default();
    let limit = (limit_percent / 100.0).ln_1p();
    let alpha = alpha_of_look(policy.confirm_rounds, policy.most_rounds);
    let mut chance = Chance::new(3);
    let mut ended = [0_u32; 3];
    for trial in 0..TRIALS {
        let seed = u64::from(trial) * 3;
        let decide = |costs: &[f64]| {
            let evidence = Evidence::of(costs, seed).unwrap();
            evidence.decide(limit, evidence.worse_p, evidence.better_p, alpha)
        };
        let screen = costs(&mut chance, drift, effect, seed, policy.screen_rounds);
        let mut decision = Decision::Ok;
        if Evidence::of(&screen, seed).unwrap().doubtful(limit) {
            let mut all = costs(&mut chance, drift, effect, seed + 1, policy.confirm_rounds);
            decision = decide(&all);
            if decision == Decision::Open {
                let more = policy.most_rounds - policy.confirm_rounds;
                all.extend(costs(&mut chance, drift, effect, seed + 2, more));
                decision = decide(&all);
            }
        }
        ended[match decision {
            Decision::Regressed => 0,
            Decision::Ok | Decision::Improved => 1,
            Decision::Open => 2,
        }] += 1;
    }
    ended.map(|count| f64::from(count) / f64::from(TRIALS))
}

#[test]
fn a_gate_blames_no_build_for_what_the_machine_does_and_finds_what_a_build_does() {
    for (name, drift) in DRIFTS {
        let percent = |[regressed, fine, open]: [f64; 3]| {
            format!(
                "{:.1} % regressed, {:.1} % fine, {:.1} % open",
                regressed * 100.0,
                fine * 100.0,
                open * 100.0
            )
        };
        let none = gated(drift, 0.0, 3.0);
        // With next to no limit, what is left is the test alone, with two looks.
        let test_alone = gated(drift, 0.0, 0.01);
        let five = gated(drift, 0.05, 3.0);
        println!("{name}, nothing changed, limit 3 %: {}", percent(none));
        println!(
            "{name}, nothing changed, limit 0.01 %: {}",
            percent(test_alone)
        );
        println!("{name}, 5 % slower, limit 3 %: {}", percent(five));
        assert!(none[0] < 0.005, "{name}: {none:?}");
        assert!(test_alone[0] < 0.05 + TOLERANCE, "{name}: {test_alone:?}");
        assert!(five[0] > 0.95, "{name}: {five:?}");
    }
}
