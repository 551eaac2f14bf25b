//! A run as its data base has it, and the words that the page has for its rows.

use super::super::traced::{Job, Numbers, Traced};
use super::says::Says;
use super::{Expected, Sort, Tip};
use bitbench_reports::columns::{COLUMNS, Column, Kind};

/// A run.
pub(super) struct Run {
    pub(super) traced: Traced,
    /// The rows of the report.
    pub(super) jobs: Vec<Job>,
    pub(super) simulated: bool,
    windows: Vec<Window>,
}

/// What happened around a window that figures rest on.
pub(super) struct Window {
    pub(super) job: i64,
    pub(super) phase: String,
    pieces: f64,
    span: f64,
    worker: f64,
    harness: f64,
    pub(super) others: Option<f64>,
    pub(super) steal: Option<f64>,
    pub(super) throttles: Option<f64>,
    pub(super) faults: Option<f64>,
}

/// What can touch a window.
pub(super) const CAUSES: [&str; 4] = ["others", "steal", "throttles", "faults"];
const TICK_NS: f64 = 1e7;

impl Window {
    /// How much there was of a cause, as the page says it: cores of times, else a number.
    pub(super) fn amount(&self, cause: &str) -> Option<f64> {
        match cause {
            "others" => self.others.map(|ns| ns / self.span),
            "steal" => self.steal.map(|ns| ns / self.span),
            "throttles" => self.throttles,
            _ => self.faults,
        }
    }

    /// Whether that is enough to touch the window.
    pub(super) fn touched_by(&self, cause: &str) -> bool {
        match cause {
            "others" => {
                let others = self.others.unwrap_or(0.0);
                let busy = ((self.worker + self.harness + others) / self.span).ceil();
                let doubt = (TICK_NS * (busy + 3.0) * self.pieces.sqrt()).floor();
                others - doubt > 0.1 * self.span
            }
            "steal" => self.steal.unwrap_or(0.0) - 2.0 * TICK_NS > 0.05 * self.span,
            "throttles" => self.throttles > Some(0.0),
            _ => self.faults > Some(0.0),
        }
    }
}

impl Run {
    pub(super) fn new(data_base: &[u8]) -> Run {
        let traced = Traced::new(data_base);
        let windows = traced
            .connection
            .prepare(
                "SELECT c.job, c.phase, c.pieces * 1.0, c.span_ns * 1.0,
                    ifnull(c.worker_cpu_ns, 0) * 1.0, ifnull(c.harness_cpu_ns, 0) * 1.0, c.others_cpu_ns * 1.0,
                    c.steal_ns * 1.0, c.throttles * 1.0, c.major_faults * 1.0
                 FROM chosen c JOIN status s ON s.job = c.job AND s.status = 'measured'
                 WHERE c.phase IN ('prefill', 'decode', 'multiply') AND c.span_ns IS NOT NULL
                 ORDER BY c.line",
            )
            .unwrap()
            .query_map((), |row| {
                Ok(Window {
                    job: row.get(0)?,
                    phase: row.get(1)?,
                    pieces: row.get(2)?,
                    span: row.get(3)?,
                    worker: row.get(4)?,
                    harness: row.get(5)?,
                    others: row.get(6)?,
                    steal: row.get(7)?,
                    throttles: row.get(8)?,
                    faults: row.get(9)?,
                })
            })
            .unwrap()
            .map(Result::unwrap)
            .collect();
        let simulated = traced
            .connection
            .query_row(
                "SELECT ifnull(energy_provenance = 'simulated', 0) OR EXISTS (SELECT 1 FROM basis WHERE simulated) FROM run",
                (),
                |row| row.get(0),
            )
            .unwrap();
        Run {
            jobs: traced.jobs(),
            traced,
            simulated,
            windows,
        }
    }

    pub(super) fn measured(&self, of: impl Fn(&Job) -> bool) -> Vec<Job> {
        let jobs = self.jobs.iter();
        jobs.filter(|job| job.status == "measured" && of(job))
            .cloned()
            .collect()
    }

    /// The windows around the figures of rows.
    pub(super) fn windows(&self) -> Vec<&Window> {
        let of_row = |window: &&Window| self.jobs.iter().any(|job| job.place == window.job);
        self.windows.iter().filter(of_row).collect()
    }

    pub(super) fn median(&self, job: &Job, what: &str) -> Option<f64> {
        self.traced.figure(job, what).get("").copied()
    }

    /// A single number of a question with the place of a job in it.
    pub(super) fn ask(&self, question: &str, job: &Job) -> Option<f64> {
        let mut answers = self.traced.connection.prepare(question).unwrap();
        let mut answers = answers.query([job.place]).unwrap();
        answers.next().unwrap().and_then(|row| row.get(0).unwrap())
    }

