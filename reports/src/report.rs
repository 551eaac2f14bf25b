//! One run with everything that is derived from it: what every renderer takes.

use crate::columns::Row;
use crate::compare::{Against, compare};
use crate::disturbance;
use crate::record::{Precision, Record, Records, Resumed, Run};
use crate::summary::{Ending, Figure, summarise};

/// A run, its rows and how it went.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// What was asked for, on which machine.
    pub run: Run,
    /// One row for each job of the plan, in its order.
    pub rows: Vec<Row>,
    /// The times that a later process went on with it.
    pub resumed: Vec<Resumed>,
    /// How it ended.
    pub ending: Ending,
}

/// The rows of one model at one prompt and generation length, with as many sequences at a time.
#[derive(Debug, Clone)]
pub struct Group<'a> {
    /// Name of the model.
    pub model: &'a str,
    /// Tokens of the prompt.
    pub prefill_tokens: u32,
    /// Tokens generated.
    pub decode_tokens: u32,
    /// Sequences that are run together.
    pub batch: u32,
    /// Its rows, those without figures included.
    pub rows: Vec<&'a Row>,
}

impl Report {
    /// Derives everything from the records.
    pub fn new(records: &Records) -> Report {
        let summaries = summarise(records);
        let comparisons = compare(&summaries);
        let rows = summaries.into_iter().zip(comparisons);
        let resumed = records.lines.iter().filter_map(|line| match line {
            Record::Resumed(resumed) => Some(resumed.clone()),
            _ => None,
        });
        Report {
            run: records.run.clone(),
            rows: rows
                .map(|(summary, comparison)| Row {
                    summary,
                    comparison,
                })
                .collect(),
            resumed: resumed.collect(),
            ending: Ending::of(records),
        }
    }

    /// Rounds planned for the job with the most of them.
    pub fn rounds(&self) -> u32 {
        let planned = self.run.jobs.iter().map(|job| job.rounds);
        planned.max().unwrap_or(0)
    }

    /// Whether any energy was read from counters other than the machine's own.
    pub fn simulated(&self) -> bool {
        self.rows.iter().any(|row| row.summary.simulated)
    }

    /// The rows by model and sizes, in the order of the plan.
    pub fn groups(&self) -> Vec<Group<'_>> {
        let mut groups: Vec<Group<'_>> = Vec::new();
        for row in &self.rows {
            let job = &row.summary.job;
            let same = groups.iter_mut().find(|group| {
                group.model == job.model.name
                    && group.prefill_tokens == job.prefill_tokens
                    && group.decode_tokens == job.decode_tokens
                    && group.batch == job.batch
            });
            match same {
                Some(group) => group.rows.push(row),
                None => groups.push(Group {
                    model: &job.model.name,
                    prefill_tokens: job.prefill_tokens,
                    decode_tokens: job.decode_tokens,
                    batch: job.batch,
                    rows: vec![row],
                }),
            }
        }
        groups
    }

    /// One sentence for each model: the fastest ternary row at decoding that has a baseline, held against it.
    pub fn verdicts(&self) -> Vec<String> {
        self.groups().iter().filter_map(verdict).collect()
    }

    /// What a reader must know of the run as a whole: that it is a test, was cut short, or was resumed.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.run.suite.quick {
            notes.push(
                "quick run: shortened windows and few rounds; a first look, not a result to quote"
                    .to_owned(),
            );
        }
        match self.ending {
            Ending::Complete => {}
            Ending::Interrupted => notes.push(
                "the run was interrupted before its plan was done; run it again with --resume to go on"
                    .to_owned(),
            ),
            Ending::Missing => notes.push(
                "the run has no stored end: it was killed, or still goes on; run it again with --resume to go on"
                    .to_owned(),
            ),
        }
        for resumed in &self.resumed {
            notes.push(format!(
                "resumed at {} by bitbench {}",
                resumed.at, resumed.bitbench
            ));
        }
        notes.extend(disturbance::validity(&self.rows));
        if self.rounds() == 1 {
            notes.push("one round: no figure has a spread".to_owned());
        }
        notes
    }
}

fn verdict(group: &Group<'_>) -> Option<String> {
    let ternary = group.rows.iter().copied().filter(|row| {
        row.summary.job.precision == Precision::Ternary
            && matches!(row.comparison.decode_speedup, Against::Baseline { .. })
    });
    let speed = |row: &Row| {
        let figure = row.summary.figure(|round| &round.decode_tokens_per_second);
        figure.map_or(0.0, |figure| figure.median)
    };
    let best = ternary.reduce(|best, next| {
        if speed(next) > speed(best) {
            next
        } else {
            best
        }
    })?;
    let Against::Baseline { kernel, figure, .. } = &best.comparison.decode_speedup else {
        return None;
    };
    let job = &best.summary.job;
    let mut sentence = format!(
        "{}, {}{}: {} decodes {:.2}x as fast as {kernel} ({}{})",
        job.model.name,
        count(job.threads as usize, "thread"),
        job.of_sequences(),
        job.kernel_and_head(),
        figure.median,
        range(figure, 2),
        count(figure.n, "round"),
    );
    if let Against::Baseline { figure, .. } = &best.comparison.energy_saved_percent {
        let (amount, word) = if figure.median >= 0.0 {
            (figure.median, "less")
        } else {
            (-figure.median, "more")
        };
        sentence.push_str(&format!(", on {amount:.0} % {word} energy per token"));
    }
    if job.model.ternarized {
        sentence.push_str("; ternarized: speed only, quality destroyed");
    }
    Some(sentence)
}

/// `4.02 to 4.20, ` for a figure with a spread, nothing for a single round.
fn range(figure: &Figure, decimals: usize) -> String {
    if figure.n == 1 {
        return String::new();
    }
    format!("{:.decimals$} to {:.decimals$}, ", figure.min, figure.max)
}

/// `1 thread`, `2 threads`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}
