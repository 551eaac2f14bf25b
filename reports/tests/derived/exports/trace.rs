//! Every number of results.csv from the data base by an independent path: SQL for what windows and rounds give, and
//! statistics of ratios that were written a second time.

use super::golden::open;
use super::statistics;
use super::stored::STORED;
use bitbench_reports::columns::{COLUMNS, Kind};
use bitbench_reports::export::Format;
use bitbench_reports::report::Report;
use rusqlite::{Connection, OptionalExtension};
use std::collections::BTreeMap;

/// Fields behind a column, `""` for its own; what is not known is not there.
type Numbers = BTreeMap<&'static str, f64>;

#[test]
fn every_number_of_the_table_follows_from_the_record() {
    let mut of_column: BTreeMap<&str, usize> = BTreeMap::new();
    for stored in &STORED {
        let records = stored.read();
        let report = Report::new(&records);
        let made = |name: &str| (Format::find(name).unwrap().make)(&records, &report).unwrap();
        let traced = Traced::new(&made("sqlite"));
        let csv = made("csv");
        let mut reader = csv::Reader::from_reader(&csv[..]);
        let header: Vec<String> = reader
            .headers()
            .unwrap()
            .iter()
            .map(ToOwned::to_owned)
            .collect();
        let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        assert_eq!(rows.len(), traced.jobs().len(), "{}", stored.folder);
        for (row, job) in rows.iter().zip(traced.jobs()) {
            let field = |name: &str| {
                let index = header.iter().position(|h| h == name).unwrap();
                row.get(index).unwrap().to_owned()
            };
            assert_eq!(field("job"), job.id);
            assert_eq!(field("status"), job.status, "{}", job.id);
            for column in COLUMNS {
                let expected = match column.kind {
                    Kind::Text => continue,
                    Kind::Fact { .. } => traced.fact(&job, column.id),
                    Kind::Measured { .. } => traced.figure(&job, column.id),
                    Kind::Ratio { .. } => traced.ratio(&job, column.id),
                };
                let mut names = vec![""];
                let beside = bitbench_reports::render::csv::fields_beside(column.kind);
                names.extend(beside.iter().map(|(what, _)| *what));
                let scale = expected
                    .values()
                    .fold(0.0_f64, |scale, v| scale.max(v.abs()));
                for what in names {
                    let name = match what {
                        "" => column.id.to_owned(),
                        what => format!("{}_{what}", column.id),
                    };
                    let context = format!("{name} of {} in {}", job.id, stored.folder);
                    let found = field(&name);
                    match expected.get(what) {
                        None => assert_eq!(found, "", "{context}"),
                        Some(expected) => {
                            let found: f64 = found.parse().unwrap_or_else(|_| {
                                panic!("{context}: `{found}`, expected {expected}")
                            });
                            // Deviations are small differences of large numbers.
                            let far = (found - expected).abs();
                            assert!(
                                far <= scale * 1e-9,
                                "{context}: {found}, expected {expected}"
                            );
                            *of_column.entry(column.id).or_default() += 1;
                        }
                    }
                }
            }
        }
    }
    let traced: usize = of_column.values().sum();
    assert!(traced > 2500, "{traced}");
    // A column that no stored run has would be traced to nothing.
    for column in COLUMNS.iter().filter(|c| c.kind != Kind::Text) {
        assert!(
            of_column.contains_key(column.id),
            "no stored run has {}",
            column.id
        );
    }
    println!("{traced} numbers traced");
}

/// A row of the table `job`.
#[derive(Clone)]
struct Job {
    place: i64,
    id: String,
    status: String,
    /// What rows must share to be held against each other.
    contest: String,
    half: bool,
}

/// Two rows in one round.
struct Pair {
    own: f64,
    other: f64,
    ratio: f64,
}

/// A data base with the views of `trace.sql`.
struct Traced {
    connection: Connection,
    seed: u64,
}

impl Traced {
    fn new(bytes: &[u8]) -> Traced {
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
    fn jobs(&self) -> Vec<Job> {
        let mut jobs = self
            .connection
            .prepare(
                "SELECT job, id, status,
                    concat_ws('/', model, head, threads, prefill_tokens, decode_tokens, batch), precision = 'half'
                 FROM job JOIN status USING (job) WHERE control_of IS NULL ORDER BY job",
            )
            .unwrap();
        let jobs = jobs.query_map((), |row| {
            Ok(Job {
                place: row.get(0)?,
                id: row.get(1)?,
                status: row.get(2)?,
                contest: row.get(3)?,
                half: row.get(4)?,
            })
        });
        jobs.unwrap().map(Result::unwrap).collect()
    }

    fn fact(&self, job: &Job, what: &str) -> Numbers {
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

    fn figure(&self, job: &Job, what: &str) -> Numbers {
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
    fn baseline(&self, job: &Job, speed: &str) -> Option<Job> {
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
    fn pairs(&self, job: &Job, baseline: &Job, what: &str) -> Vec<Pair> {
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

    fn ratio(&self, job: &Job, column: &str) -> Numbers {
        let decode = "decode_tokens_per_second";
        let joules = "decode_joules_per_token";
        // Which figure, whose fastest is the baseline, and what a ratio is in the unit of the column.
        type Unit = fn(f64) -> f64;
        let (what, speed, unit): (&str, &str, Unit) = match column {
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
