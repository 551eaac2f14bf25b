//! Modelled energy as text and as CSV of its own: no key of it is a key of measured energy.

use super::{EnergyModel, ModelledJoules, PUBLISHED, Subject, find};
use crate::render::RenderError;
use crate::render::csv::inert;
use crate::render::plain;

/// A table of what a model says of each subject; MODEL stands on each line with a figure.
pub fn text(model: &EnergyModel, subjects: &[Subject]) -> String {
    let mut text = heading(model);
    let width = subjects
        .iter()
        .map(|s| plain(&s.name).chars().count())
        .max();
    let width = width.unwrap_or(0);
    for subject in subjects {
        let said = match (model.evaluate)(subject) {
            Ok(joules) => format!("MODEL ~{}", range(joules)),
            Err(reason) => format!("nothing: {reason}"),
        };
        let kind = if subject.ternary { "ternary" } else { "half" };
        text.push_str(&format!(
            "  {:<width$}  {kind:<7}  {said}\n",
            plain(&subject.name)
        ));
    }
    text
}

/// The published column of the arithmetic model, and what the model gives for the shapes.
pub fn published_text() -> String {
    let Some(model) = find("arithmetic") else {
        return String::new();
    };
    let mut text = heading(model);
    for row in &PUBLISHED {
        let said = match (model.evaluate)(&row.subject()) {
            Ok(joules) => format!("{:.3} J ({:.5})", joules.low, joules.low),
            Err(reason) => reason,
        };
        text.push_str(&format!(
            "  {:<18} MODEL {said}, published {} J\n",
            row.name, row.printed
        ));
    }
    text
}

fn heading(model: &EnergyModel) -> String {
    format!(
        "MODEL {}: joules for {}; nothing here was measured\n  counts {}\n  after {}\n",
        model.name, model.per, model.about, model.source
    )
}

/// Two significant digits: a model does not know more.
fn range(joules: ModelledJoules) -> String {
    if joules.low == joules.high {
        digits(joules.low)
    } else {
        format!("{} to {}", digits(joules.low), digits(joules.high))
    }
}

fn digits(joules: f64) -> String {
    let (value, unit) = match joules {
        j if j >= 1.0 => (j, "J"),
        j if j >= 1e-3 => (j * 1e3, "mJ"),
        j => (j * 1e6, "uJ"),
    };
    let decimals = if value >= 10.0 { 0 } else { 1 };
    format!("{value:.decimals$} {unit}")
}

/// The same for a script. Columns: `energy_model`, `subject`, `weights`, `model_joules_low`, `model_joules_high`, `per`,
/// `source`; what the model does not say is an empty field.
///
/// # Errors
/// When the encoder fails.
pub fn csv(model: &EnergyModel, subjects: &[Subject]) -> Result<String, RenderError> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record([
        "energy_model",
        "subject",
        "weights",
        "model_joules_low",
        "model_joules_high",
        "per",
        "source",
    ])?;
    for subject in subjects {
        let said = (model.evaluate)(subject).ok();
        let number = |end: fn(ModelledJoules) -> f64| {
            said.map_or(String::new(), |joules| end(joules).to_string())
        };
        writer.write_record([
            model.name.to_owned(),
            inert(&plain(&subject.name)),
            if subject.ternary { "ternary" } else { "half" }.to_owned(),
            number(|joules| joules.low),
            number(|joules| joules.high),
            model.per.to_owned(),
            model.source.to_owned(),
        ])?;
    }
    let bytes = writer
        .into_inner()
        .map_err(|e| csv::Error::from(e.into_error()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
