//! Measured figures next to published ones. Nothing here is a ratio between the two, and nothing is ranked across them.

mod by_kernel;
mod report_2b4t;

use super::grid::{Grid, GridCell, Head, Line, Span, figure, why};
use super::papers::less;
use crate::columns::Row;
use crate::compare::{Against, Figure, pairs};
use crate::paired::Paired;
use crate::published::{Published, pair};
use crate::record::Precision;
use crate::render::text::{number, plain};
use crate::report::{Group, Report, count};
use minijinja::context;
use minijinja::value::Value;

/// The section.
#[derive(Debug, Default)]
pub(super) struct Beside {
    /// Why there is nothing; empty otherwise.
    absent: String,
    /// What differs in all of them.
    differs: Vec<String>,
    grids: Vec<Compared>,
    /// Figures that nobody measured, in a table of its own look.
    estimates: Option<Grid>,
}

/// One table and what besides differs between its sides.
#[derive(Debug)]
struct Compared {
    grid: Grid,
    source: String,
    differs: String,
    /// Whether it is long, and shown when asked for.
    folded: bool,
}

impl From<Beside> for Value {
    fn from(beside: Beside) -> Value {
        let grids = beside.grids.into_iter().map(|compared| {
            context! {
                grid => Value::from(compared.grid),
                source => compared.source,
                differs => compared.differs,
                folded => compared.folded,
            }
        });
        context! {
            absent => beside.absent,
            differs => beside.differs,
            grids => grids.collect::<Vec<Value>>(),
            estimates => beside.estimates.map(Value::from),
        }
    }
}

const BITNET: &str = "arXiv 2410.16144";
const INTEL: &str = "Intel Core i7-13700H";
const APPLE: &str = "Apple M2 Ultra";

/// A model of this run: the fastest half-precision row and the fastest ternary one with the same head.
struct Fastest<'a> {
    group: Group<'a>,
    half: Option<&'a Row>,
    ternary: Option<&'a Row>,
}

pub(super) fn beside(report: &Report) -> Beside {
    let mut grids = Vec::new();
    grids.extend(speed(report, "Table 4", None));
    grids.extend(speed(report, "Table 5", Some(2)));
    grids.extend(by_kernel::by_kernel(report));
    grids.extend(energy(report));
    grids.extend(report_2b4t::latency_and_memory(report));
    let estimates = measured_model(report, "2B4T").then(report_2b4t::estimates);
    let absent = if grids.is_empty() {
        "No model of this run was measured here and published for the CPUs of the papers: their shapes are 125M to 100B and \
         2B4T, one sequence at a time."
    } else {
        ""
    };
    Beside {
        absent: absent.to_owned(),
        differs: differs(report),
        grids,
        estimates,
    }
}

fn measured_model(report: &Report, model: &str) -> bool {
    let mut rows = report.rows.iter();
    rows.any(|row| row.summary.measured() && row.summary.job.model.name == model)
}

fn speed_of(row: &Row) -> f64 {
    figure("decode_tokens_per_second", row).map_or(0.0, |(value, _)| value)
}

/// The models of a run at one sequence, with `threads` or the best number of them.
fn fastest<'a>(report: &'a Report, threads: Option<u32>) -> Vec<Fastest<'a>> {
    let groups = report.groups().into_iter().filter(|group| group.batch == 1);
    let of_group = |group: Group<'a>| {
        let rows = group.rows.iter().copied().filter(|row| {
            speed_of(row) > 0.0 && threads.is_none_or(|n| row.summary.job.threads == n)
        });
        let rows: Vec<&Row> = rows.collect();
        let best = |precision: Precision, head: Option<&str>| {
            let of = rows.iter().copied().filter(|row| {
                let job = &row.summary.job;
                job.precision == precision && head.is_none_or(|head| job.head == head)
            });
            of.reduce(|best, next| {
                if speed_of(next) > speed_of(best) {
                    next
                } else {
                    best
                }
            })
        };
        // With the head in half precision where there is such a row: the work of both sides is the same then.
        let ternary =
            best(Precision::Ternary, Some("f16")).or_else(|| best(Precision::Ternary, None));
        let head = ternary.map(|row| row.summary.job.head.as_str());
        let half = best(Precision::Half, head);
        Fastest {
            group,
            half,
            ternary,
        }
    };
    let fastest = groups.map(of_group);
    fastest
        .filter(|f| f.half.is_some() || f.ternary.is_some())
        .collect()
}

