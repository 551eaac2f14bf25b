//! The stored windows one by one, for plots: when each was, how long its repetitions took, at which power and clock.

use crate::disturbance::Around;
use crate::record::{Energy, Phase, Record, Records, Sample};
use std::collections::{BTreeMap, BTreeSet};

/// One stored window.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// Id of its job.
    pub job: String,
    /// Round, from 0.
    pub round: u32,
    /// What was measured.
    pub phase: Phase,
    /// Start in seconds after the start of the run. A process that went on with the run begins where the windows before it end:
    /// the time between the two is not shown.
    pub start_s: f64,
    /// Length in seconds.
    pub seconds: f64,
    /// Tokens of a repetition.
    pub tokens: u32,
    /// Copies of the layer that a repetition multiplies by (layers alone).
    pub matrices: Option<u32>,
    /// Duration of each repetition.
    pub durations_ns: Vec<u64>,
    /// Mean power, or why there is none.
    pub watts: Result<f64, String>,
    /// Clock in MHz: cycles over CPU time, else what cpufreq told; nothing where neither is known.
    pub mhz: Option<f64>,
    /// Name of the peak (compute peak only).
    pub peak: Option<String>,
    /// Whether the figures rest on it: no newer process and no later window of its round and phase took its place.
    pub counts: bool,
}

impl Window {
    /// What a repetition does: tokens, or of a layer alone multiplications.
    pub fn work(&self) -> f64 {
        f64::from(self.matrices.unwrap_or(self.tokens))
    }
}

/// The windows of the jobs of the plan, in the order in which they were stored.
pub fn windows(records: &Records) -> Vec<Window> {
    let planned: BTreeSet<&str> = records.run.jobs.iter().map(|job| job.id.as_str()).collect();
    let mut windows = Vec::new();
    // The newest process of each round and phase, and its windows.
    let mut newest: BTreeMap<(&str, u32, Phase), (u32, Vec<usize>)> = BTreeMap::new();
    let mut offset: f64 = 0.0;
    let mut end: f64 = 0.0;
    for line in &records.lines {
        let sample = match line {
            Record::Resumed(_) => {
                offset = end;
                continue;
            }
            Record::Sample(sample) if planned.contains(sample.place.job.as_str()) => sample,
            _ => continue,
        };
        let place = &sample.place;
        let window = of(sample, offset);
        end = end.max(window.start_s + window.seconds);
        let (process, indices) = newest
            .entry((&place.job, place.round, sample.phase))
            .or_insert((place.process, Vec::new()));
        if place.process >= *process {
            // Of windows in one piece the last counts, of slices each.
            if place.process > *process || sample.slice.is_none() {
                indices.clear();
            }
            *process = place.process;
            indices.push(windows.len());
        }
        windows.push(window);
    }
    for index in newest.into_values().flat_map(|(_, indices)| indices) {
        windows[index].counts = true;
    }
    windows
}

fn of(sample: &Sample, offset: f64) -> Window {
    let spent_ns = sample
        .durations_ns
        .iter()
        .copied()
        .fold(0, u64::saturating_add);
    let (energy_ns, watts) = match &sample.energy {
        Energy::Unavailable { reason } => (None, Err(reason.clone())),
        Energy::Measured(window) if window.window_ns == 0 => {
            (None, Err("the window lasted 0 ns".to_owned()))
        }
        Energy::Measured(window) => {
            let seconds = window.window_ns as f64 * 1e-9;
            let watts = window.total_joules().map(|joules| joules / seconds);
            (Some(window.window_ns), watts)
        }
    };
    let around = Around::of(sample);
    let cycles = around.effective_mhz.and_then(Result::ok);
    let told = sample.surroundings.and_then(|s| s.cpufreq_khz);
    Window {
        job: sample.place.job.clone(),
        round: sample.place.round,
        phase: sample.phase,
        start_s: offset + sample.at_ns as f64 * 1e-9,
        seconds: energy_ns.unwrap_or(spent_ns) as f64 * 1e-9,
        tokens: sample.tokens,
        matrices: sample.matrices,
        durations_ns: sample.durations_ns.clone(),
        watts,
        mhz: cycles.or_else(|| told.map(|khz| khz as f64 / 1e3)),
        peak: sample.peak.clone(),
        counts: false,
    }
}
