//! Power and clock over the time of the run.

use super::axis::Axis;
use super::canvas::{Paint, Side, pixel, sheet};
use super::{Drawing, Drawn, Plot, WIDTH, key, key_height, size};
use crate::record::{EnergySourceInfo, Phase};
use crate::render::RenderError;
use crate::render::table::name;
use crate::render::text::{number, plain};
use crate::report::Report;
use crate::window::Window;

pub(super) static PLOT: Plot = Plot {
    title: "Power and clock over time",
    about: "The mean of each stored window, at the time when it was measured. A machine that throttles or warms up shows as a \
            level that falls or rises while the work is the same.",
    draw,
};

const HEIGHT: i32 = 200;
const LEFT: i32 = 60;
const TOP: i32 = 16;
const RIGHT: i32 = 620;
/// Windows drawn at most.
const MOST_WINDOWS: usize = 1500;
/// Lines of the table at most.
const MOST_LINES: usize = 200;

/// The phases as they are called here.
const PHASES: [(Phase, &str); 8] = [
    (Phase::Decode, "decode"),
    (Phase::Prefill, "prefill"),
    (Phase::Idle, "idle"),
    (Phase::WarmUp, "warm-up"),
    (Phase::Request, "whole requests"),
    (Phase::ReadBandwidth, "read bandwidth"),
    (Phase::ComputePeak, "compute peak"),
    (Phase::Multiply, "multiplication"),
];

fn draw(report: &Report) -> Result<Drawn, RenderError> {
    let simulated = if report.simulated() {
        "SIMULATED power"
    } else {
        "power"
    };
    let watts = |window: &Window| window.watts.as_ref().ok().copied();
    let power = of_quantity(report, simulated, "W", watts)?;
    let clock = of_quantity(report, "clock", "MHz", |window| window.mhz)?;
    let no_power = power.is_none().then(|| match &report.run.energy {
        EnergySourceInfo::Unavailable { reason, .. } => format!("No power: {}.", plain(reason)),
        EnergySourceInfo::Open { .. } => "No power: no window has a figure.".to_owned(),
    });
    let no_clock = clock.is_none().then(|| {
        "No clock: the record has neither cycles nor a frequency for any window.".to_owned()
    });
    let mut drawings: Vec<Drawing> = power.into_iter().chain(clock).collect();
    let missing = no_power.into_iter().chain(no_clock);
    Ok(match drawings.last_mut() {
        None => Err(missing.collect::<Vec<_>>().join(" ")),
        Some(last) => {
            last.notes.extend(missing);
            Ok(drawings)
        }
    })
}

fn paint_of(phase: Phase) -> Paint {
    let place = PHASES.iter().position(|(known, _)| *known == phase);
    Paint::series(place.unwrap_or(0))
}

fn name_of(phase: Phase) -> &'static str {
    let found = PHASES.iter().find(|(known, _)| *known == phase);
    found.map_or("other", |(_, name)| name)
}

/// A job in words. A control is none of the rows.
fn job_name(report: &Report, id: &str) -> String {
    let mut rows = report.rows.iter();
    let row = rows.find(|row| row.summary.job.id == id);
    row.map_or("A/A control".to_owned(), name)
}

fn of_quantity(
    report: &Report,
    what: &str,
    unit: &'static str,
    of: impl Fn(&Window) -> Option<f64>,
) -> Result<Option<Drawing>, RenderError> {
    let windows = report.windows.iter();
    let all: Vec<(&Window, f64)> = windows.filter_map(|w| Some((w, of(w)?))).collect();
    if all.is_empty() {
        return Ok(None);
    }
    // Every so many-th, the same for the same record.
    let step = all.len().div_ceil(MOST_WINDOWS);
    let drawn: Vec<&(&Window, f64)> = all.iter().step_by(step).collect();
    let end = all
        .iter()
        .map(|(w, _)| w.start_s + w.seconds)
        .fold(0.0, f64::max);
    let (scale, time) = if end > 300.0 {
        (60.0, "minutes")
    } else {
        (1.0, "seconds")
    };
    let most = all.iter().map(|(_, value)| *value).fold(0.0, f64::max);
    let used = PHASES
        .iter()
        .filter(|(phase, _)| all.iter().any(|(w, _)| w.phase == *phase));
    let entries: Vec<(String, Paint, bool)> = used
        .map(|(phase, name)| ((*name).to_owned(), paint_of(*phase), false))
        .collect();
    let bottom = TOP + HEIGHT;
    let svg = sheet(
        WIDTH,
        size(bottom + 62 + key_height(entries.len())),
        |pen| {
            let across = Axis::linear(0.0, end / scale, LEFT, RIGHT);
            let up = Axis::linear(0.0, most * 1.08, bottom, TOP);
            for (value, label) in up.ticks() {
                let y = up.at(value);
                pen.line(Paint::GRID, (LEFT, y), (RIGHT, y))?;
                pen.text(Paint::SOFT, (LEFT - 8, y), Side::Right, &label, 9)?;
            }
            for (value, label) in across.ticks() {
                pen.text(
                    Paint::SOFT,
                    (across.at(value), bottom + 14),
                    Side::Middle,
                    &label,
                    9,
                )?;
            }
            pen.line(Paint::SOFT, (LEFT, bottom), (RIGHT, bottom))?;
            let title = format!("{time} since the start; upwards: {what}, {unit}");
            let middle = (LEFT + RIGHT) / 2;
            pen.text(Paint::SOFT, (middle, bottom + 36), Side::Middle, &title, 70)?;
            for (window, value) in &drawn {
                let from = across.at(window.start_s / scale);
                let to = across
                    .at((window.start_s + window.seconds) / scale)
                    .max(from + 2);
                let y = up.at(*value);
                pen.path(paint_of(window.phase), 3, vec![(from, y), (to, y)])?;
            }
            for (window, value) in &drawn {
                let from = across.at(window.start_s / scale);
                let y = up.at(*value);
                let tip = format!(
                    "{}, {}, round {}: {} {unit} for {} s",
                    job_name(report, &window.job),
                    name_of(window.phase),
                    window.round + 1,
                    number(*value, 1),
                    number(window.seconds, 2)
                );
                let to = across.at((window.start_s + window.seconds) / scale);
                pen.tip_on((from, y - 3), (to.max(from + 2), y + pixel(3.0)), &tip);
            }
            key(pen, (LEFT, bottom + 60), &entries)
        },
    )?;
    let mut notes = Vec::new();
    if step > 1 {
        notes.push(format!(
            "One in {step} of {} windows is drawn, in the order in which they were stored.",
            all.len()
        ));
    }
    let lines_step = all.len().div_ceil(MOST_LINES);
    if lines_step > 1 {
        notes.push(format!(
            "The table has one in {lines_step} of {} windows.",
            all.len()
        ));
    }
    if !report.resumed.is_empty() {
        notes.push("The run was resumed: the time between its processes is not shown.".to_owned());
    }
    let rows = all.iter().step_by(lines_step).map(|(window, value)| {
        vec![
            job_name(report, &window.job),
            name_of(window.phase).to_owned(),
            (window.round + 1).to_string(),
            number(window.start_s, 1),
            number(window.seconds, 2),
            number(*value, 1),
        ]
    });
    Ok(Some(Drawing {
        title: what.to_owned(),
        svg,
        notes,
        head: vec!["job", "window", "round", "start, s", "length, s", unit],
        rows: rows.collect(),
    }))
}
