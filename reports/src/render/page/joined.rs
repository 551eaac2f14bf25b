//! Several runs on one page: what they have in common, side by side.
//!
//! Rows are put beside each other only where suite, job and sizes are the same. A ratio is given only between runs of hosts that
//! are alike, and never of simulated energy.

use super::grid::{Grid, GridCell, Head, Line, figure, why};
use crate::record::{Job, WeightsOrigin, unlike};
use crate::render::text::{number, plain};
use crate::report::{Report, count};
use crate::summary::Figure;
use minijinja::context;
use minijinja::value::Value;

/// The comparison.
#[derive(Debug)]
pub(super) struct Joined {
    /// Which run is which.
    runs: Vec<String>,
    grids: Vec<Grid>,
    /// Why there are no ratios between some of them, and what was left out.
    notes: Vec<String>,
}

impl From<Joined> for Value {
    fn from(joined: Joined) -> Value {
        context! {
            runs => joined.runs,
            grids => joined.grids.into_iter().map(Value::from).collect::<Vec<Value>>(),
            notes => joined.notes,
        }
    }
}

/// Letters of runs: A, B, and so on; numbers after Z.
pub(super) fn letter(run: usize) -> String {
    let letter = u8::try_from(run).ok().filter(|run| *run < 26);
    letter.map_or_else(
        || format!("run {}", run + 1),
        |run| char::from(b'A' + run).to_string(),
    )
}

/// What a column of the comparison is.
const COLUMNS: [(&str, &str, bool); 5] = [
    ("Decode, tok/s", "decode_tokens_per_second", false),
    ("Prefill, tok/s", "prefill_tokens_per_second", false),
    ("Decode energy, J/token", "decode_joules_per_token", true),
    ("Peak memory, MB", "peak_mb", false),
    ("Multiplication by a layer, us", "multiply_us", false),
];

pub(super) fn joined(reports: &[Report]) -> Joined {
    let runs = (0..).zip(reports).map(|(number, report)| {
        let run = &report.run;
        format!(
            "{}: {}{}, {}, {}",
            letter(number),
            plain(&run.suite.name),
            if run.suite.quick { " (quick)" } else { "" },
            run.host
                .cpu
                .as_deref()
                .map_or("CPU not known".to_owned(), plain),
            plain(&run.started_at)
        )
    });
    let mut joined = Joined {
        runs: runs.collect(),
        grids: Vec::new(),
        notes: Vec::new(),
    };
    for same in same_suites(reports) {
        if same.len() < 2 {
            let letter = letter(same[0]);
            joined.notes.push(format!(
                "No other run here is of the same suite as {letter} (its name, its hash and whether it is quick), so its rows \
                 stand beside no other's."
            ));
            continue;
        }
        joined.notes.extend(hosts(reports, &same));
        for (title, id, counters) in COLUMNS {
            joined
                .grids
                .extend(grid(reports, &same, title, id, counters));
        }
    }
    joined
}

/// The runs by suite, in their order.
fn same_suites(reports: &[Report]) -> Vec<Vec<usize>> {
    let mut suites: Vec<Vec<usize>> = Vec::new();
    for (number, report) in (0..).zip(reports) {
        let suite = &report.run.suite;
        let same = |those: &&mut Vec<usize>| {
            let other = &reports[those[0]].run.suite;
            (&other.name, &other.hash, other.quick) == (&suite.name, &suite.hash, suite.quick)
        };
        match suites.iter_mut().find(same) {
            Some(those) => those.push(number),
            None => suites.push(vec![number]),
        }
    }
    suites
}

/// In what hosts differ, for each run that is not of the host of the first.
fn hosts(reports: &[Report], runs: &[usize]) -> Vec<String> {
    let (first, others) = (runs[0], &runs[1..]);
    let of = |other: &usize| {
        let differences = unlike(&reports[first].run.host, &reports[*other].run.host);
        let (a, b) = (letter(first), letter(*other));
        if differences.is_empty() {
            return format!(
                "{a} and {b} are of hosts that do not differ in any fact that both records have. Their ratio is of medians of \
                 runs at different times, not of paired rounds; behind it stands the range from slowest over fastest round to \
                 fastest over slowest."
            );
        }
        let differences: Vec<String> = differences.iter().map(|d| plain(d)).collect();
        format!(
            "{a} and {b} are of unlike hosts, so there is no ratio between them: {}.",
            differences.join("; ")
        )
    };
    others.iter().map(of).collect()
}