fn of_row(row: &Row) -> String {
    let job = &row.summary.job;
    let threads = count(job.threads as usize, "thread");
    format!("{}, {threads}", plain(&job.kernel_and_head()))
}

fn sizes(group: &Group<'_>) -> String {
    format!(
        "prompt {}, generated {}",
        group.prefill_tokens, group.decode_tokens
    )
}

/// A figure measured here, with its kernel and threads below it.
fn here(id: &str, row: Option<&Row>, counters: bool, grid: &mut Grid) -> GridCell {
    let Some(row) = row else {
        return grid.missing(
            "no row",
            "no such row was measured at this number of threads",
        );
    };
    let Some((_, shown)) = figure(id, row) else {
        let (word, reason) = why(id, row, counters);
        return grid.missing(word, &reason);
    };
    let spread = shown
        .spread
        .map_or(String::new(), |spread| format!("{spread}, "));
    GridCell {
        text: shown.text,
        below: format!("{spread}{}", of_row(row)),
        ..GridCell::default()
    }
}

/// A figure as it was printed.
fn printed(figure: &Published, grid: &mut Grid) -> GridCell {
    if figure.value.is_empty() {
        let mut cell = grid.missing("N/A", &figure.note);
        cell.published = true;
        return cell;
    }
    let bracket = match (figure.ratio.as_str(), figure.unit.as_str()) {
        ("", _) => String::new(),
        (ratio, "tokens/s") => format!("{ratio}x"),
        (ratio, _) => format!("{ratio} % less"),
    };
    GridCell {
        text: figure.value.clone(),
        bracket,
        published: true,
        tip: figure.note.clone(),
        ..GridCell::default()
    }
}

fn spans(here: usize, there: &[&str]) -> Vec<Span> {
    let mut spans = vec![
        Span {
            text: String::new(),
            columns: 1,
            published: false,
        },
        Span {
            text: "measured here".to_owned(),
            columns: here,
            published: false,
        },
    ];
    spans.extend(there.iter().map(|hardware| Span {
        text: format!("published: {hardware}"),
        columns: 2,
        published: true,
    }));
    spans
}

/// What is always different.
fn differs(report: &Report) -> Vec<String> {
    let host = &report.run.host;
    let cpu = host
        .cpu
        .as_deref()
        .map_or("a CPU that is not known".to_owned(), plain);
    let virtualised = host.virtualisation.as_deref().map(plain);
    let virtualised = virtualised.map_or(String::new(), |name| format!(", under {name}"));
    vec![
        format!(
            "Machine: here {cpu}{virtualised}; there a laptop (i7-13700H, 64 GB), a Mac Studio (M2 Ultra, 64 GB), or what a table \
             names."
        ),
        "Kernels: here those named below each figure; in arXiv 2410.16144 llama.cpp fp16 and a kernel of bitnet.cpp that it does \
         not name."
            .to_owned(),
        "Work: here the tokens named at each model, with the head in half precision where there is such a row; the papers name no \
         lengths of prompts, and say nothing of the head."
            .to_owned(),
    ]
}