    /// What stands behind a figure of this column, in words.
    pub(super) fn mark(&self, job: &Job, column: &str) -> Option<&'static str> {
        let phase = match column {
            "prefill_tokens_per_second" | "first_token_ms" => "prefill",
            "decode_tokens_per_second" | "decode_ms_per_token" => "decode",
            "multiply_us"
            | "multiply_gb_per_second"
            | "multiply_gop_per_second"
            | "multiply_bandwidth_share_percent"
            | "multiply_compute_share_percent" => "multiply",
            energy => {
                let of_counters = energy == "multiply_uj"
                    || energy.ends_with("joules_per_token")
                    || energy.ends_with("_watts")
                    || ["request_joules", "decode_net_error_percent"].contains(&energy);
                return (of_counters && self.simulated).then_some("simulated");
            }
        };
        let mut windows = self.windows.iter();
        let touched = windows.any(|window| {
            window.job == job.place
                && window.phase == phase
                && CAUSES.iter().any(|cause| window.touched_by(cause))
        });
        touched.then_some("disturbed")
    }

    /// A cell without a figure of a column.
    pub(super) fn missing(&self, job: &Job, counters: bool) -> Expected {
        Expected::missing(match (job.status.as_str(), counters) {
            ("measured", true) => "no counter",
            ("measured", false) => "no figure",
            (other, _) => other,
        })
    }
}

pub(super) fn column(id: &str) -> &'static Column {
    Column::find(id).unwrap()
}

/// The column whose sentence of help this is.
pub(super) fn column_of_help(help: &str) -> &'static Column {
    let mut columns = COLUMNS.iter().filter(|column| column.help == help);
    let found = columns.next();
    assert!(columns.next().is_none(), "two columns say `{help}`");
    found.unwrap_or_else(|| panic!("no column says `{help}`"))
}

pub(super) fn decimals(column: &Column) -> usize {
    match column.kind {
        Kind::Text => 0,
        Kind::Fact { decimals } | Kind::Measured { decimals, .. } | Kind::Ratio { decimals } => {
            decimals
        }
    }
}

/// `±0.4%` of a figure over rounds.
pub(super) fn spread(numbers: &Numbers) -> Option<Says> {
    let median = numbers.get("")?;
    let mad = numbers.get("mad")?;
    (*median != 0.0).then(|| Says::spread(mad / median.abs() * 100.0))
}

/// What holds a ratio: its interval, else its smallest and largest round.
pub(super) fn ends(numbers: &Numbers) -> Option<(f64, f64)> {
    match (numbers.get("low"), numbers.get("high")) {
        (Some(low), Some(high)) => Some((*low, *high)),
        _ if numbers.get("n")? == &1.0 => None,
        _ => Some((*numbers.get("min")?, *numbers.get("max")?)),
    }
}

/// `3.72 to 3.77`.
pub(super) fn range(numbers: &Numbers, decimals: usize) -> Option<Says> {
    let (low, high) = ends(numbers)?;
    Some(
        Says::number(low, decimals)
            .and_words(" to ")
            .and(Says::number(high, decimals)),
    )
}

/// `3.99 to 4.17, 95 %`, `3.72 to 3.77 in 3 rounds` or `1 round`, with so many decimals.
pub(super) fn within(numbers: &Numbers, decimals: usize) -> Says {
    let Some((low, high)) = ends(numbers) else {
        return Says::words("1 round");
    };
    let ends = Says::fixed(low, decimals)
        .and_words(" to ")
        .and(Says::fixed(high, decimals));
    match numbers.get("level") {
        Some(level) => ends
            .and_words(", ")
            .and(Says::fixed((level * 100.0 + 1e-9).floor(), 0))
            .and_words(" %"),
        None => ends
            .and_words(" in ")
            .and(Says::fixed(numbers["n"], 0))
            .and_words(" rounds"),
    }
}

/// `3 rounds`.
pub(super) fn counted(number: i64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// `prompt 128, generated 32 tokens`.
pub(super) fn sizes(job: &Job) -> String {
    if job.layer {
        return format!("one layer, {} at a time", counted(job.batch, "token"));
    }
    let together = match job.batch {
        1 => String::new(),
        batch => format!(", {batch} sequences together"),
    };
    format!(
        "prompt {}, generated {} tokens{together}",
        job.prefill, job.decode
    )
}

/// The heading of all rows of a model and its sizes.
pub(super) fn heading(job: &Job) -> String {
    let sizes = sizes(job).replace("one layer", "one layer (rows x columns)");
    format!("{}: {sizes}", job.model)
}

/// A row within its model.
pub(super) fn label(job: &Job) -> String {
    let mark = if job.ternarized { "*" } else { "" };
    format!("{}{mark}, {}", job.kernel, counted(job.threads, "thread"))
}

/// A cell of a table behind a plot.
pub(super) fn plotted(says: Says) -> Expected {
    Expected {
        says,
        sort: Sort::Text,
        tip: Tip::Nothing,
    }
}