/// `, prompt 128, generated 32`; nothing for a layer alone.
fn sizes(job: &Job) -> String {
    match job.layer {
        None => format!(
            ", prompt {}, generated {}",
            job.prefill_tokens, job.decode_tokens
        ),
        Some(_) => String::new(),
    }
}

/// What makes two jobs of different runs the same.
fn same_job(a: &Job, b: &Job) -> bool {
    // A file can lie elsewhere on another machine.
    let same_weights = match (&a.model.weights, &b.model.weights) {
        (WeightsOrigin::File { hash: a, .. }, WeightsOrigin::File { hash: b, .. }) => a == b,
        (a, b) => a == b,
    };
    same_weights
        && a.model.name == b.model.name
        && a.model.ternarized == b.model.ternarized
        && a.engine.name == b.engine.name
        && a.kernel == b.kernel
        && a.head == b.head
        && a.threads == b.threads
        && a.layer == b.layer
        && a.prefill_tokens == b.prefill_tokens
        && a.decode_tokens == b.decode_tokens
        && a.batch == b.batch
}

fn grid(reports: &[Report], runs: &[usize], title: &str, id: &str, counters: bool) -> Option<Grid> {
    let alike: Vec<bool> = runs
        .iter()
        .map(|run| unlike(&reports[runs[0]].run.host, &reports[*run].run.host).is_empty())
        .collect();
    let mut grid = Grid {
        title: title.to_owned(),
        head: vec![Head::new("row", "")],
        simulated: counters && runs.iter().any(|run| reports[*run].simulated()),
        ..Grid::default()
    };
    for (run, alike) in runs.iter().zip(&alike) {
        let below = match (*run == runs[0], alike) {
            (true, _) => String::new(),
            (false, true) => format!("like {}", letter(runs[0])),
            (false, false) => "unlike host".to_owned(),
        };
        grid.head.push(Head::new(letter(*run), below));
    }
    let mut jobs: Vec<&Job> = Vec::new();
    for row in runs.iter().flat_map(|run| &reports[*run].rows) {
        if !jobs.iter().any(|job| same_job(job, &row.summary.job)) {
            jobs.push(&row.summary.job);
        }
    }
    let mut any = false;
    for job in jobs {
        let mut first: Option<Figure> = None;
        let mut cells = Vec::new();
        for (run, alike) in runs.iter().zip(&alike) {
            let mut rows = reports[*run].rows.iter();
            let Some(row) = rows.find(|row| same_job(&row.summary.job, job)) else {
                cells.push(grid.missing("not planned", "that run has no such job"));
                continue;
            };
            let Some((value, shown)) = figure(id, row) else {
                let (word, reason) = why(id, row, counters);
                cells.push(grid.missing(word, &reason));
                continue;
            };
            any = true;
            let rounds = row.summary.figure(match id {
                "decode_tokens_per_second" => |round| &round.decode_tokens_per_second,
                "prefill_tokens_per_second" => |round| &round.prefill_tokens_per_second,
                "decode_joules_per_token" => |round| &round.decode_energy.joules_per_token,
                "multiply_us" => |round| &round.multiply_us,
                _ => |round| &round.peak_bytes,
            });
            let simulated = counters && row.summary.simulated;
            let rounds = rounds.ok().filter(|_| !simulated);
            let mut cell = GridCell {
                text: shown.text,
                below: shown.spread.unwrap_or_default(),
                sort: Some(value),
                ..GridCell::default()
            };
            if simulated {
                cell.below = "simulated".to_owned();
            }
            if *run == runs[0] {
                first = rounds;
            } else if let (Some(own), Some(first), true) = (rounds, first, *alike) {
                cell.bracket = format!(
                    "{}x of {}",
                    number(own.median / first.median, 2),
                    letter(runs[0])
                );
                let range = format!(
                    "{} to {}",
                    number(own.min / first.max, 2),
                    number(own.max / first.min, 2)
                );
                cell.below = format!(
                    "{}{}{range}",
                    cell.below,
                    if cell.below.is_empty() { "" } else { ", " }
                );
            }
            cells.push(cell);
        }
        grid.rows.push(Line {
            name: plain(&job.model.name),
            below: format!(
                "{}, {}{}{}",
                plain(&job.kernel_and_head()),
                count(job.threads as usize, "thread"),
                job.of_sequences(),
                sizes(job)
            ),
            cells,
        });
    }
    any.then_some(grid)
}
