//! The four answers at the top: how much faster, how much energy, how much memory, and whether to trust it.

use super::papers::{less, times_in_words, times_less};
use super::validity::{Trust, trust};
use crate::columns::Row;
use crate::compare::{Against, Figure};
use crate::record::EnergySourceInfo;
use crate::render::text::{number, plain};
use crate::report::{Report, count, lead};
use minijinja::context;
use minijinja::value::Value;

/// One answer.
#[derive(Debug)]
pub(super) struct Card {
    question: &'static str,
    lines: Vec<Answer>,
    /// `good`, `care` or `bad`, for the answer about trust.
    class: &'static str,
}

/// A line of an answer.
#[derive(Debug)]
struct Answer {
    /// What it is about, small.
    of: String,
    /// The figure, large.
    figure: String,
    /// The interval, and what it is held against.
    below: String,
}

impl From<Card> for Value {
    fn from(card: Card) -> Value {
        let lines = card.lines.into_iter().map(|line| {
            context! { of => line.of, figure => line.figure, below => line.below }
        });
        context! {
            question => card.question,
            class => card.class,
            lines => lines.collect::<Vec<Value>>(),
        }
    }
}

/// The four answers.
pub(super) fn cards(report: &Report) -> Vec<Card> {
    let groups = report.groups();
    let leads: Vec<&Row> = groups.iter().filter_map(lead).collect();
    let card = |question, answer: fn(&Row, &Report) -> Answer| {
        let lines: Vec<Answer> = leads.iter().map(|row| answer(row, report)).collect();
        let none = || Answer {
            of: String::new(),
            figure: "no answer".to_owned(),
            below: "no ternary row could be held against a half-precision row".to_owned(),
        };
        Card {
            question,
            lines: if lines.is_empty() {
                vec![none()]
            } else {
                lines
            },
            class: "",
        }
    };
    let Trust {
        word,
        reasons,
        class,
    } = trust(report);
    let trusted = Answer {
        of: String::new(),
        figure: word.to_owned(),
        below: reasons.join("; "),
    };
    vec![
        card("How much faster?", faster),
        card("How much energy?", energy),
        card("How much memory?", memory),
        Card {
            question: "Can I trust it?",
            lines: vec![trusted],
            class,
        },
    ]
}

fn of(row: &Row) -> String {
    let job = &row.summary.job;
    format!(
        "{}, {}{}: {}",
        plain(&job.model.name),
        count(job.threads as usize, "thread"),
        job.of_sequences(),
        plain(&job.kernel_and_head())
    )
}

fn faster(row: &Row, _: &Report) -> Answer {
    let what = match row.summary.job.layer {
        None => "decode",
        Some(_) => "multiplication",
    };
    let (figure, mut below) = match row.speedup() {
        Against::Baseline { kernel, figure, .. } => (
            format!("{}x", number(figure.estimate, 2)),
            format!("{what} against {} ({})", plain(kernel), figure.within(2)),
        ),
        _ => ("not known".to_owned(), String::new()),
    };
    if let Against::Baseline { kernel, figure, .. } = &row.comparison.prefill_speedup {
        below.push_str(&format!(
            "; prefill {}x against {} ({})",
            number(figure.estimate, 2),
            plain(kernel),
            figure.within(2)
        ));
    }
    Answer {
        of: of(row),
        figure,
        below,
    }
}

/// Of a layer alone memory is not asked, nor energy where no counter was read.
fn of_layer(row: &Row) -> Option<Answer> {
    row.summary.job.layer?;
    Some(Answer {
        of: of(row),
        figure: "not asked".to_owned(),
        below: "a layer alone was measured, not a model".to_owned(),
    })
}

/// What a multiplication takes, where counters were read: beside what it takes on the baseline, not as a ratio of it.
fn energy_of_layer(row: &Row, report: &Report) -> Option<Answer> {
    let microjoules = |row: &Row| {
        let figure = row.summary.figure(|round| &round.multiply_uj).ok()?;
        Some(format!("{} uJ", number(figure.median, 1)))
    };
    row.summary.job.layer?;
    if row.summary.simulated {
        return None;
    }
    let own = microjoules(row)?;
    let below = match &row.comparison.multiply_speedup {
        Against::Baseline { job, kernel, .. } => {
            let mut rows = report.rows.iter();
            let baseline = rows.find(|row| row.summary.job.id == *job);
            let other = baseline.and_then(microjoules);
            other.map(|other| format!("; {other} by {}", plain(kernel)))
        }
        _ => None,
    };
    Some(Answer {
        of: of(row),
        figure: own,
        below: format!("a multiplication{}", below.unwrap_or_default()),
    })
}

fn energy(row: &Row, report: &Report) -> Answer {
    if let Some(answer) = energy_of_layer(row, report).or_else(|| of_layer(row)) {
        return answer;
    }
    let (figure, below) = match &row.comparison.energy_saved_percent {
        Against::Baseline { kernel, figure, .. } => (
            format!(
                "{} % {}",
                number(figure.estimate.abs(), 1),
                less(figure.estimate)
            ),
            format!(
                "a decoded token, against {} ({})",
                plain(kernel),
                figure.within(1)
            ),
        ),
        Against::IsBaseline => ("not known".to_owned(), String::new()),
        Against::Missing(reason) => {
            let reason = match &report.run.energy {
                EnergySourceInfo::Unavailable { .. } => {
                    "no counter was read; why stands under Energy"
                }
                EnergySourceInfo::Open { .. } => reason,
            };
            let figure = if row.summary.simulated {
                "simulated"
            } else {
                "not measured"
            };
            (figure.to_owned(), plain(reason))
        }
    };
    Answer {
        of: of(row),
        figure,
        below,
    }
}

fn memory(row: &Row, report: &Report) -> Answer {
    if let Some(answer) = of_layer(row) {
        return answer;
    }
    let megabytes = |row: &Row| {
        let figure = row.summary.figure(|round| &round.peak_bytes).ok()?;
        Some(number(figure.median / 1e6, 1))
    };
    let times = times_less(row, report, Figure::PEAK);
    let baseline = match &row.comparison.decode_speedup {
        Against::Baseline { job, .. } => {
            let mut rows = report.rows.iter();
            rows.find(|row| row.summary.job.id == *job)
        }
        _ => None,
    };
    let both = megabytes(row).zip(baseline.and_then(megabytes));
    let (figure, below) = match (times, both) {
        (Some(times), Some((own, other))) => (
            times_in_words(times.estimate),
            format!(
                "peak of the process: {own} MB, not {other} MB (ratio {})",
                times.within(2)
            ),
        ),
        _ => (
            "not measured".to_owned(),
            "the system did not tell the peak of both".to_owned(),
        ),
    };
    Answer {
        of: of(row),
        figure,
        below,
    }
}
