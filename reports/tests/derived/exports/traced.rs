//! A data base of a stored run with the views of `trace.sql`, and statistics of ratios that were written a second time.

use super::golden::open;
use super::statistics;
use rusqlite::{Connection, OptionalExtension};
use std::collections::BTreeMap;

/// Fields behind a column, `""` for its own; what is not known is not there.
pub(super) type Numbers = BTreeMap<&'static str, f64>;

/// A row of the table `job`.
#[derive(Clone)]
pub(super) struct Job {
    pub(super) place: i64,
    pub(super) id: String,
    pub(super) status: String,
    /// What rows must share to be held against each other.
    contest: String,
    pub(super) half: bool,
    pub(super) model: String,
    /// With its head, where that is not in half precision.
    pub(super) kernel: String,
    pub(super) head: String,
    pub(super) threads: i64,
    pub(super) prefill: i64,
    pub(super) decode: i64,
    pub(super) batch: i64,
    pub(super) layer: bool,
    pub(super) ternarized: bool,
    pub(super) control_of: Option<String>,
}

/// Two rows in one round.
pub(super) struct Pair {
    own: f64,
    other: f64,
    ratio: f64,
}

/// A data base with the views of `trace.sql`.
pub(super) struct Traced {
    pub(super) connection: Connection,
    seed: u64,
}

impl Traced {
    pub(super) fn new(bytes: &[u8]) -> Traced {
        let connection = open(bytes);
        connection.execute_batch(include_str!("trace.sql")).unwrap();
        let seed: String = connection
            .query_row("SELECT seed FROM run", (), |row| row.get(0))
            .unwrap();
        Traced {
            connection,
            seed: seed.parse().unwrap(),
        }
    }

    /// The rows of the report: controls are none.
    pub(super) fn jobs(&self) -> Vec<Job> {
        let mut jobs = self.all_jobs();
        jobs.retain(|job| job.control_of.is_none());
        jobs
    }

    pub(super) fn all_jobs(&self) -> Vec<Job> {
        let mut jobs = self
            .connection
            .prepare(
                "SELECT job, id, status,
                    concat_ws('/', model, head, threads, prefill_tokens, decode_tokens, batch), precision = 'half',
                    model, kernel || iif(head = 'f16', '', ' + ' || head), head, threads, prefill_tokens, decode_tokens, batch,
                    layer_rows IS NOT NULL, ternarized, control_of
                 FROM job JOIN status USING (job) ORDER BY job",
            )
            .unwrap();
        let jobs = jobs.query_map((), |row| {
            Ok(Job {
                place: row.get(0)?,
                id: row.get(1)?,
                status: row.get(2)?,
                contest: row.get(3)?,
                half: row.get(4)?,
                model: row.get(5)?,
                kernel: row.get(6)?,
                head: row.get(7)?,
                threads: row.get(8)?,
                prefill: row.get(9)?,
                decode: row.get(10)?,
                batch: row.get(11)?,
                layer: row.get(12)?,
                ternarized: row.get(13)?,
                control_of: row.get(14)?,
            })
        });
        jobs.unwrap().map(Result::unwrap).collect()
    }

    pub(super) fn fact(&self, job: &Job, what: &str) -> Numbers {
        let value = self.connection.query_row(
            "SELECT value FROM fact WHERE job = ? AND what = ?",
            (job.place, what),
            |row| row.get(0),
        );
        value
            .optional()
            .unwrap()
            .map(|value| ("", value))
            .into_iter()
            .collect()
    }

    pub(super) fn figure(&self, job: &Job, what: &str) -> Numbers {
        let figure = self.connection.query_row(
            "SELECT median, low, high, n, mad FROM figure WHERE job = ? AND what = ?",
            (job.place, what),
            |row| {
                let mut numbers = Numbers::new();
                for (index, what) in ["", "min", "max", "n", "mad"].into_iter().enumerate() {
                    if let Some(number) = row.get(index)? {
                        numbers.insert(what, number);
                    }
                }
                Ok(numbers)
            },
        );
        figure.optional().unwrap().unwrap_or_default()
    }

    /// The fastest half-precision row that a row is held against.
    pub(super) fn baseline(&self, job: &Job, speed: &str) -> Option<Job> {
        let mut best: Option<(f64, Job)> = None;
        for other in self.jobs() {
            let median = self.figure(&other, speed).get("").copied();
            if let Some(median) = median.filter(|_| other.half && other.contest == job.contest)
                && best.as_ref().is_none_or(|(fastest, _)| median > *fastest)
            {
                best = Some((median, other));
            }
        }
        best.map(|(_, job)| job)
    }