fn speed(report: &Report, table: &str, threads: Option<u32>) -> Option<Compared> {
    let title = match threads {
        None => "Decode, tok/s: best number of threads".to_owned(),
        Some(threads) => format!("Decode, tok/s: {threads} threads"),
    };
    let mut grid = Grid {
        title,
        spans: spans(2, &[INTEL, APPLE]),
        head: vec![
            Head::new("model", ""),
            Head::new("half precision", ""),
            Head::new("ternary", ""),
        ],
        ..Grid::default()
    };
    for _ in [INTEL, APPLE] {
        grid.head.push(Head::published("llama.cpp fp16", ""));
        grid.head.push(Head::published("bitnet.cpp", ""));
    }
    for fastest in fastest(report, threads) {
        let model = fastest.group.model;
        let Some(intel) = pair(BITNET, table, INTEL, model) else {
            continue;
        };
        let id = "decode_tokens_per_second";
        let mut ternary = here(id, fastest.ternary, false, &mut grid);
        if let Some(ratio) = ratio(&fastest, report.run.seed) {
            ternary.bracket = format!("{}x", number(ratio.estimate, 2));
            ternary.below = format!("{}, {}", ratio.within(2), ternary.below);
        }
        let half = here(id, fastest.half, false, &mut grid);
        let mut cells = vec![half, ternary];
        for (half, ternary) in [Some(intel), pair(BITNET, table, APPLE, model)]
            .into_iter()
            .flatten()
        {
            cells.push(printed(half, &mut grid));
            cells.push(printed(ternary, &mut grid));
        }
        grid.rows.push(Line {
            name: plain(model),
            below: sizes(&fastest.group),
            cells,
        });
    }
    let said = match threads {
        None => {
            "here the fastest of those measured; there the fastest of those that its authors tried, which they do not name"
        }
        Some(_) => "two on both sides",
    };
    (!grid.rows.is_empty()).then(|| Compared {
        grid,
        source: format!(
            "{BITNET}, {table}; digits as printed, their speed-ups in brackets as printed"
        ),
        differs: format!("Threads: {said}."),
        folded: false,
    })
}

/// The ternary row over the half-precision one, from the rounds that both have: their numbers of threads may differ.
fn ratio(fastest: &Fastest<'_>, seed: u64) -> Option<Paired> {
    let (half, ternary) = (&fastest.half?.summary, &fastest.ternary?.summary);
    if half.job.head != ternary.job.head {
        return None;
    }
    let pairs = pairs(ternary, half, Figure::DECODE).ok()?;
    Paired::of(&pairs, |ratio| ratio, seed).ok()
}

fn energy(report: &Report) -> Option<Compared> {
    let table = "Table 6";
    let mut grid = Grid {
        title: "Decode energy, J/token".to_owned(),
        spans: spans(2, &[INTEL, APPLE]),
        head: vec![
            Head::new("model", ""),
            Head::new("half precision", ""),
            Head::new("ternary", ""),
        ],
        ..Grid::default()
    };
    for _ in [INTEL, APPLE] {
        grid.head.push(Head::published("llama.cpp fp16", ""));
        grid.head.push(Head::published("bitnet.cpp", ""));
    }
    for fastest in fastest(report, None) {
        let model = fastest.group.model;
        let Some(intel) = pair(BITNET, table, INTEL, model) else {
            continue;
        };
        let mut cells = Vec::new();
        for row in [fastest.half, fastest.ternary] {
            let simulated = row.is_some_and(|row| row.summary.simulated);
            let mut cell = if simulated {
                grid.missing(
                    "simulated",
                    "simulated energy stands beside no published figure",
                )
            } else {
                here("decode_joules_per_token", row, true, &mut grid)
            };
            let saved = row.map(|row| &row.comparison.energy_saved_percent);
            if let Some(Against::Baseline { figure, .. }) = saved {
                let amount = number(figure.estimate.abs(), 1);
                cell.bracket = format!("{amount} % {}", less(figure.estimate));
                cell.below = format!("{}, {}", figure.within(1), cell.below);
            }
            cells.push(cell);
        }
        for (half, ternary) in [Some(intel), pair(BITNET, table, APPLE, model)]
            .into_iter()
            .flatten()
        {
            cells.push(printed(half, &mut grid));
            cells.push(printed(ternary, &mut grid));
        }
        grid.rows.push(Line {
            name: plain(model),
            below: sizes(&fastest.group),
            cells,
        });
    }
    (!grid.rows.is_empty()).then(|| Compared {
        grid,
        source: format!("{BITNET}, {table}; digits and savings as printed"),
        differs: "Instrument: here what is said under Energy; the paper calls its figures measured and does not say with what, nor \
                  what they cover. Threads: those of the fastest rows here; not said there."
            .to_owned(),
        folded: false,
    })
}
