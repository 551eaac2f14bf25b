//! Every repetition of a phase, row by row.

use super::axis::Axis;
use super::canvas::{Paint, Side, sheet};
use super::{Drawing, Drawn, Plot, WIDTH, kernels, paint_of, row_label, size, write_label};
use crate::columns::Row;
use crate::record::Phase;
use crate::render::RenderError;
use crate::render::table::{heading, measured};
use crate::render::text::number;
use crate::report::{Group, Report};
use crate::stats::quantile;
use std::collections::BTreeMap;

pub(super) static PLOT: Plot = Plot {
    title: "Distribution of the samples",
    about: "Each dot is a repetition that the record holds, as the distance of its speed from the median of the row; each line \
            of dots is a round, a process of its own. The box holds the middle half, the line in it is the median. Dots at an \
            edge lie beyond it.",
    draw,
};

const TOP: i32 = 12;
const LEFT: i32 = 226;
const RIGHT: i32 = 566;
const ROW: i32 = 34;
/// Dots drawn for a row at most.
const MOST_DOTS: usize = 150;
/// The edges, in percent: what lies beyond is put there.
const WIDEST: f64 = 50.0;

/// The repetitions of one row.
struct Strip<'a> {
    row: &'a Row,
    /// Speeds with the round of each.
    speeds: Vec<(f64, u32)>,
    quartiles: [f64; 3],
}

fn draw(report: &Report) -> Result<Drawn, RenderError> {
    let names = kernels(report);
    let mut drawings = Vec::new();
    for phase in [Phase::Decode, Phase::Prefill, Phase::Multiply] {
        let mut by_job: BTreeMap<&str, Vec<(f64, u32)>> = BTreeMap::new();
        for window in report
            .windows
            .iter()
            .filter(|w| w.counts && w.phase == phase)
        {
            let durations = window.durations_ns.iter().filter(|ns| **ns > 0);
            let speeds = durations.map(|ns| window.work() / (*ns as f64 * 1e-9));
            let of_job = by_job.entry(&window.job).or_default();
            of_job.extend(speeds.map(|speed| (speed, window.round)));
        }
        for group in report.groups() {
            let rows = measured(&group.rows).into_iter();
            let strips: Vec<Strip<'_>> = rows
                .filter_map(|row| strip(row, by_job.get(row.summary.job.id.as_str())?))
                .collect();
            if !strips.is_empty() {
                let paint = |row: &Row| paint_of(&names, row);
                drawings.push(of_group(&group, phase, &strips, paint)?);
            }
        }
    }
    Ok(if drawings.is_empty() {
        Err("the record holds no repetition".to_owned())
    } else {
        Ok(drawings)
    })
}

fn strip<'a>(row: &'a Row, speeds: &[(f64, u32)]) -> Option<Strip<'a>> {
    let values: Vec<f64> = speeds.iter().map(|(speed, _)| *speed).collect();
    let [Some(low), Some(middle), Some(high)] = [0.25, 0.5, 0.75].map(|p| quantile(&values, p))
    else {
        return None;
    };
    Some(Strip {
        row,
        speeds: speeds.to_vec(),
        quartiles: [low, middle, high],
    })
}

/// At most [`MOST_DOTS`] of the values: the lowest, the highest, and what lies at equal steps of rank between them.
fn drawn(speeds: &[(f64, u32)]) -> Vec<(f64, u32)> {
    let mut sorted = speeds.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    if sorted.len() <= MOST_DOTS {
        return sorted;
    }
    let last = sorted.len() - 1;
    (0..MOST_DOTS)
        .map(|number| sorted[number * last / (MOST_DOTS - 1)])
        .collect()
}

