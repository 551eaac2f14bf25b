//! How far more threads carry.

use super::axis::Axis;
use super::canvas::{Paint, Side, sheet};
use super::{Drawing, Drawn, Plot, WIDTH, kernels, key, key_height, paint_of, size};
use crate::columns::Row;
use crate::record::Precision;
use crate::render::RenderError;
use crate::render::table::{heading, measured};
use crate::render::text::{number, plain};
use crate::report::{Group, Report};
use crate::round::{Reading, Round};
use crate::summary::Figure;

pub(super) static PLOT: Plot = Plot {
    title: "Thread scaling",
    about: "tok/s (GOP/s of a layer alone) by number of threads: the median over rounds, with a line from the slowest round to the fastest. Twice the \
            threads give at most twice the speed; what is read from memory does not come faster for long.",
    draw,
};

const HEIGHT: i32 = 250;
const LEFT: i32 = 60;
const TOP: i32 = 16;
const RIGHT: i32 = 620;

/// The figures of one kernel by number of threads.
struct Line {
    label: String,
    paint: Paint,
    round: bool,
    points: Vec<(u32, Figure)>,
}

fn draw(report: &Report) -> Result<Drawn, RenderError> {
    type Phase = (&'static str, fn(&Round) -> &Reading);
    let phases: [Phase; 3] = [
        ("decode", |round| &round.decode_tokens_per_second),
        ("prefill", |round| &round.prefill_tokens_per_second),
        ("multiplication", |round| &round.multiply_gop_per_second),
    ];
    let names = kernels(report);
    let mut drawings = Vec::new();
    for group in report.groups() {
        for (phase, reading) in phases {
            let rows = measured(&group.rows);
            let lines = lines(&rows, reading, |row| paint_of(&names, row));
            if lines.iter().any(|line| line.points.len() > 1) {
                drawings.push(of_phase(&group, phase, &lines)?);
            }
        }
    }
    Ok(if drawings.is_empty() {
        Err("no model was measured with more than one number of threads".to_owned())
    } else {
        Ok(drawings)
    })
}

fn lines(
    rows: &[&Row],
    reading: fn(&Round) -> &Reading,
    paint: impl Fn(&Row) -> Paint,
) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for row in rows {
        let job = &row.summary.job;
        let Ok(figure) = row.summary.figure(reading) else {
            continue;
        };
        let mark = if job.model.ternarized { "*" } else { "" };
        let label = format!("{}{mark}", plain(&job.kernel_and_head()));
        match lines.iter_mut().find(|line| line.label == label) {
            Some(line) => line.points.push((job.threads, figure)),
            None => lines.push(Line {
                label,
                paint: paint(row),
                round: job.precision == Precision::Ternary,
                points: vec![(job.threads, figure)],
            }),
        }
    }
    for line in &mut lines {
        line.points.sort_by_key(|(threads, _)| *threads);
    }
    lines
}

fn of_phase(group: &Group<'_>, phase: &str, lines: &[Line]) -> Result<Drawing, RenderError> {
    let unit = if group.layer { "GOP/s" } else { "tok/s" };
    let points = || lines.iter().flat_map(|line| &line.points);
    let most = points().map(|(_, figure)| figure.max).fold(0.0, f64::max);
    let mut threads: Vec<u32> = points().map(|(threads, _)| *threads).collect();
    threads.sort_unstable();
    threads.dedup();
    let first = threads.first().copied().unwrap_or(1);
    let last = threads.last().copied().unwrap_or(1);
    let bottom = TOP + HEIGHT;
    let entries: Vec<(String, Paint, bool)> = lines
        .iter()
        .map(|line| (line.label.clone(), line.paint, line.round))
        .collect();
    let height = bottom + 62 + key_height(entries.len());
    let svg = sheet(WIDTH, size(height), |pen| {
        // A margin at both ends, so that no mark lies on an axis.
        let margin = f64::from(last - first) * 0.06;
        let (low, high) = (f64::from(first) - margin, f64::from(last) + margin);
        let across = Axis::linear(low, high, LEFT, RIGHT);
        let up = Axis::linear(0.0, most * 1.05, bottom, TOP);
        for (value, label) in up.ticks() {
            let y = up.at(value);
            pen.line(Paint::GRID, (LEFT, y), (RIGHT, y))?;
            pen.text(Paint::SOFT, (LEFT - 8, y), Side::Right, &label, 9)?;
        }
        pen.line(Paint::SOFT, (LEFT, bottom), (RIGHT, bottom))?;
        let mut free_from = i32::MIN;
        for count in &threads {
            let x = across.at(f64::from(*count));
            // Labels that would touch the one before are left out.
            if x >= free_from {
                pen.text(
                    Paint::SOFT,
                    (x, bottom + 14),
                    Side::Middle,
                    &count.to_string(),
                    6,
                )?;
                free_from = x + 22;
            }
        }
        let middle = (LEFT + RIGHT) / 2;
        pen.text(
            Paint::SOFT,
            (middle, bottom + 34),
            Side::Middle,
            "threads",
            9,
        )?;
        for line in lines {
            let x = |threads: u32| across.at(f64::from(threads));
            let path: Vec<(i32, i32)> = line
                .points
                .iter()
                .map(|(threads, figure)| (x(*threads), up.at(figure.median)))
                .collect();
            pen.path(line.paint, 2, path)?;
            for (threads, figure) in &line.points {
                let at = (x(*threads), up.at(figure.median));
                let range = [(at.0, up.at(figure.min)), (at.0, up.at(figure.max))];
                pen.path(line.paint, 2, range.to_vec())?;
                pen.mark(line.paint, at, line.round)?;
            }
        }
        for line in lines {
            for (threads, figure) in &line.points {
                let at = (across.at(f64::from(*threads)), up.at(figure.median));
                let tip = format!(
                    "{}, {threads} threads: {} {unit}, rounds {} to {}",
                    line.label,
                    number(figure.median, 2),
                    number(figure.min, 2),
                    number(figure.max, 2)
                );
                pen.tip(at, &tip);
            }
        }
        key(pen, (LEFT, bottom + 60), &entries)
    })?;
    let mut rows = Vec::new();
    for line in lines {
        let first = line.points.first();
        for (threads, figure) in &line.points {
            let times = first.map(|(_, first)| figure.median / first.median);
            rows.push(vec![
                line.label.clone(),
                threads.to_string(),
                number(figure.median, 2),
                number(figure.min, 2),
                number(figure.max, 2),
                times.map_or(String::new(), |times| number(times, 2)),
            ]);
        }
    }
    Ok(Drawing {
        title: format!("{phase}, {unit}, {}", heading(group)),
        svg,
        notes: Vec::new(),
        head: vec![
            "kernel",
            "threads",
            "median",
            "slowest round",
            "fastest round",
            "times its fewest threads (ratio of medians)",
        ],
        rows,
    })
}
