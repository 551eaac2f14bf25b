//! The trends of a history as a page and as a drawing, self-contained both.

use super::plots::trend::draw;
use super::{STYLE, policy};
use crate::history::Trend;
use crate::render::RenderError;
use crate::render::text::{number, plain};
use minijinja::value::Value;
use minijinja::{Environment, context};

/// A page with a drawing for each machine and suite, and their changes in words.
///
/// # Errors
/// See [`RenderError`].
pub(crate) fn history_page(trends: &[Trend]) -> Result<String, RenderError> {
    let mut environment = Environment::new();
    // The ending of the name turns on escaping for HTML.
    environment.add_template("history.html", include_str!("history.html"))?;
    let machines: Result<Vec<Value>, RenderError> = trends
        .chunk_by(|a, b| a.title() == b.title())
        .map(machine)
        .collect();
    let page = environment.get_template("history.html")?.render(context! {
        policy => policy::policy(STYLE, ""),
        // Part of this program.
        style => Value::from_safe_string(STYLE.to_owned()),
        machines => machines?,
    })?;
    Ok(page)
}

fn machine(trends: &[Trend]) -> Result<Value, RenderError> {
    let changes: Vec<String> = trends.iter().flat_map(changes).collect();
    Ok(context! {
        title => trends.first().map(|trend| plain(&trend.title())),
        // Made by the drawing library, which escapes texts.
        svg => Value::from_safe_string(draw(trends)?),
        changes => changes,
    })
}

fn changes(trend: &Trend) -> Vec<String> {
    let words = |change| {
        let (ratio, better) = trend.effect(change);
        format!(
            "{}, {}: {} from {} on, {} to {} {} ({:+.1} %)",
            plain(&trend.job),
            trend.figure,
            if better { "better" } else { "worse" },
            plain(&trend.points[change.at].label()),
            number(change.before, 3),
            number(change.after, 3),
            trend.unit,
            (ratio - 1.0) * 100.0
        )
    };
    trend.changes.iter().map(words).collect()
}

/// All trends on one drawing, with its colours.
///
/// # Errors
/// See [`RenderError`].
pub(crate) fn history_svg(trends: &[Trend]) -> Result<String, RenderError> {
    let mut svg = draw(trends)?;
    if let Some(end) = svg.find('>') {
        svg.insert_str(end + 1, &format!("<style><![CDATA[{STYLE}]]></style>"));
    }
    Ok(svg)
}
