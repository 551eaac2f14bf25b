//! `bitbench history show`: every trend as a line of small bars, its newest values, and where it changed.

use super::super::{Code, CommandError};
use super::{FileArgument, failed};
use anyhow::anyhow;
use bitbench_reports::history::{FIGURES, Point, Trend, Wanted};
use bitbench_reports::stats::{max, min};

/// Bars of a line: the newest values.
const BARS: usize = 40;
/// Characters of a line.
const WIDTH: usize = 80;
/// Newest values that are printed.
const NEWEST: usize = 3;

/// Arguments of `bitbench history show`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  bitbench history show
  bitbench history show --job '2B4T*avx2' --figure decode

A bar is a commit, from the lowest value of its line to the highest. Commits are in the order in which they were first measured. \
A change is marked where the level before and after differs by 2 % or more and so good a split comes about by chance in at most 5 % \
of random orders; a machine that drifts is marked like a change of the code.")]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) which: Which,
    #[command(flatten)]
    file: FileArgument,
}

/// Which trends.
#[derive(Debug, clap::Args)]
pub(super) struct Which {
    /// Only jobs whose id has this in it; `*` stands for anything
    #[arg(long, value_name = "PATTERN")]
    job: Option<String>,
    /// Only this figure
    #[arg(long, value_name = "NAME", value_parser = figure)]
    figure: Option<String>,
    /// Only machines whose name has this in it, or whose fingerprint begins with it
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// Only this suite
    #[arg(long, value_name = "NAME")]
    suite: Option<String>,
}

fn figure(name: &str) -> Result<String, String> {
    let known: Vec<&str> = FIGURES.iter().map(|figure| figure.name).collect();
    if known.contains(&name) {
        Ok(name.to_owned())
    } else {
        Err(format!("there are: {}", known.join(", ")))
    }
}

impl Which {
    /// The trends of a history; none is wrong usage.
    pub(super) fn of(&self, file: &FileArgument) -> Result<Vec<Trend>, CommandError> {
        let wanted = Wanted {
            job: self.job.clone(),
            figure: self.figure.clone(),
            host: self.host.clone(),
            suite: self.suite.clone(),
        };
        let trends = file.existing()?.trends(&wanted).map_err(failed)?;
        if trends.is_empty() {
            return Err(CommandError::usage(anyhow!(
                "{} has no such figure; `bitbench history show` without conditions shows all",
                file.file.display()
            )));
        }
        Ok(trends)
    }
}

/// Prints the trends.
///
/// # Errors
/// See [`CommandError`]: no history, or nothing in it that is asked for.
pub(super) fn show(arguments: &Arguments) -> Result<Code, CommandError> {
    let mut machine = String::new();
    let mut job = String::new();
    for trend in arguments.which.of(&arguments.file)? {
        let of = trend.title();
        if of != machine {
            if !machine.is_empty() {
                say!("");
            }
            say!("{}", cut(&of));
            machine = of;
            job.clear();
        }
        if trend.job != job {
            say!("\n{}", cut(&trend.job));
            job.clone_from(&trend.job);
        }
        for line in lines_of(&trend) {
            say!("{}", cut(&line));
        }
    }
    Ok(Code::Done)
}

fn lines_of(trend: &Trend) -> Vec<String> {
    let points = &trend.points;
    let bars = bars(&points[points.len().saturating_sub(BARS)..]);
    let count = match points.len() {
        1 => "1 commit".to_owned(),
        n => format!("{n} commits"),
    };
    let mut lines = vec![format!(
        "  {:<14}{:<8}{bars}  {count}",
        trend.figure, trend.unit
    )];
    let newest: Vec<String> = points
        .iter()
        .rev()
        .take(NEWEST)
        .map(|point| format!("{} {}", point.label(), number(point.median)))
        .collect();
    lines.push(format!("    newest first: {}", newest.join(", ")));
    if let Some(last) = points.last().filter(|last| last.rounds > 1) {
        lines.push(format!(
            "    its rounds: {} to {} in {}",
            number(last.low),
            number(last.high),
            last.rounds
        ));
    }
    if let Some(basis) = &trend.basis {
        lines.push(format!("    read from {basis}"));
    }
    for change in &trend.changes {
        let (ratio, better) = trend.effect(change);
        lines.push(format!(
            "    {} from {} on: {} -> {} ({:+.1} %), p {:.3}",
            if better { "BETTER" } else { "WORSE" },
            points[change.at].label(),
            number(change.before),
            number(change.after),
            (ratio - 1.0) * 100.0,
            change.p
        ));
    }
    lines
}

/// A small bar for each value, from the lowest to the highest; in the middle where all are within a thousandth.
fn bars(points: &[Point]) -> String {
    const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let medians: Vec<f64> = points.iter().map(|point| point.median).collect();
    let (Some(low), Some(high)) = (min(&medians), max(&medians)) else {
        return String::new();
    };
    let height = |value: &f64| {
        let share = if high - low > 1e-3 * high.abs() {
            (value - low) / (high - low)
        } else {
            0.5
        };
        // The last step that is not above the share.
        let step = (1..HEIGHTS.len())
            .rev()
            .find(|step| share * 8.0 >= *step as f64);
        HEIGHTS[step.unwrap_or(0)]
    };
    medians.iter().map(height).collect()
}

/// Four digits, or all of a large number.
fn number(value: f64) -> String {
    let decimals = match value.abs() {
        v if v >= 1000.0 => 0,
        v if v >= 100.0 => 1,
        v if v >= 10.0 => 2,
        v if v >= 0.1 => 3,
        _ => 6,
    };
    format!("{value:.decimals$}")
}

/// A line that fits a terminal.
fn cut(line: &str) -> String {
    if line.chars().count() <= WIDTH {
        return line.to_owned();
    }
    let mut cut: String = line.chars().take(WIDTH - 1).collect();
    cut.push('…');
    cut
}
