//! The tables that people quote: speed, energy and memory, a line for each model and a column for each kernel.

use super::super::traced::{Job, Numbers};
use super::Expected;
use super::page::Table;
use super::run::{Run, column, counted, decimals, ends, range, sizes, spread};
use super::says::Says;

/// What a table shows.
struct Measure {
    caption: &'static str,
    column: &'static str,
    /// The column of what stands in brackets.
    bracket: &'static str,
    lower: bool,
    counters: bool,
}

const fn measure(
    caption: &'static str,
    column: &'static str,
    bracket: &'static str,
    lower: bool,
    counters: bool,
) -> Measure {
    Measure {
        caption,
        column,
        bracket,
        lower,
        counters,
    }
}

const MEASURES: [Measure; 7] = [
    measure(
        "Decode, tok/s",
        "decode_tokens_per_second",
        "decode_speedup",
        false,
        false,
    ),
    measure(
        "Prefill, tok/s",
        "prefill_tokens_per_second",
        "prefill_speedup",
        false,
        false,
    ),
    measure(
        "Multiplication, us",
        "multiply_us",
        "multiply_speedup",
        true,
        false,
    ),
    measure(
        "Decode, J/token",
        "decode_joules_per_token",
        "energy_saved_percent",
        true,
        true,
    ),
    measure(
        "Prefill, J/token",
        "prefill_joules_per_token",
        "prefill_energy_saved_percent",
        true,
        true,
    ),
    measure("Multiplication, uJ", "multiply_uj", "", true, true),
    measure("Peak memory, MB", "peak_mb", "", true, false),
];

pub(super) fn table(run: &Run, table: &Table) -> Vec<Vec<Expected>> {
    let (title, setting) = table.caption.split_once(": ").unwrap();
    let setting = setting.trim_end_matches("SIMULATED").trim();
    let (title, best) = match title.strip_suffix(", best number of threads") {
        Some(title) => (title, true),
        None => (title, false),
    };
    let mut measures = MEASURES.iter();
    let measure = measures
        .find(|measure| measure.caption == title)
        .unwrap_or_else(|| panic!("nobody says how {title} is derived"));
    let of_table = |job: &&Job| {
        let threads = counted(job.threads, "thread");
        if best {
            sizes(job) == setting
        } else {
            format!("{threads}, {}", sizes(job)) == setting
        }
    };
    let jobs: Vec<&Job> = run.jobs.iter().filter(of_table).collect();
    assert!(!jobs.is_empty(), "no job has `{setting}`");
    assert_eq!(
        table.caption.ends_with("SIMULATED"),
        measure.counters && run.simulated
    );
    let mut kernels: Vec<(bool, &str)> = Vec::new();
    let mut models: Vec<&str> = Vec::new();
    for job in &jobs {
        if !kernels.contains(&(!job.half, &job.kernel)) {
            kernels.push((!job.half, &job.kernel));
        }
        if !models.contains(&job.model.as_str()) {
            models.push(&job.model);
        }
    }
    kernels.sort_by_key(|(ternary, _)| *ternary);
    let heads = kernels.iter().map(|(ternary, kernel)| {
        format!(
            "{kernel} {}",
            if *ternary {
                "ternary"
            } else {
                "half precision"
            }
        )
    });
    let first = if jobs[0].layer { "layer" } else { "model" };
    let heads: Vec<String> = std::iter::once(first.to_owned()).chain(heads).collect();
    let found: Vec<&str> = table.head[0]
        .iter()
        .map(|cell| cell.text.as_str())
        .collect();
    assert_eq!(found, heads);
    let rows = models.into_iter().zip(&table.rows).map(|(model, found)| {
        let of_model: Vec<&Job> = jobs
            .iter()
            .copied()
            .filter(|job| job.model == model)
            .collect();
        let ternarized = of_model.iter().any(|job| job.ternarized);
        let name = if ternarized {
            format!("{model} ternarized")
        } else {
            model.to_owned()
        };
        let mut row = vec![Expected::words(name)];
        for (_, kernel) in &kernels {
            let of_cell = of_model.iter().copied().filter(|job| job.kernel == *kernel);
            let of_cell: Vec<&Job> = of_cell.collect();
            row.push(match (&of_cell[..], best) {
                ([], _) => Expected::missing("not planned"),
                (of_cell, true) => best_of(run, measure, of_cell, &of_model),
                ([job], false) => figure(run, measure, job),
                _ => panic!("two rows of {model} and {kernel} in one cell"),
            });
        }
        marked(
            &row,
            found,
            measure.lower,
            measure.counters && run.simulated,
        );
        row
    });
    let rows = rows.collect::<Vec<_>>();
    assert_eq!(rows.len(), table.rows.len());
    rows
}

/// The best of a row is in bold, where there are two at least.
fn marked(row: &[Expected], found: &[super::page::Cell], lower: bool, simulated: bool) {
    let value = |expected: &Expected| match expected.sort {
        super::Sort::Value(value) => Some(value),
        _ => None,
    };
    let values: Vec<f64> = row.iter().filter_map(value).collect();
    let best = if lower {
        values.iter().copied().reduce(f64::min)
    } else {
        values.iter().copied().reduce(f64::max)
    };
    let best = best.filter(|_| values.len() > 1 && !simulated);
    let shown = row
        .iter()
        .zip(found)
        .find(|(expected, _)| best.is_some() && value(expected) == best);
    let shown = shown.map(|(_, cell)| cell.value.as_str());
    for (expected, cell) in row.iter().zip(found) {
        let best = value(expected).is_some() && shown == Some(cell.value.as_str());
        assert_eq!(cell.is("best"), best, "{}", cell.text);
    }
}