fn of_group(
    group: &Group<'_>,
    phase: Phase,
    strips: &[Strip<'_>],
    paint: impl Fn(&Row) -> Paint,
) -> Result<Drawing, RenderError> {
    let (phase, unit) = match phase {
        Phase::Decode => ("decode", "tok/s"),
        Phase::Prefill => ("prefill", "tok/s"),
        _ => ("multiplication", "multiplications/s"),
    };
    let distance = |strip: &Strip<'_>, speed: f64| (speed / strip.quartiles[1] - 1.0) * 100.0;
    let farthest = strips
        .iter()
        .flat_map(|s| s.speeds.iter().map(|(speed, _)| distance(s, *speed).abs()))
        .fold(1.0, f64::max)
        .min(WIDEST);
    let lines = i32::try_from(strips.len()).unwrap_or(i32::MAX / ROW);
    let bottom = TOP + ROW * lines;
    let svg = sheet(WIDTH, size(bottom + 46), |pen| {
        let across = Axis::linear(-farthest * 1.05, farthest * 1.05, LEFT, RIGHT);
        for (value, label) in across.ticks() {
            let x = across.at(value);
            pen.line(Paint::GRID, (x, TOP), (x, bottom))?;
            pen.text(Paint::SOFT, (x, bottom + 14), Side::Middle, &label, 9)?;
        }
        let middle = (LEFT + RIGHT) / 2;
        let title = "percent from the median of the row";
        pen.text(Paint::SOFT, (middle, bottom + 34), Side::Middle, title, 60)?;
        for (line, strip) in (0..).zip(strips) {
            let y = TOP + ROW * line + ROW / 2;
            let label = row_label(strip.row);
            let colour = paint(strip.row);
            write_label(pen, (LEFT - 8, y), &label, 28)?;
            let median = number(strip.quartiles[1], 2);
            pen.text(Paint::SOFT, (RIGHT + 8, y), Side::Left, &median, 8)?;
            let rounds = strip
                .speeds
                .iter()
                .map(|(_, round)| *round)
                .max()
                .unwrap_or(0)
                + 1;
            for (speed, round) in drawn(&strip.speeds) {
                // Rounds from top to bottom.
                let share = (f64::from(round) + 0.5) / f64::from(rounds) - 0.5;
                let y = y + super::canvas::pixel(share * f64::from(ROW - 12));
                pen.dot(colour, (across.at(distance(strip, speed)), y), 2)?;
            }
            let [low, _, high] = strip.quartiles.map(|q| across.at(distance(strip, q)));
            pen.frame(Paint::INK, (low, y - 11), (high, y + 11))?;
            let zero = across.at(0.0);
            pen.path(Paint::INK, 2, vec![(zero, y - 11), (zero, y + 11)])?;
            let [low, middle, high] = strip.quartiles.map(|q| number(q, 2));
            let count = strip.speeds.len();
            let tip = format!(
                "{label}: median {middle} {unit}, middle half {low} to {high}, {count} repetitions"
            );
            pen.tip_on((LEFT, y - ROW / 2), (RIGHT, y + ROW / 2), &tip);
        }
        Ok(())
    })?;
    let rows = strips.iter().map(|strip| {
        let speeds = strip.speeds.iter().map(|(speed, _)| *speed);
        let (least, most) = (
            speeds.clone().fold(f64::MAX, f64::min),
            speeds.fold(0.0, f64::max),
        );
        let [low, middle, high] = strip.quartiles;
        let mut cells = vec![row_label(strip.row), strip.speeds.len().to_string()];
        cells.extend([least, low, middle, high, most].map(|speed| number(speed, 2)));
        cells
    });
    let thinned = strips.iter().any(|strip| strip.speeds.len() > MOST_DOTS);
    let note = format!(
        "Of a row with more than {MOST_DOTS} repetitions, {MOST_DOTS} dots are drawn: its slowest, its fastest and equal \
         steps of rank between them. Box and table rest on all of them."
    );
    Ok(Drawing {
        title: format!("{phase}, {unit}, {}", heading(group)),
        svg,
        notes: if thinned { vec![note] } else { Vec::new() },
        head: vec![
            "row",
            "repetitions",
            "slowest",
            "first quartile",
            "median",
            "third quartile",
            "fastest",
        ],
        rows: rows.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_are_left_out_by_rank_and_never_at_the_ends() {
        let speeds: Vec<(f64, u32)> = (0..1000)
            .map(|n| (f64::from((n * 7919) % 1000), n))
            .collect();
        let dots = drawn(&speeds);
        assert_eq!(dots.len(), MOST_DOTS);
        assert_eq!((dots[0].0, dots[MOST_DOTS - 1].0), (0.0, 999.0));
        assert!(dots.windows(2).all(|pair| pair[0].0 < pair[1].0));
        let mut shuffled = speeds.clone();
        shuffled.rotate_left(317);
        assert_eq!(drawn(&shuffled), dots);
        assert_eq!(drawn(&speeds[..20]).len(), 20);
    }
}
