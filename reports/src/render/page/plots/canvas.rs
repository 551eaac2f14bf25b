//! Drawing with `plotters`, in colours that the style sheet of the page sets, and with tooltips.

use crate::render::RenderError;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::fmt::Display;

/// A colour of the style sheet, which has a light and a dark one for each; see `style.css`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Paint(u8);

impl Paint {
    /// Text and what matters.
    pub(super) const INK: Paint = Paint(1);
    /// Axes and what is said in passing.
    pub(super) const SOFT: Paint = Paint(2);
    /// Lines of the grid.
    pub(super) const GRID: Paint = Paint(3);
    /// How many colours series can have.
    pub(super) const SERIES: u8 = 8;

    /// The colour of a series; they begin again after the last.
    pub(super) fn series(number: usize) -> Paint {
        let number = u8::try_from(number % usize::from(Self::SERIES)).unwrap_or(0);
        Paint(10 + number)
    }

    fn rgb(self) -> RGBColor {
        RGBColor(0, 0, self.0)
    }
}

/// Where a text stands relative to its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Middle,
    Right,
}

/// A sheet of some pixels to draw on. Coordinates are pixels from the upper left corner.
pub(super) struct Pen<'a> {
    area: DrawingArea<SVGBackend<'a>, Shift>,
    /// Invisible marks above the drawing: what is told when the pointer rests on them.
    tips: String,
}

type Point = (i32, i32);

fn failed(error: impl Display) -> RenderError {
    RenderError::Chart(error.to_string())
}

impl Pen<'_> {
    pub(super) fn line(&self, paint: Paint, from: Point, to: Point) -> Result<(), RenderError> {
        self.path(paint, 1, vec![from, to])
    }

    pub(super) fn path(
        &self,
        paint: Paint,
        width: u32,
        points: Vec<Point>,
    ) -> Result<(), RenderError> {
        let path = PathElement::new(points, paint.rgb().stroke_width(width));
        self.area.draw(&path).map_err(failed)
    }

    pub(super) fn bar(&self, paint: Paint, from: Point, to: Point) -> Result<(), RenderError> {
        let bar = Rectangle::new([from, to], paint.rgb().filled());
        self.area.draw(&bar).map_err(failed)
    }

    pub(super) fn frame(&self, paint: Paint, from: Point, to: Point) -> Result<(), RenderError> {
        let frame = Rectangle::new([from, to], paint.rgb().stroke_width(1));
        self.area.draw(&frame).map_err(failed)
    }

    pub(super) fn dot(&self, paint: Paint, at: Point, radius: i32) -> Result<(), RenderError> {
        let dot = Circle::new(at, radius, paint.rgb().filled());
        self.area.draw(&dot).map_err(failed)
    }

    /// A round mark, or a square one.
    pub(super) fn mark(&self, paint: Paint, at: Point, round: bool) -> Result<(), RenderError> {
        if round {
            return self.dot(paint, at, 5);
        }
        self.bar(paint, (at.0 - 4, at.1 - 4), (at.0 + 4, at.1 + 4))
    }

    /// A text, cut to that many characters. The backend escapes it.
    pub(super) fn text(
        &self,
        paint: Paint,
        at: Point,
        side: Side,
        text: &str,
        longest: usize,
    ) -> Result<(), RenderError> {
        let side = match side {
            Side::Left => HPos::Left,
            Side::Middle => HPos::Center,
            Side::Right => HPos::Right,
        };
        let style = (FONT, FONT_SIZE).into_font().color(&paint.rgb());
        let style = style.pos(Pos::new(side, VPos::Center));
        let text = Text::new(cut(text, longest), at, style);
        self.area.draw(&text).map_err(failed)
    }

    /// Tells something when the pointer rests on a point or near it.
    pub(super) fn tip(&mut self, at: Point, text: &str) {
        let text = escaped(text);
        self.tips.push_str(&format!(
            "<circle class=\"tip\" cx=\"{}\" cy=\"{}\" r=\"9\"><title>{text}</title></circle>\n",
            at.0, at.1
        ));
    }

    /// The same for a rectangle.
    pub(super) fn tip_on(&mut self, from: Point, to: Point, text: &str) {
        let (width, height) = ((to.0 - from.0).max(3), (to.1 - from.1).max(3));
        self.tips.push_str(&format!(
            "<rect class=\"tip\" x=\"{}\" y=\"{}\" width=\"{width}\" height=\"{height}\"><title>{}</title></rect>\n",
            from.0,
            from.1,
            escaped(text)
        ));
    }
}

const FONT: &str = "sans-serif";
/// The SVG backend divides this by 1.24.
const FONT_SIZE: u32 = 17;

/// Draws on a sheet and gives it as SVG markup.
///
/// # Errors
/// When the drawing library refuses.
pub(super) fn sheet(
    width: u32,
    height: u32,
    draw: impl FnOnce(&mut Pen<'_>) -> Result<(), RenderError>,
) -> Result<String, RenderError> {
    let mut svg = String::new();
    let tips = {
        let area = SVGBackend::with_string(&mut svg, (width, height)).into_drawing_area();
        let mut pen = Pen {
            area,
            tips: String::new(),
        };
        draw(&mut pen)?;
        pen.area.present().map_err(failed)?;
        pen.tips
    };
    let mut svg = themed(svg);
    if let Some(end) = svg.rfind("</svg>") {
        svg.insert_str(end, &tips);
    }
    Ok(svg)
}

/// Colours as classes of the style sheet. In texts the backend has made `"` to `&quot;`, so only attributes are met.
fn themed(svg: String) -> String {
    let mut svg = svg
        .replace(" opacity=\"1\"", "")
        .replace(" stroke=\"none\"", "")
        .replace(" font-family=\"sans-serif\"", "");
    let series = (0..usize::from(Paint::SERIES)).map(Paint::series);
    for paint in [Paint::INK, Paint::SOFT, Paint::GRID]
        .into_iter()
        .chain(series)
    {
        for (attribute, letter) in [("fill", 'f'), ("stroke", 's')] {
            let number = paint.0;
            svg = svg.replace(
                &format!("{attribute}=\"#0000{number:02X}\""),
                &format!("class=\"{letter}{number}\""),
            );
        }
    }
    svg
}

/// The text as content of an element.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#x27;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// At most so many characters of a text.
pub(super) fn cut(text: &str, longest: usize) -> String {
    if text.chars().count() <= longest {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(longest.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "`as` saturates, and a plot is a few thousand pixels wide"
)]
pub(super) fn pixel(value: f64) -> i32 {
    value.round() as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_tips_are_inert_and_keep_their_colours() {
        let evil = "</title><script>fill=\"#000001\"&'";
        let svg = sheet(100, 50, |pen| {
            pen.text(Paint::INK, (1, 1), Side::Left, evil, 99)?;
            pen.tip((1, 1), evil);
            pen.tip_on((1, 1), (2, 2), evil);
            pen.mark(Paint::series(3), (5, 5), false)
        })
        .unwrap();
        assert!(!svg.contains("<script"), "{svg}");
        assert_eq!(svg.matches("</title>").count(), 2, "{svg}");
        assert_eq!(svg.matches("fill=&quot;#000001&quot;").count(), 3, "{svg}");
        assert!(
            svg.contains("class=\"f1\"") && svg.contains("class=\"f13\""),
            "{svg}"
        );
        assert!(svg.trim_end().ends_with("</svg>"), "{svg}");
    }

    #[test]
    fn long_texts_are_cut() {
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdefg", 6), "abcde…");
    }
}