fn figure(run: &Run, measure: &Measure, job: &Job) -> Expected {
    let numbers = run.traced.figure(job, measure.column);
    let Some(value) = numbers.get("").copied() else {
        return run.missing(job, measure.counters);
    };
    let mut below: Vec<Says> = spread(&numbers).into_iter().collect();
    let mut bracket = None;
    match measure.column {
        "multiply_uj" => {}
        "peak_mb" => {
            let baseline = run.traced.baseline(job, "decode_tokens_per_second");
            match baseline {
                Some(other) if other.place == job.place => below.push(Says::words("baseline")),
                Some(other) => {
                    let pairs = run.traced.pairs(&other, job, "peak_mb");
                    bracket = (!pairs.is_empty())
                        .then(|| times(run.traced.of_pairs(&pairs, |ratio| ratio)[""]));
                }
                None => {}
            }
            let weights = run.traced.fact(job, "weights_mb");
            let weights = weights.get("").map(|value| {
                Says::words("weights ").and(Says::number(*value, decimals(column("weights_mb"))))
            });
            below.extend(weights);
        }
        _ => {
            let ratio = run.traced.ratio(job, measure.bracket);
            // Of itself it has no rounds.
            match (ratio.get(""), ratio.get("n")) {
                (Some(_), None) => below.push(Says::words("baseline")),
                (Some(estimate), Some(_)) if measure.bracket.ends_with("percent") => {
                    bracket = Some(saved(*estimate));
                    below.extend(saved_range(&ratio));
                }
                (Some(estimate), Some(_)) => {
                    bracket = Some(Says::number(*estimate, 2).and_words("x"));
                    below.extend(range(&ratio, 2));
                }
                (None, _) => {}
            }
        }
    }
    below.extend(run.mark(job, measure.column).map(Says::words));
    cell(value, decimals(column(measure.column)), bracket, below)
}

/// A figure, what stands in brackets behind it, and what stands below.
pub(super) fn cell(
    value: f64,
    decimals: usize,
    bracket: Option<Says>,
    below: Vec<Says>,
) -> Expected {
    let mut says = Says::number(value, decimals);
    if let Some(bracket) = bracket {
        says = says.and_words(" (").and(bracket).and_words(")");
    }
    if !below.is_empty() {
        says = says.and_words(" ").and(Says::list(below));
    }
    Expected::figure(value, says)
}

fn best_of(run: &Run, measure: &Measure, jobs: &[&Job], of_model: &[&Job]) -> Expected {
    let best = |jobs: &[&Job]| {
        let mut measured: Vec<(f64, Job)> = Vec::new();
        for job in jobs {
            let value = run.median(job, measure.column);
            measured.extend(value.map(|value| (value, (*job).clone())));
        }
        // The sort is stable: of equal ones the first.
        measured.sort_by(|a, b| {
            if measure.lower {
                a.0.total_cmp(&b.0)
            } else {
                b.0.total_cmp(&a.0)
            }
        });
        let tried = measured.len();
        measured
            .into_iter()
            .next()
            .map(|(value, job)| (value, job, tried))
    };
    let Some((value, job, tried)) = best(jobs) else {
        return Expected::missing("no figure");
    };
    let threads = counted(job.threads, "thread");
    let tried = i64::try_from(tried).unwrap();
    let mut below = vec![Says::words(format!("{threads}, best of {tried} tried"))];
    below.extend(spread(&run.traced.figure(&job, measure.column)));
    let half: Vec<&Job> = of_model
        .iter()
        .copied()
        .filter(|other| other.half && other.head == job.head)
        .collect();
    let mut bracket = None;
    if let Some((_, half, _)) = best(&half) {
        if half.place == job.place {
            below.push(Says::words("baseline"));
        } else {
            let rate = match measure.column {
                "multiply_us" => "multiply_gop_per_second",
                rate => rate,
            };
            let pairs = run.traced.pairs(&job, &half, rate);
            let ratio = run.traced.of_pairs(&pairs, |ratio| ratio);
            bracket = Some(Says::number(ratio[""], 2).and_words("x"));
            below.extend(range(&ratio, 2));
        }
    }
    below.extend(run.mark(&job, measure.column).map(Says::words));
    cell(value, decimals(column(measure.column)), bracket, below)
}

/// `3.82x less`, of how many times less it is.
fn times(ratio: f64) -> Says {
    if (ratio - 1.0).abs() < 0.005 {
        Says::words("the same")
    } else if ratio > 1.0 {
        Says::number(ratio, 2).and_words("x less")
    } else {
        Says::number(1.0 / ratio, 2).and_words("x more")
    }
}

/// `73.4 % less`.
pub(super) fn saved(percent: f64) -> Says {
    let word = if percent < 0.0 { " % more" } else { " % less" };
    Says::number(percent.abs(), 1).and_words(word)
}

fn saved_range(ratio: &Numbers) -> Option<Says> {
    let (low, high) = ends(ratio)?;
    let two = |a: f64, between: &str, b: f64| {
        Says::number(a, 1)
            .and_words(between)
            .and(Says::number(b, 1))
    };
    Some(if low >= 0.0 {
        two(low, " to ", high).and_words(" %")
    } else if high < 0.0 {
        two(-high, " to ", -low).and_words(" %")
    } else {
        two(-low, " % more to ", high).and_words(" % less")
    })
}
