//! Coverage of the interval and false positives of the paired test on made-up machines, with fixed seeds.

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

/// An order of two contenders over so many rounds: whether the second one runs at each point in time.
type Order = fn(&mut Chance, usize) -> Vec<bool>;

/// Pairs of rounds, AB BA or BA AB by a coin.
fn mirrored(chance: &mut Chance, rounds: usize) -> Vec<bool> {
    let block = |_| {
        let first = chance.share() < 0.5;
        [first, !first, !first, first]
    };
    (0..rounds / 2).flat_map(block).collect()
}

/// All rounds of the one, then all of the other: how it is usually done.
fn sequential(_: &mut Chance, rounds: usize) -> Vec<bool> {
    (0..2 * rounds).map(|at| at >= rounds).collect()
}

/// How often the paired test calls two contenders different at 5 %, the second being slower by `effect`.
fn flagged(drift: Drift, effect: f64, order: Order) -> f64 {
    const ROUNDS: usize = 12;
    let mut chance = Chance::new(2);
    let mut flagged = 0;
    for _ in 0..TRIALS {
        let slowness = drift(&mut chance, 2 * ROUNDS);
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for (slowness, is_second) in slowness.iter().zip(order(&mut chance, ROUNDS)) {
            let time = slowness + chance.process();
            if is_second {
                second.push(time + effect);
            } else {
                first.push(time);
            }
        }
        let differences: Vec<f64> = second.iter().zip(&first).map(|(b, a)| b - a).collect();
        let p = sign_flip(&differences, Tail::Both, 0).unwrap().p;
        flagged += u32::from(p <= 0.05);
    }
    f64::from(flagged) / f64::from(TRIALS)
}

#[test]
fn mirrored_rounds_hold_what_the_test_promises_whatever_the_machine_does() {
    for (name, drift) in DRIFTS {
        let (false_alarms, found) = (
            flagged(drift, 0.0, mirrored),
            flagged(drift, 0.05, mirrored),
        );
        println!(
            "{name}: {:.1} % false alarms, 5 % found in {:.1} %",
            false_alarms * 100.0,
            found * 100.0
        );
        assert!(false_alarms < 0.05 + TOLERANCE, "{name}: {false_alarms}");
        assert!(found > 0.95, "{name}: {found}");
    }
}

#[test]
fn one_after_the_other_is_fooled_by_every_drift() {
    for (name, drift) in DRIFTS {
        let false_alarms = flagged(drift, 0.0, sequential);
        println!(
            "{name}, sequential: {:.1} % false alarms",
            false_alarms * 100.0
        );
        match name {
            "none" => assert!(false_alarms < 0.05 + TOLERANCE, "{false_alarms}"),
            _ => assert!(false_alarms > 0.10, "{name}: {false_alarms}"),
        }
    }
}
