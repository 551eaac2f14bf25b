//! The plots of the page, each with the table that it is drawn from.
//!
//! To add a plot, add a file with a `PLOT` and a line to [`PLOTS`].

mod axis;
mod canvas;
mod decode_speed;
mod power;
mod roofline;
mod samples;
mod scaling;
pub(super) mod trend;

use crate::columns::Row;
use crate::record::Precision;
use crate::render::RenderError;
use crate::render::text::plain;
use crate::report::{Report, count};
use canvas::{Paint, Pen, Side};

/// One kind of plot.
pub(super) struct Plot {
    /// Its heading.
    pub(super) title: &'static str,
    /// How to read it.
    pub(super) about: &'static str,
    /// Draws it, for each model where it is of one.
    pub(super) draw: fn(&Report) -> Result<Drawn, RenderError>,
}

/// What came of it: drawings, or why there is none.
pub(super) type Drawn = Result<Vec<Drawing>, String>;

/// One drawing.
pub(super) struct Drawing {
    /// What it is of, such as the model.
    pub(super) title: String,
    /// Its markup, made by [`canvas`] alone.
    pub(super) svg: String,
    /// What was left out or must be known of this one.
    pub(super) notes: Vec<String>,
    /// The figures behind it.
    pub(super) head: Vec<&'static str>,
    /// Its lines.
    pub(super) rows: Vec<Vec<String>>,
}

/// The plots, in the order of the page.
pub(super) static PLOTS: &[&Plot] = &[
    &decode_speed::PLOT,
    &scaling::PLOT,
    &roofline::PLOT,
    &samples::PLOT,
    &power::PLOT,
];

/// Pixels of a drawing from left to right.
const WIDTH: u32 = 640;
/// Height of a line of a key.
const KEY_LINE: i32 = 20;

/// A row in a plot of one model: `i2s-avx2, 2 threads`, with a star where it is ternarized.
fn row_label(row: &Row) -> String {
    let threads = count(row.summary.job.threads as usize, "thread");
    format!("{}, {threads}", kernel_label(row))
}

/// The same where the number of threads is that of the whole plot.
fn kernel_label(row: &Row) -> String {
    let job = &row.summary.job;
    let mark = if job.model.ternarized { "*" } else { "" };
    format!("{}{mark}", plain(&job.kernel_and_head()))
}

/// Writes the label of a row, its end at a point. One that is too long for a line has its number of threads on a second.
fn write_label(
    pen: &Pen<'_>,
    (x, y): (i32, i32),
    label: &str,
    longest: usize,
) -> Result<(), RenderError> {
    let two = label.rsplit_once(", ");
    match two.filter(|_| label.chars().count() > longest) {
        Some((kernel, threads)) => {
            pen.text(Paint::INK, (x, y - 7), Side::Right, kernel, longest)?;
            pen.text(Paint::SOFT, (x, y + 7), Side::Right, threads, longest)
        }
        None => pen.text(Paint::INK, (x, y), Side::Right, label, longest),
    }
}

/// The kernels of a run, each once, in the order of its plan: the number of one is that of its colour in every plot.
fn kernels(report: &Report) -> Vec<(String, Precision)> {
    let mut kernels = Vec::new();
    for row in &report.rows {
        let job = &row.summary.job;
        let kernel = (job.kernel_and_head(), job.precision);
        if !kernels.contains(&kernel) {
            kernels.push(kernel);
        }
    }
    kernels
}

fn paint_of(kernels: &[(String, Precision)], row: &Row) -> Paint {
    // Of the colours of `style.css`, the warm ones are those of half precision, as in the plot of decode speed.
    const WARM: [usize; 3] = [1, 6, 4];
    const COLD: [usize; 5] = [0, 2, 3, 5, 7];
    let name = row.summary.job.kernel_and_head();
    let precision = row.summary.job.precision;
    let alike = kernels.iter().filter(|(_, other)| *other == precision);
    let place = alike
        .map(|(kernel, _)| kernel)
        .position(|kernel| *kernel == name);
    let place = place.unwrap_or(0);
    Paint::series(match precision {
        Precision::Half => WARM[place % WARM.len()],
        Precision::Ternary => COLD[place % COLD.len()],
    })
}

/// A key with a line for each kernel: round marks for ternary ones, square ones for half precision.
fn key(
    pen: &Pen<'_>,
    at: (i32, i32),
    entries: &[(String, Paint, bool)],
) -> Result<(), RenderError> {
    for (number, (name, paint, round)) in (0..).zip(entries) {
        // Two columns.
        let x = at.0 + (number % 2) * 300;
        let y = at.1 + number / 2 * KEY_LINE;
        pen.mark(*paint, (x, y), *round)?;
        pen.text(Paint::INK, (x + 12, y), Side::Left, name, 36)?;
    }
    Ok(())
}

/// Height of a key with so many entries.
fn key_height(entries: usize) -> i32 {
    i32::try_from(entries.div_ceil(2)).unwrap_or(i32::MAX / KEY_LINE) * KEY_LINE
}

/// Pixels as the size of a sheet.
fn size(pixels: i32) -> u32 {
    u32::try_from(pixels).unwrap_or(1)
}
