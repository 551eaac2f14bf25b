//! One figure over the commits of a project, with its changes of level.

use super::axis::Axis;
use super::canvas::{Paint, Pen, Side, sheet};
use super::{WIDTH, size};
use crate::history::Trend;
use crate::render::RenderError;
use crate::render::text::{number, plain};

/// Pixels of one trend from top to bottom.
const HEIGHT: i32 = 210;
const LEFT: i32 = 60;
const RIGHT: i32 = 620;
/// Newest commits that are drawn.
const MOST: usize = 200;

/// Draws trends below each other on one sheet.
///
/// # Errors
/// When the drawing library refuses.
pub(in crate::render::page) fn draw(trends: &[Trend]) -> Result<String, RenderError> {
    let count = i32::try_from(trends.len()).unwrap_or(1000).min(1000);
    sheet(WIDTH, size(HEIGHT * count.max(1)), |pen| {
        for (index, trend) in (0..count).zip(trends) {
            panel(pen, trend, index * HEIGHT)?;
        }
        Ok(())
    })
}

fn panel(pen: &mut Pen<'_>, trend: &Trend, top: i32) -> Result<(), RenderError> {
    let left_out = trend.points.len().saturating_sub(MOST);
    let points = &trend.points[left_out..];
    let title = format!("{}, {} ({})", plain(&trend.job), trend.figure, trend.unit);
    pen.text(Paint::INK, (LEFT, top + 16), Side::Left, &title, 76)?;
    let low = points.iter().map(|p| p.low).fold(f64::INFINITY, f64::min);
    let high = points.iter().map(|p| p.high).fold(0.0, f64::max);
    let margin = (high - low).max(high * 0.02) * 0.08;
    let (bottom, ceiling) = (top + HEIGHT - 34, top + 42);
    let up = Axis::linear((low - margin).max(0.0), high + margin, bottom, ceiling);
    let last = points.len().saturating_sub(1).max(1) as f64;
    let across = Axis::linear(-0.03 * last, last * 1.03, LEFT, RIGHT);
    for (value, label) in up.ticks() {
        let y = up.at(value);
        pen.line(Paint::GRID, (LEFT, y), (RIGHT, y))?;
        pen.text(Paint::SOFT, (LEFT - 8, y), Side::Right, &label, 9)?;
    }
    pen.line(Paint::SOFT, (LEFT, bottom), (RIGHT, bottom))?;
    let x = |index: usize| across.at(index as f64);
    for (index, point) in points.iter().enumerate() {
        let ends = [(x(index), up.at(point.low)), (x(index), up.at(point.high))];
        pen.path(Paint::GRID, 2, ends.to_vec())?;
    }
    let medians = points.iter().enumerate();
    let path = medians.map(|(index, point)| (x(index), up.at(point.median)));
    pen.path(Paint::series(0), 2, path.collect())?;
    for change in trend.changes.iter().filter(|change| change.at > left_out) {
        let (ratio, better) = trend.effect(change);
        let paint = Paint::series(if better { 2 } else { 4 });
        let at = x(change.at - left_out);
        pen.line(paint, (at, ceiling), (at, bottom))?;
        let label = format!("{:+.1} %", (ratio - 1.0) * 100.0);
        pen.text(paint, (at, ceiling - 4), Side::Middle, &label, 12)?;
    }
    for (index, point) in points.iter().enumerate() {
        let at = (x(index), up.at(point.median));
        pen.dot(Paint::series(0), at, 3)?;
        pen.tip(
            at,
            &format!(
                "{}, {}: {} {}, rounds {} to {}",
                plain(&point.label()),
                plain(&point.at),
                number(point.median, 3),
                trend.unit,
                number(point.low, 3),
                number(point.high, 3)
            ),
        );
    }
    if let (Some(first), Some(last)) = (points.first(), points.last()) {
        let y = bottom + 16;
        pen.text(
            Paint::SOFT,
            (LEFT, y),
            Side::Left,
            &plain(&first.label()),
            12,
        )?;
        if points.len() > 1 {
            pen.text(
                Paint::SOFT,
                (RIGHT, y),
                Side::Right,
                &plain(&last.label()),
                12,
            )?;
        }
    }
    Ok(())
}
