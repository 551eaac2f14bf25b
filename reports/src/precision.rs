//! How precisely a run knows what it is asked: the half widths of the intervals of its decode figures, or of the multiplications of a
//! layer alone.

use crate::columns::Row;
use crate::compare::{Against, rate};
use crate::paired::LEVEL;
use crate::report::Report;
use crate::stats::{NoInterval, signed_rank_interval};

/// Half of the width of an interval, in percent of the figure; nothing where the rounds give no interval yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Precision {
    /// Id of the job.
    pub job: String,
    /// The half width.
    pub half_width_percent: Option<f64>,
}

impl Precision {
    /// Whether the figure is known at least so well.
    pub fn within(&self, percent: f64) -> bool {
        self.half_width_percent.is_some_and(|half| half <= percent)
    }
}

/// The precision of each measured row: that of its decode tokens/s against the baseline's, or where it has none of its decode
/// tokens/s. Baselines are left out: what they are for is in the rows held against them.
pub fn precisions(report: &Report) -> Vec<Precision> {
    let measured = report.rows.iter().filter(|row| row.summary.measured());
    let of_row = |row: &Row| {
        let interval = match row.speedup() {
            Against::IsBaseline if is_needed(row, report) => return None,
            Against::Baseline { figure, .. } => figure.interval.map(|i| (i.low, i.high)),
            Against::IsBaseline | Against::Missing(_) => own_interval(row),
        };
        Some(Precision {
            job: row.summary.job.id.clone(),
            half_width_percent: interval
                .ok()
                .filter(|(low, _)| *low > 0.0)
                .map(|(low, high)| ((high / low).sqrt() - 1.0) * 100.0),
        })
    };
    measured.filter_map(of_row).collect()
}

/// Whether another row is held against this one.
fn is_needed(baseline: &Row, report: &Report) -> bool {
    report.rows.iter().any(|row| {
        matches!(row.speedup(), Against::Baseline { job, .. } if *job == baseline.summary.job.id)
    })
}

fn own_interval(row: &Row) -> Result<(f64, f64), NoInterval> {
    let rounds = row.summary.rounds.iter();
    let speed = rate(&row.summary.job);
    let speeds = rounds.filter_map(|round| speed(round).as_ref()?.as_ref().ok());
    let logarithms: Vec<f64> = speeds.map(|speed| speed.ln()).collect();
    signed_rank_interval(&logarithms, LEVEL).map(|i| (i.low.exp(), i.high.exp()))
}
