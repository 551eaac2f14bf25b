//! Every kernel under the roof of what the machine reads and multiplies, both measured in the same processes.

use super::axis::Axis;
use super::canvas::{Paint, Side, sheet};
use super::{
    Drawing, Drawn, Plot, WIDTH, kernel_label, kernels, key, key_height, paint_of, row_label, size,
};
use crate::columns::Row;
use crate::record::{Phase, Precision};
use crate::render::RenderError;
use crate::render::table::{heading, measured};
use crate::render::text::{number, plain};
use crate::report::{Group, Report, count};
use crate::round::{Reading, Round};
use crate::stats::median;
use std::collections::BTreeMap;

pub(super) static PLOT: Plot = Plot {
    title: "Roofline",
    about: "Operations per second of the linear layers (a multiply-add is two) over operations per byte that has to be read. \
            The slope is the read bandwidth, the flat lines are the multiply-add peaks, all three measured by plain loops in \
            the processes of the rows: medians over rounds. The left mark of a kernel is decode (of a layer alone, its multiplication), with the bytes that were \
            counted; the right one is prefill, with each weight read once for the whole prompt, which is the least it can be. \
            Attention and the head take time and are not counted as operations, and look-ups are none, so a mark shows what is \
            left to gain and is no efficiency by itself.",
    draw,
};

const HEIGHT: i32 = 300;
const LEFT: i32 = 66;
const TOP: i32 = 16;
const RIGHT: i32 = 620;

/// A row as two points.
struct Spot<'a> {
    row: &'a Row,
    /// Of the read in the processes of this row, in GB/s.
    bandwidth: f64,
    /// Name of the peak, and the peak in GOP/s.
    peak: Option<(String, f64)>,
    /// Operations per byte and GOP/s of decode, or of the multiplication of a layer alone.
    first: Option<(f64, f64)>,
    /// The same of prefill.
    prefill: Option<(f64, f64)>,
}

fn draw(report: &Report) -> Result<Drawn, RenderError> {
    let peaks = peak_names(report);
    let mut drawings = Vec::new();
    for group in report.groups() {
        let rows = measured(&group.rows);
        let mut threads: Vec<u32> = rows.iter().map(|row| row.summary.job.threads).collect();
        threads.sort_unstable();
        threads.dedup();
        // Of many numbers of threads, the ends: the table of all figures has the others.
        let shown: Vec<u32> = match &threads[..] {
            [] => continue,
            [one] => vec![*one],
            [first, .., last] => vec![*first, *last],
        };
        for number in &shown {
            let of_threads = rows.iter().filter(|r| r.summary.job.threads == *number);
            let spots: Vec<Spot<'_>> = of_threads.filter_map(|row| spot(row, &peaks)).collect();
            if spots
                .iter()
                .any(|s| s.first.is_some() || s.prefill.is_some())
            {
                let mut drawing = of_group(report, &group, *number, &spots)?;
                if shown.len() < threads.len() {
                    let all = threads.len();
                    drawing.notes.push(format!(
                        "Of {all} numbers of threads, the lowest and the highest are drawn."
                    ));
                }
                drawings.push(drawing);
            }
        }
    }
    Ok(if drawings.is_empty() {
        Err("no row has both a read bandwidth and a speed in the record".to_owned())
    } else {
        Ok(drawings)
    })
}

/// The name of the peak of each job.
fn peak_names(report: &Report) -> BTreeMap<&str, &str> {
    let peaks = report
        .windows
        .iter()
        .filter(|w| w.phase == Phase::ComputePeak);
    let named = peaks.filter_map(|w| Some((w.job.as_str(), w.peak.as_deref()?)));
    named.collect()
}

fn figure(row: &Row, reading: fn(&Round) -> &Reading) -> Option<f64> {
    let figure = row.summary.figure(reading).ok()?;
    Some(figure.median).filter(|value| *value > 0.0)
}

