//! Windows that contenders took turns at, slice by slice.
//!
//! Of two processes that are measured one after the other, a machine that changes its speed every second or so makes one faster
//! than the other. Where both are alive and are measured in turn, a tenth of a second each, nearly every slice of the one has a
//! slice of the other beside it that met the same machine. So a process is reduced to one number as ever, from all its slices
//! together, and the ratio of two processes is the median of the ratios of their slices.

use crate::record::{Count, CounterReadings, Energy, Sample, Surroundings};
use crate::stats::median;
use std::collections::BTreeMap;

/// A rate in each slice, by the number of the slice; empty where the window was one piece.
pub type Slices = BTreeMap<u32, f64>;

/// The median of the ratios of slices that both have; nothing where there is none.
pub fn ratio(own: &Slices, other: &Slices) -> Option<f64> {
    let ratios: Vec<f64> = own
        .iter()
        .filter_map(|(number, own)| Some((own / other.get(number)?).ln()))
        .collect();
    // Of the logarithms, so that an even number of them has the same median either way round.
    median(&ratios).map(f64::exp)
}

/// The slices of a window as one window: repetitions one after the other, and what happened around them added up. Nothing where
/// there is no slice.
pub(crate) fn joined(slices: &[&Sample]) -> Option<Sample> {
    let (first, rest) = slices.split_first()?;
    let mut whole = Sample::clone(first);
    for slice in rest {
        whole.durations_ns.extend(&slice.durations_ns);
        whole.token_durations_ns.extend(&slice.token_durations_ns);
        whole.rescored_bytes = match (whole.rescored_bytes, slice.rescored_bytes) {
            (None, None) => None,
            (one, other) => Some(one.unwrap_or(0).saturating_add(other.unwrap_or(0))),
        };
        whole.surroundings = match (whole.surroundings, &slice.surroundings) {
            (Some(sum), Some(slice)) => Some(surroundings(&sum, slice)),
            _ => None,
        };
        whole.counters = match (&whole.counters, &slice.counters) {
            (Some(sum), Some(slice)) => Some(counters(sum, slice)),
            _ => None,
        };
    }
    if !rest.is_empty()
        && slices
            .iter()
            .any(|slice| matches!(slice.energy, Energy::Measured(_)))
    {
        whole.energy = Energy::Unavailable {
            reason: "contenders took turns in slices too short for counters".to_owned(),
        };
    }
    Some(whole)
}

fn surroundings(sum: &Surroundings, slice: &Surroundings) -> Surroundings {
    let both = |of: fn(&Surroundings) -> Option<u64>| Some(of(sum)?.saturating_add(of(slice)?));
    let spans = (sum.span_ns as f64, slice.span_ns as f64);
    Surroundings {
        span_ns: sum.span_ns.saturating_add(slice.span_ns),
        looks_ns: sum.looks_ns.saturating_add(slice.looks_ns),
        further_spans: sum.further_spans.saturating_add(1),
        worker_cpu_ns: both(|s| s.worker_cpu_ns),
        worker_system_ns: both(|s| s.worker_system_ns),
        harness_cpu_ns: both(|s| s.harness_cpu_ns),
        others_cpu_ns: both(|s| s.others_cpu_ns),
        steal_ns: both(|s| s.steal_ns),
        major_faults: both(|s| s.major_faults),
        minor_faults: both(|s| s.minor_faults),
        voluntary_switches: both(|s| s.voluntary_switches),
        involuntary_switches: both(|s| s.involuntary_switches),
        cpu_pressure_ns: both(|s| s.cpu_pressure_ns),
        memory_pressure_ns: both(|s| s.memory_pressure_ns),
        temperature_millicelsius: sum
            .temperature_millicelsius
            .max(slice.temperature_millicelsius),
        throttles: both(|s| s.throttles),
        cpufreq_khz: match (sum.cpufreq_khz, slice.cpufreq_khz) {
            (Some(a), Some(b)) => weighted((a, spans.0), (b, spans.1)),
            _ => None,
        },
    }
}

/// The mean of two clocks, each for its time.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between two clocks in kHz"
)]
fn weighted((a, a_ns): (u64, f64), (b, b_ns): (u64, f64)) -> Option<u64> {
    let sum = a_ns + b_ns;
    (sum > 0.0).then(|| ((a as f64 * a_ns + b as f64 * b_ns) / sum).round() as u64)
}

fn counters(sum: &CounterReadings, slice: &CounterReadings) -> CounterReadings {
    let mut all = CounterReadings {
        counts: BTreeMap::new(),
        missing: sum.missing.clone(),
    };
    for (event, reason) in &slice.missing {
        all.missing
            .entry(event.clone())
            .or_insert_with(|| reason.clone());
    }
    for (event, a) in &sum.counts {
        // What was not counted in every slice is not known.
        let Some(b) = slice.counts.get(event) else {
            continue;
        };
        let count = Count {
            count: a.count.saturating_add(b.count),
            enabled_ns: a.enabled_ns.saturating_add(b.enabled_ns),
            running_ns: a.running_ns.saturating_add(b.running_ns),
            user_only: a.user_only || b.user_only,
        };
        all.counts.insert(event.clone(), count);
    }
    all
}
