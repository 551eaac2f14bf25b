//! A bar chart as SVG text.

use super::RenderError;
use super::table::measured;
use super::text::{number, plain};
use crate::record::Precision;
use crate::report::{Group, count};
use crate::summary::Figure;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

const WIDTH: u32 = 624;
const ROW_HEIGHT: u32 = 30;
const MARGIN: u32 = 10;
/// Where the bars start, in pixels from the left; the labels stand before it.
const BARS_FROM: i32 = 236;
/// Where the longest bar ends; its figure stands behind it.
const BARS_TO: i32 = 554;
/// Labels longer than this are cut; about what fits before the bars.
const LONGEST_LABEL: usize = 28;
const FONT: &str = "sans-serif";
/// The SVG backend divides this by 1.24.
const FONT_SIZE: u32 = 18;
const TEXT: RGBColor = RGBColor(0x1d, 0x23, 0x2a);
// Blue and orange are told apart by all common kinds of colour vision; the labels name the kernels besides.
const TERNARY: RGBColor = RGBColor(0x2b, 0x6c, 0xb0);
const HALF: RGBColor = RGBColor(0xd0, 0x7a, 0x1e);

/// One bar.
struct Bar {
    label: String,
    figure: Figure,
    colour: RGBColor,
}

/// Draws the decode tokens/s of a group: a bar for each measured row, with a line from its slowest to its fastest round.
/// Gives nothing for a group without such a figure.
///
/// # Errors
/// When the drawing library refuses.
pub(super) fn decode_speed(group: &Group<'_>) -> Result<Option<String>, RenderError> {
    let bars = bars(group);
    let Some(longest) = bars.iter().map(|bar| bar.figure.max).reduce(f64::max) else {
        return Ok(None);
    };
    let rows = u32::try_from(bars.len()).unwrap_or(u32::MAX);
    let height = rows.saturating_mul(ROW_HEIGHT).saturating_add(2 * MARGIN);
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        for (number, bar) in (0_u32..).zip(&bars) {
            let y = pixel(f64::from(MARGIN) + f64::from(ROW_HEIGHT) * (f64::from(number) + 0.5));
            draw(&root, bar, y, longest).map_err(|e| RenderError::Chart(e.to_string()))?;
        }
        root.present()
            .map_err(|e| RenderError::Chart(e.to_string()))?;
    }
    Ok(Some(svg))
}

fn bars(group: &Group<'_>) -> Vec<Bar> {
    let mut bars = Vec::new();
    for row in measured(&group.rows) {
        let job = &row.summary.job;
        let Ok(figure) = row.summary.figure(|round| &round.decode_tokens_per_second) else {
            continue;
        };
        let mark = if job.model.ternarized { "*" } else { "" };
        let threads = count(job.threads as usize, "thread");
        bars.push(Bar {
            label: cut(&format!(
                "{}{mark}, {threads}",
                plain(&job.kernel_and_head())
            )),
            figure,
            colour: match job.precision {
                Precision::Ternary => TERNARY,
                Precision::Half => HALF,
            },
        });
    }
    bars
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type DrawError<'a> =
    DrawingAreaErrorKind<<SVGBackend<'a> as plotters::backend::DrawingBackend>::ErrorType>;

fn draw<'a>(root: &Area<'a>, bar: &Bar, y: i32, longest: f64) -> Result<(), DrawError<'a>> {
    let scale = f64::from(BARS_TO - BARS_FROM) / longest;
    let x = |value: f64| BARS_FROM + pixel(value * scale);
    let half = 9;
    let label = (FONT, FONT_SIZE).into_font().color(&TEXT);
    let before = label.clone().pos(Pos::new(HPos::Right, VPos::Center));
    let behind = label.pos(Pos::new(HPos::Left, VPos::Center));
    root.draw(&Text::new(bar.label.clone(), (BARS_FROM - 8, y), before))?;
    root.draw(&Rectangle::new(
        [(BARS_FROM, y - half), (x(bar.figure.median), y + half)],
        bar.colour.filled(),
    ))?;
    if bar.figure.n > 1 {
        let range = [(x(bar.figure.min), y), (x(bar.figure.max), y)];
        root.draw(&PathElement::new(range.to_vec(), TEXT.stroke_width(2)))?;
    }
    root.draw(&Text::new(
        number(bar.figure.median, 2),
        (x(bar.figure.max) + 8, y),
        behind,
    ))
}

fn cut(label: &str) -> String {
    if label.chars().count() <= LONGEST_LABEL {
        return label.to_owned();
    }
    let mut cut: String = label.chars().take(LONGEST_LABEL - 1).collect();
    cut.push('…');
    cut
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "`as` saturates, and the chart is a few thousand pixels high"
)]
fn pixel(value: f64) -> i32 {
    value.round() as i32
}