fn spot<'a>(row: &'a Row, peaks: &BTreeMap<&str, &str>) -> Option<Spot<'a>> {
    let job = &row.summary.job;
    let loaded = row.summary.loaded.as_ref()?;
    let weights = loaded.linear_weights as f64;
    let speed = figure(row, |round| &round.decode_tokens_per_second);
    let bytes = figure(row, |round| &round.decode_bytes_per_token);
    let positive = |point: &(f64, f64)| point.0 > 0.0 && point.1 > 0.0;
    let decode = speed.zip(bytes);
    let decode = decode.map(|(speed, bytes)| (2.0 * weights / bytes, 2.0 * weights * speed * 1e-9));
    // A layer alone has one point.
    let alone = figure(row, |round| &round.multiply_gop_per_second);
    let reads = loaded.linear_bytes as f64;
    let alone = alone.map(|speed| (2.0 * weights * f64::from(job.batch) / reads, speed));
    let first = decode.or(alone);
    let tokens = f64::from(job.prefill_tokens) * f64::from(job.batch.max(1));
    let intensity = 2.0 * weights * tokens / loaded.linear_bytes as f64;
    let prefill = figure(row, |round| &round.prefill_gop_per_second);
    let peak = figure(row, |round| &round.compute_peak_gop_per_second);
    Some(Spot {
        row,
        bandwidth: figure(row, |round| &round.read_bandwidth_gb_per_second)?,
        peak: peak.map(|peak| {
            let name = peaks.get(job.id.as_str()).copied().unwrap_or("peak");
            (plain(name), peak)
        }),
        first: first.filter(positive),
        prefill: prefill.map(|speed| (intensity, speed)).filter(positive),
    })
}