    /// What two rows gave in the same rounds, if both have a number in every window, and the ratio of these; where they took
    /// turns in slices, that is the median over the slices that both have.
    pub(super) fn pairs(&self, job: &Job, baseline: &Job, what: &str) -> Vec<Pair> {
        let mut pairs = self
            .connection
            .prepare(
                "SELECT own.value, other.value, round FROM whole own JOIN whole other USING (round, what)
                 WHERE own.job = ? AND other.job = ? AND what = ? ORDER BY round",
            )
            .unwrap();
        let mut slices = self
            .connection
            .prepare(
                "SELECT own.rate / other.rate FROM slice own JOIN slice other USING (round, phase, slice)
                 WHERE own.job = ? AND other.job = ? AND round = ? AND phase = ?",
            )
            .unwrap();
        let phase = match what {
            "prefill_tokens_per_second" => "prefill",
            "decode_tokens_per_second" => "decode",
            "multiply_gop_per_second" => "multiply",
            _ => "",
        };
        let mut found = Vec::new();
        let mut rows = pairs.query((job.place, baseline.place, what)).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let (own, other, round): (f64, f64, i64) = row.try_into().unwrap();
            let ratios =
                slices.query_map((job.place, baseline.place, round, phase), |row| row.get(0));
            let ratios: Vec<f64> = ratios.unwrap().map(|r| r.map(f64::ln).unwrap()).collect();
            let ratio = if ratios.is_empty() {
                own / other
            } else {
                statistics::median(ratios).exp()
            };
            found.push(Pair { own, other, ratio });
        }
        found
    }

    /// On what the energy of two rows rests, where that allows to compare them.
    fn comparable_energy(&self, job: &Job, baseline: &Job) -> bool {
        let basis = |job: &Job| -> Option<String> {
            let basis = self.connection.query_row(
                "SELECT basis FROM basis WHERE job = ? AND agreed AND NOT simulated",
                [job.place],
                |row| row.get(0),
            );
            basis.optional().unwrap()
        };
        basis(job).is_some() && basis(job) == basis(baseline)
    }

    pub(super) fn ratio(&self, job: &Job, column: &str) -> Numbers {
        let decode = "decode_tokens_per_second";
        let joules = "decode_joules_per_token";
        // Which figure, whose fastest is the baseline, and what a ratio is in the unit of the column.
        let (what, speed, unit): (&str, &str, fn(f64) -> f64) = match column {
            "prefill_speedup" => (
                "prefill_tokens_per_second",
                "prefill_tokens_per_second",
                |r| r,
            ),
            "decode_speedup" => (decode, decode, |r| r),
            "multiply_speedup" => ("multiply_gop_per_second", "multiply_gop_per_second", |r| r),
            "energy_saved_percent" => (joules, decode, |r| 100.0 - 100.0 * r),
            "prefill_energy_saved_percent" => (
                "prefill_joules_per_token",
                "prefill_tokens_per_second",
                |r| 100.0 - 100.0 * r,
            ),
            "saved_by_speed_percent" => (decode, decode, |r| 100.0 - 100.0 / r),
            other => panic!("nobody says how {other} is derived"),
        };
        let of_energy = column.contains("saved");
        let Some(baseline) = self.baseline(job, speed) else {
            return Numbers::new();
        };
        let pairs = self.pairs(job, &baseline, what);
        let energy = !of_energy
            || self.comparable_energy(job, &baseline)
                && (what != decode || !self.pairs(job, &baseline, joules).is_empty());
        if pairs.is_empty() || !energy {
            return Numbers::new();
        }
        if baseline.place == job.place {
            return Numbers::from([("", unit(1.0))]);
        }
        self.of_pairs(&pairs, unit)
    }

    /// All that is said of pairs of rounds; `unit` is what a ratio is in the unit that is shown.
    pub(super) fn of_pairs(&self, pairs: &[Pair], unit: fn(f64) -> f64) -> Numbers {
        let logarithms: Vec<f64> = pairs.iter().map(|pair| pair.ratio.ln()).collect();
        let ratios: Vec<f64> = pairs.iter().map(|pair| unit(pair.ratio)).collect();
        let sorted = |a: f64, b: f64| (a.min(b), a.max(b));
        let mut numbers = Numbers::from([
            ("", unit(statistics::centre(&logarithms).exp())),
            ("min", ratios.iter().copied().fold(f64::INFINITY, f64::min)),
            (
                "max",
                ratios.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            ),
            ("n", ratios.len() as f64),
        ]);
        if let Some((low, high, level)) = statistics::interval(&logarithms) {
            let (low, high) = sorted(unit(low.exp()), unit(high.exp()));
            numbers.extend([("low", low), ("high", high), ("level", level)]);
        }
        if ratios.len() > 1 {
            let middle = statistics::median(ratios.clone());
            let distances = ratios.iter().map(|ratio| (ratio - middle).abs()).collect();
            let numbers_of: Vec<(f64, f64)> =
                pairs.iter().map(|pair| (pair.own, pair.other)).collect();
            let (ratio, low, high) = statistics::ratio_of_medians(&numbers_of, self.seed);
            let (low, high) = sorted(unit(low), unit(high));
            numbers.extend([
                ("mad", statistics::median(distances) * 1.4826),
                ("of_medians", unit(ratio)),
                ("of_medians_low", low),
                ("of_medians_high", high),
            ]);
        }
        numbers
    }
}
