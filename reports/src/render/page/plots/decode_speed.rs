//! Decode tokens/s of each row, as bars; of a layer alone, operations a second.

use super::canvas::{Paint, Side, pixel, sheet};
use super::{Drawing, Drawn, Plot, WIDTH, row_label, size, write_label};
use crate::compare::rate;
use crate::record::Precision;
use crate::render::RenderError;
use crate::render::table::{heading, measured};
use crate::render::text::number;
use crate::report::{Group, Report};
use crate::summary::Figure;

pub(super) static PLOT: Plot = Plot {
    title: "Speed",
    about: "Decode tok/s of each row, or GOP/s of a layer alone: blue is ternary, orange half precision. A bar is the median over rounds, its line runs from the \
            slowest round to the fastest.",
    draw,
};

const ROW: i32 = 30;
const MARGIN: i32 = 10;
/// Where the bars start, in pixels from the left; the labels stand before it.
const FROM: i32 = 246;
/// Where the longest bar ends; its figure stands behind it.
const TO: i32 = 570;
/// About what fits before the bars.
const LONGEST_LABEL: usize = 30;

fn draw(report: &Report) -> Result<Drawn, RenderError> {
    let groups = report.groups();
    let drawings: Result<Vec<Option<Drawing>>, RenderError> = groups.iter().map(of_group).collect();
    let drawings: Vec<Drawing> = drawings?.into_iter().flatten().collect();
    Ok(if drawings.is_empty() {
        Err("nothing was measured".to_owned())
    } else {
        Ok(drawings)
    })
}

fn of_group(group: &Group<'_>) -> Result<Option<Drawing>, RenderError> {
    let rows = measured(&group.rows).into_iter();
    let bars: Vec<(String, Figure, Precision)> = rows
        .filter_map(|row| {
            let figure = row.summary.figure(rate(&row.summary.job));
            Some((row_label(row), figure.ok()?, row.summary.job.precision))
        })
        .collect();
    let Some(longest) = bars
        .iter()
        .map(|(_, figure, _)| figure.max)
        .reduce(f64::max)
    else {
        return Ok(None);
    };
    let lines = i32::try_from(bars.len()).unwrap_or(i32::MAX / ROW);
    let unit = if group.layer { "GOP/s" } else { "tok/s" };
    let svg = sheet(WIDTH, size(lines * ROW + 2 * MARGIN), |pen| {
        let x = |value: f64| FROM + pixel(value * f64::from(TO - FROM) / longest);
        for (line, (label, figure, precision)) in (0..).zip(&bars) {
            let y = MARGIN + ROW * line + ROW / 2;
            let paint = Paint::series(usize::from(*precision == Precision::Half));
            write_label(pen, (FROM - 8, y), label, LONGEST_LABEL)?;
            pen.bar(paint, (FROM, y - 9), (x(figure.median), y + 9))?;
            if figure.n > 1 {
                pen.path(Paint::INK, 2, vec![(x(figure.min), y), (x(figure.max), y)])?;
            }
            let median = number(figure.median, 2);
            pen.text(Paint::INK, (x(figure.max) + 8, y), Side::Left, &median, 9)?;
            let tip = format!(
                "{label}: {median} {unit}, rounds {} to {}, n = {}",
                number(figure.min, 2),
                number(figure.max, 2),
                figure.n
            );
            pen.tip_on((FROM, y - 12), (TO, y + 12), &tip);
        }
        Ok(())
    })?;
    let rows = bars.into_iter().map(|(label, figure, _)| {
        vec![
            label,
            number(figure.median, 2),
            number(figure.min, 2),
            number(figure.max, 2),
            figure.n.to_string(),
        ]
    });
    Ok(Some(Drawing {
        title: format!("{unit}, {}", heading(group)),
        svg,
        notes: Vec::new(),
        head: vec!["row", "median", "slowest round", "fastest round", "rounds"],
        rows: rows.collect(),
    }))
}
