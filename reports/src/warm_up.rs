//! How a worker was warmed up before its windows: short windows of decode until neither speed nor power has a trend.

use crate::record::{Energy, Sample};
use crate::stats;

/// The warm-up of one round so far.
#[derive(Debug, Clone, PartialEq)]
pub struct WarmUp {
    /// Its windows.
    pub windows: usize,
    /// Time they took together, in seconds.
    pub seconds: f64,
    /// Whether its newest windows have no trend in tokens/s, nor in watts where every one of them has a figure.
    pub flat: bool,
}

impl WarmUp {
    /// Of its windows, in the order in which they were measured; nothing where there are none.
    pub fn of(windows: &[&Sample]) -> Option<WarmUp> {
        if windows.is_empty() {
            return None;
        }
        let seconds = |sample: &Sample| sample.durations_ns.iter().sum::<u64>() as f64 * 1e-9;
        let speeds: Vec<f64> = windows
            .iter()
            .map(|s| f64::from(s.tokens) * s.durations_ns.len() as f64 / seconds(s))
            .collect();
        let powers: Option<Vec<f64>> = windows.iter().map(|sample| watts(sample)).collect();
        Some(WarmUp {
            windows: windows.len(),
            seconds: windows.iter().map(|sample| seconds(sample)).sum(),
            flat: stats::flat(&speeds) && powers.is_none_or(|powers| stats::flat(&powers)),
        })
    }
}

fn watts(sample: &Sample) -> Option<f64> {
    match &sample.energy {
        Energy::Measured(window) if window.window_ns > 0 => {
            Some(window.total_joules().ok()? / (window.window_ns as f64 * 1e-9))
        }
        _ => None,
    }
}