fn of_group(
    report: &Report,
    group: &Group<'_>,
    threads: u32,
    spots: &[Spot<'_>],
) -> Result<Drawing, RenderError> {
    let names = kernels(report);
    let bandwidths: Vec<f64> = spots.iter().map(|spot| spot.bandwidth).collect();
    let bandwidth = median(&bandwidths).unwrap_or(1.0);
    let mut peaks: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for (name, peak) in spots.iter().filter_map(|spot| spot.peak.as_ref()) {
        peaks.entry(name).or_default().push(*peak);
    }
    let mut peaks: Vec<(&str, f64)> = peaks
        .into_iter()
        .filter_map(|(name, values)| Some((name, median(&values)?)))
        .collect();
    peaks.sort_by(|a, b| b.1.total_cmp(&a.1));
    let points = || {
        spots
            .iter()
            .flat_map(|spot| spot.first.into_iter().chain(spot.prefill))
    };
    let fold = |of: fn(f64, f64) -> f64, start: f64, values: &dyn Fn((f64, f64)) -> f64| {
        points().map(values).fold(start, of)
    };
    let x_low = fold(f64::min, f64::MAX, &|p| p.0) / 2.0;
    let x_high = fold(f64::max, 0.0, &|p| p.0) * 2.0;
    let y_low = fold(f64::min, f64::MAX, &|p| p.1).min(x_low * bandwidth) / 1.5;
    let highest = peaks.first().map_or(0.0, |(_, peak)| *peak);
    let y_high = fold(f64::max, highest, &|p| p.1) * 1.6;
    let bottom = TOP + HEIGHT;
    let entries: Vec<(String, Paint, bool)> = spots
        .iter()
        .map(|spot| {
            let round = spot.row.summary.job.precision == Precision::Ternary;
            (kernel_label(spot.row), paint_of(&names, spot.row), round)
        })
        .collect();
    let height = bottom + 64 + key_height(entries.len());
    let svg = sheet(WIDTH, size(height), |pen| {
        let across = Axis::logarithmic(x_low, x_high, LEFT, RIGHT);
        let up = Axis::logarithmic(y_low, y_high, bottom, TOP);
        for (value, label) in up.ticks() {
            let y = up.at(value);
            pen.line(Paint::GRID, (LEFT, y), (RIGHT, y))?;
            pen.text(Paint::SOFT, (LEFT - 8, y), Side::Right, &label, 9)?;
        }
        for (value, label) in across.ticks() {
            let x = across.at(value);
            pen.line(Paint::GRID, (x, TOP), (x, bottom))?;
            pen.text(Paint::SOFT, (x, bottom + 14), Side::Middle, &label, 9)?;
        }
        let middle = (LEFT + RIGHT) / 2;
        let title = "operations per byte; upwards: GOP/s";
        pen.text(Paint::SOFT, (middle, bottom + 36), Side::Middle, title, 60)?;
        // The slope ends where the highest flat line begins, or at the top.
        let top = if highest > 0.0 { highest } else { y_high };
        let knee = (top / bandwidth).clamp(x_low, x_high);
        let start = (across.at(x_low), up.at(x_low * bandwidth));
        let end = (across.at(knee), up.at(knee * bandwidth));
        pen.path(Paint::INK, 2, vec![start, end])?;
        pen.tip(
            end,
            &format!("read bandwidth {} GB/s", number(bandwidth, 2)),
        );
        for (name, peak) in &peaks {
            let from = (
                across.at((peak / bandwidth).clamp(x_low, x_high)),
                up.at(*peak),
            );
            let to = (RIGHT, from.1);
            pen.path(Paint::INK, 2, vec![from, to])?;
            let text = format!("{name}: {} GOP/s", number(*peak, 1));
            pen.tip_on((from.0, from.1 - 5), (to.0, from.1 + 5), &text);
        }
        let name = if group.layer {
            "multiplication"
        } else {
            "decode"
        };
        for (spot, (label, paint, round)) in spots.iter().zip(&entries) {
            for (phase, point) in [(name, spot.first), ("prefill", spot.prefill)] {
                let Some((intensity, speed)) = point else {
                    continue;
                };
                let at = (across.at(intensity), up.at(speed));
                pen.mark(*paint, at, *round)?;
                let tip = format!(
                    "{label}, {phase}: {} GOP/s at {} operations per byte",
                    number(speed, 1),
                    number(intensity, 2)
                );
                pen.tip(at, &tip);
            }
        }
        key(pen, (LEFT, bottom + 62), &entries)
    })?;
    // In words below the plot: labels at the lines would lie on marks.
    let roofs = peaks.iter();
    let roofs: Vec<String> = roofs
        .map(|(name, peak)| format!("{name} {} GOP/s", number(*peak, 1)))
        .collect();
    let mut roof = format!("Slope: read bandwidth {} GB/s.", number(bandwidth, 2));
    if !roofs.is_empty() {
        roof.push_str(&format!(" Flat lines from the top: {}.", roofs.join(", ")));
    }
    let cell = |value: Option<f64>| value.map_or("not known".to_owned(), |v| number(v, 2));
    let rows = spots.iter().map(|spot| {
        vec![
            row_label(spot.row),
            cell(spot.first.map(|p| p.0)),
            cell(spot.first.map(|p| p.1)),
            cell(spot.prefill.map(|p| p.0)),
            cell(spot.prefill.map(|p| p.1)),
            number(spot.bandwidth, 2),
            spot.peak
                .as_ref()
                .map_or(String::new(), |(name, _)| name.clone()),
            cell(spot.peak.as_ref().map(|(_, peak)| *peak)),
        ]
    });
    Ok(Drawing {
        title: format!("{}, {}", heading(group), count(threads as usize, "thread")),
        svg,
        notes: vec![roof],
        head: vec![
            "row",
            "decode or multiplication, operations per byte",
            "decode or multiplication, GOP/s",
            "prefill, operations per byte at most",
            "prefill, GOP/s",
            "read bandwidth, GB/s",
            "peak",
            "peak, GOP/s",
        ],
        rows: rows.collect(),
    })
}
