//! One round of one job, reduced to one number of each kind.
//!
//! Repetitions inside one process share its memory layout and its moment, so they are not independent: they are reduced here,
//! and the spread of a figure is the spread over rounds. A round that was resumed has lines from several processes: of each
//! phase, the newest process that finished it counts, and of several windows of a phase in one process the last. A window that
//! contenders took turns at is all its slices together ([`crate::slices`]).

use crate::disturbance::Around;
use crate::record::{
    ColdStart, Energy, Job, Loaded, Memory, Phase, Place, Provenance, Sample, WindowEnergy,
};
use crate::slices::{self, Slices};
use crate::stats::median;
use crate::warm_up::WarmUp;
use std::borrow::Cow;
use std::collections::BTreeSet;

/// Two idle powers of one round that differ by more than this share of their mean make its net energy doubtful.
pub const IDLE_TOLERANCE: f64 = 0.05;

/// A number of one round: nothing where its window was not finished, an error where it was and still gives no number.
pub type Reading = Option<Result<f64, String>>;

/// One round of one job as one number of each kind.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Round {
    /// Number of the round, from 0.
    pub number: u32,
    /// Time from the load command to the reply, in seconds.
    pub load_seconds: Reading,
    /// Tokens of the prompts over the median duration of a prefill.
    pub prefill_tokens_per_second: Reading,
    /// Median duration of a prefill, up to and with the choice of the first token, in milliseconds.
    pub first_token_ms: Reading,
    /// Tokens of one repetition over the median duration of a repetition.
    pub decode_tokens_per_second: Reading,
    /// Median duration of a repetition over its steps, a token of each sequence, in milliseconds.
    pub decode_ms_per_token: Reading,
    /// Bytes of the packed weights over the median duration of a plain read of them, in 10^9 bytes per second.
    pub read_bandwidth_gb_per_second: Reading,
    /// Bytes that decode has to read for each token: those of a step (weights once, and the KV cache of each sequence up to the
    /// mean position) over the sequences that share it.
    pub decode_bytes_per_token: Reading,
    /// The same times tokens/s, in 10^9 bytes per second.
    pub decode_gb_per_second: Reading,
    /// The former over the read bandwidth of the same round, in percent.
    pub bandwidth_share_percent: Reading,
    /// Multiply-adds in registers with the instructions of the kernel, in 10^9 operations per second, a multiply-add being two.
    pub compute_peak_gop_per_second: Reading,
    /// Operations of the linear layers over the median duration of a prefill, in 10^9 operations per second.
    pub prefill_gop_per_second: Reading,
    /// The former over the compute peak of the same round, in percent.
    pub prefill_compute_share_percent: Reading,
    /// Operations of the linear layers for one token times decode tokens/s over the compute peak of the same round, in
    /// percent.
    pub decode_compute_share_percent: Reading,
    /// Bytes of the LM head that decode read for each token.
    pub head_bytes_per_token: Reading,
    /// Median duration of a whole request: the prompts from empty caches and all tokens after them, in seconds.
    pub request_seconds: Reading,
    /// Energy of the window of whole requests over their number, in joules.
    pub request_joules: Reading,
    /// A layer alone: median duration of a repetition over the copies that it multiplies by, in microseconds.
    pub multiply_us: Reading,
    /// Packed bytes of the layer over that time, in 10^9 bytes per second.
    pub multiply_gb_per_second: Reading,
    /// The former over the read bandwidth of the same round, in percent.
    pub multiply_bandwidth_share_percent: Reading,
    /// Two operations for each weight and token over that time, in 10^9 operations per second.
    pub multiply_gop_per_second: Reading,
    /// The former over the compute peak of the same round, in percent.
    pub multiply_compute_share_percent: Reading,
    /// Energy of the window of multiplications over their number, in microjoules.
    pub multiply_uj: Reading,
    /// Largest resident set of the process, in bytes.
    pub peak_bytes: Reading,
    /// Anonymous pages after the last window, in bytes.
    pub anonymous_bytes: Reading,
    /// File pages after the last window, in bytes.
    pub file_bytes: Reading,
    /// Resident set after the last window, anonymous and file pages together, in bytes.
    pub steady_bytes: Reading,
    /// The most that the allocator of the process had handed out at a time, in bytes.
    pub allocated_bytes: Reading,
    /// Time from the load command to the reply where the file had to come from its disk, in seconds.
    pub cold_load_seconds: Reading,
    /// How the machine was warmed up before the windows.
    pub warm_up: Option<WarmUp>,
    /// Energy of the prefill window.
    pub prefill_energy: PhaseEnergy,
    /// Energy of the decode window.
    pub decode_energy: PhaseEnergy,
    /// Energy of the window of whole requests.
    pub request_energy: PhaseEnergy,
    /// Energy of the window of multiplications by a layer.
    pub multiply_energy: PhaseEnergy,
    /// Prefill tokens/s in each slice of the window.
    pub prefill_slices: Slices,
    /// Decode tokens/s in each slice of the window.
    pub decode_slices: Slices,
    /// Tokens multiplied by a layer in a second, in each slice of the window.
    pub multiply_slices: Slices,
    /// What else happened during the prefill window.
    pub prefill_around: Around,
    /// What else happened during the decode window.
    pub decode_around: Around,
    /// What else happened during the window of multiplications by a layer.
    pub multiply_around: Around,
}

/// Energy of one phase in one round.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PhaseEnergy {
    /// Energy of the window over all its tokens.
    pub joules_per_token: Reading,
    /// The same less what the idle power of the same process would have taken in that time.
    pub net_joules_per_token: Reading,
    /// Standard error of the net energy that comes from the idle power, in percent of the net energy: half the difference of
    /// the two idle powers, for as long as the window lasted.
    pub net_error_percent: Reading,
    /// Energy of the window over its length, in watts.
    pub watts: Reading,
    /// Mean power of the idle windows of the same process, in watts.
    pub idle_watts: Option<f64>,
    /// How far those idle powers lie apart, as a share of their mean; nothing for a single window.
    pub idle_difference: Option<f64>,
    /// What the counters covered; nothing where no total could be formed.
    pub basis: Option<EnergyBasis>,
}

/// What an energy figure rests on. Figures on different bases are never compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnergyBasis {
    /// Where the figures come from.
    pub provenance: Provenance,
    /// Name of the source.
    pub source: String,
    /// The domains that make up the total.
    pub domains: BTreeSet<String>,
}

impl Round {
    /// Reduces the lines of one round.
    pub fn of(job: &Job, number: u32, lines: &RoundLines<'_>) -> Round {
        let batch = f64::from(job.batch.max(1));
        let prefill = lines.window(Phase::Prefill);
        let decode = lines.window(Phase::Decode);
        let request = lines.window(Phase::Request);
        let (prefill, decode, request) =
            (prefill.as_deref(), decode.as_deref(), request.as_deref());
        let multiply = lines.window(Phase::Multiply);
        let multiply = multiply.as_deref();
        let bandwidth = lines.newest(Phase::ReadBandwidth);
        let compute = lines.newest(Phase::ComputePeak);
        let loaded = newest(&lines.loaded, |l| &l.place);
        // A layer alone is packed as often as no cache holds: what that takes is no figure of it.
        let memory = newest(&lines.memory, |m| &m.place).filter(|_| job.layer.is_none());
        let request_energy = request.map_or_else(PhaseEnergy::default, |s| lines.energy_of(s));
        let multiply_energy = multiply.map_or_else(PhaseEnergy::default, |s| lines.energy_of(s));

        let prefill_tokens_per_second = prefill.map(tokens_per_second);
        let decode_tokens_per_second = decode.map(tokens_per_second);
        let read_bandwidth = bandwidth.map(bandwidth_of);
        let decode_bytes_per_token: Reading = match (loaded, decode) {
            (Some(loaded), Some(sample)) => {
                Some(Ok(decode_bytes_per_step(job, loaded, sample) / batch))
            }
            _ => None,
        };
        let decode_bandwidth = match (&decode_bytes_per_token, &decode_tokens_per_second) {
            (Some(Ok(bytes)), Some(speed)) => Some(speed.clone().map(|speed| bytes * speed * 1e-9)),
            _ => None,
        };
        let compute_peak = compute.map(operations_of);
        let operations = |speed: &Reading| match (loaded, speed) {
            (Some(loaded), Some(speed)) => Some(
                speed
                    .clone()
                    .map(|speed| operations_per_token(loaded) * speed * 1e-9),
            ),
            _ => None,
        };
        let prefill_operations = operations(&prefill_tokens_per_second);
        let decode_operations = operations(&decode_tokens_per_second);
        let multiply_seconds = multiply.map(seconds_of_matrix);
        let over_time = |amount: Option<f64>| match (amount, &multiply_seconds) {
            (Some(amount), Some(seconds)) => Some(seconds.clone().map(|s| amount / s * 1e-9)),
            _ => None,
        };
        let multiply_bandwidth = over_time(loaded.map(|l| l.linear_bytes as f64));
        let multiply_operations = over_time(match (loaded, multiply) {
            (Some(loaded), Some(s)) => Some(operations_per_token(loaded) * f64::from(s.tokens)),
            _ => None,
        });
        Round {
            number,
            load_seconds: loaded
                .filter(|_| job.layer.is_none())
                .map(|l| Ok(l.duration_ns as f64 * 1e-9)),
            prefill_tokens_per_second,
            first_token_ms: prefill.map(|s| Ok(median_seconds(s)? * 1e3)),
            decode_ms_per_token: decode_tokens_per_second
                .clone()
                .map(|speed| speed.map(|speed| batch * 1e3 / speed)),
            decode_tokens_per_second,
            bandwidth_share_percent: share_percent(&decode_bandwidth, &read_bandwidth),
            multiply_bandwidth_share_percent: share_percent(&multiply_bandwidth, &read_bandwidth),
            multiply_compute_share_percent: share_percent(&multiply_operations, &compute_peak),
            decode_bytes_per_token,
            decode_gb_per_second: decode_bandwidth,
            read_bandwidth_gb_per_second: read_bandwidth,
            prefill_compute_share_percent: share_percent(&prefill_operations, &compute_peak),
            decode_compute_share_percent: share_percent(&decode_operations, &compute_peak),
            prefill_gop_per_second: prefill_operations,
            compute_peak_gop_per_second: compute_peak,
            head_bytes_per_token: match (loaded.and_then(|l| l.head_bytes_per_token), decode) {
                (Some(bytes), Some(sample)) => {
                    Some(Ok((bytes as f64 + rescored_per_step(job, sample)) / batch))
                }
                _ => None,
            },
            request_seconds: request.map(median_seconds),
            multiply_us: multiply_seconds.map(|seconds| Ok(seconds? * 1e6)),
            multiply_gb_per_second: multiply_bandwidth,
            multiply_gop_per_second: multiply_operations,
            request_joules: request.and_then(|sample| {
                let per_token = request_energy.joules_per_token.clone()?;
                Some(per_token.map(|joules| joules * f64::from(sample.tokens)))
            }),
            multiply_uj: multiply.and_then(|sample| {
                let per_token = multiply_energy.joules_per_token.clone()?;
                Some(per_token.and_then(|joules| match sample.matrices {
                    None | Some(0) => Err(NO_MULTIPLICATIONS.to_owned()),
                    Some(matrices) => {
                        Ok(joules * f64::from(sample.tokens) / f64::from(matrices) * 1e6)
                    }
                }))
            }),
            peak_bytes: memory.map(|m| bytes(m.peak_bytes)),
            anonymous_bytes: memory.map(|m| bytes(m.anonymous_bytes)),
            file_bytes: memory.map(|m| bytes(m.file_bytes)),
            steady_bytes: memory.map(|m| Ok(bytes(m.anonymous_bytes)? + bytes(m.file_bytes)?)),
            allocated_bytes: memory
                .and_then(|m| m.allocated_peak_bytes)
                .map(|b| Ok(b as f64)),
            cold_load_seconds: newest(&lines.cold_starts, |c| &c.place).map(cold_load_seconds),
            warm_up: WarmUp::of(&lines.newest_all(Phase::WarmUp)),
            prefill_energy: prefill.map_or_else(PhaseEnergy::default, |s| lines.energy_of(s)),
            decode_energy: decode.map_or_else(PhaseEnergy::default, |s| lines.energy_of(s)),
            request_energy,
            multiply_energy,
            prefill_slices: lines.slices(Phase::Prefill),
            decode_slices: lines.slices(Phase::Decode),
            multiply_slices: lines.slices(Phase::Multiply),
            prefill_around: prefill.map_or_else(Around::default, Around::of),
            decode_around: decode.map_or_else(Around::default, Around::of),
            multiply_around: multiply.map_or_else(Around::default, Around::of),
        }
    }
}

/// The lines of one round, of every process that worked on it.
#[derive(Debug, Default)]
pub struct RoundLines<'a> {
    /// What was loaded.
    pub loaded: Vec<&'a Loaded>,
    /// Finished windows.
    pub samples: Vec<&'a Sample>,
    /// Memory of the workers.
    pub memory: Vec<&'a Memory>,
    /// Loads from the disk.
    pub cold_starts: Vec<&'a ColdStart>,
}

impl<'a> RoundLines<'a> {
    fn newest(&self, phase: Phase) -> Option<&'a Sample> {
        let of_phase: Vec<&Sample> = self
            .samples
            .iter()
            .copied()
            .filter(|s| s.phase == phase)
            .collect();
        newest(&of_phase, |s| &s.place)
    }

    /// The window of a phase in the newest process that finished one, its slices joined.
    fn window(&self, phase: Phase) -> Option<Cow<'a, Sample>> {
        let newest = self.newest(phase)?;
        if newest.slice.is_none() {
            return Some(Cow::Borrowed(newest));
        }
        slices::joined(&self.newest_all(phase)).map(Cow::Owned)
    }

    /// Tokens/s in each slice of that window.
    fn slices(&self, phase: Phase) -> Slices {
        let all = self.newest_all(phase);
        all.into_iter()
            .filter_map(|sample| Some((sample.slice?, tokens_per_second(sample).ok()?)))
            .collect()
    }

    /// All windows of a phase in the newest process that finished one.
    fn newest_all(&self, phase: Phase) -> Vec<&'a Sample> {
        let newest = self.newest(phase).map(|sample| sample.place.process);
        let samples = self.samples.iter().copied();
        samples
            .filter(|s| s.phase == phase && Some(s.place.process) == newest)
            .collect()
    }

    /// The windows that numbers of the round rest on, idle ones of the same processes among them.
    pub(crate) fn used(&self) -> Vec<&'a Sample> {
        let pieces = |phase| match self.newest(phase) {
            Some(window) if window.slice.is_none() => vec![window],
            _ => self.newest_all(phase),
        };
        let worked = [Phase::Prefill, Phase::Decode, Phase::Request];
        let worked: Vec<&Sample> = worked.into_iter().flat_map(pieces).collect();
        // No number of a layer needs idle power.
        let layers = pieces(Phase::Multiply);
        let yardsticks = [Phase::ReadBandwidth, Phase::ComputePeak];
        let yardsticks = yardsticks.into_iter().filter_map(|p| self.newest(p));
        let idle = self.samples.iter().copied().filter(|sample| {
            sample.phase == Phase::Idle && worked.iter().any(|w| w.place == sample.place)
        });
        let idle: Vec<&Sample> = idle.collect();
        let others = layers.into_iter().chain(yardsticks).chain(idle);
        worked.into_iter().chain(others).collect()
    }

    fn energy_of(&self, sample: &Sample) -> PhaseEnergy {
        let window = match &sample.energy {
            Energy::Measured(window) => window,
            Energy::Unavailable { reason } => return PhaseEnergy::without(reason),
        };
        let tokens = f64::from(sample.tokens) * sample.durations_ns.len() as f64;
        let seconds = window.window_ns as f64 * 1e-9;
        let joules = match window.total_joules() {
            _ if tokens == 0.0 || seconds == 0.0 => {
                return PhaseEnergy::without("the window holds no tokens or no time");
            }
            Err(fault) => return PhaseEnergy::without(&fault),
            Ok(joules) => joules,
        };
        let (idle, idle_difference) = self.idle_watts(&sample.place, &basis_of(window));
        let net = idle.clone().and_then(|idle_watts| {
            let net = joules - idle_watts * seconds;
            if net > 0.0 {
                Ok(net / tokens)
            } else {
                Err("idle power is as high as the power of the window".to_owned())
            }
        });
        let net_error_percent = match (&net, &idle, idle_difference) {
            (Ok(net), Ok(idle_watts), Some(difference)) => {
                let error = idle_watts * difference / 2.0 * seconds;
                Some(Ok(error / (net * tokens) * 100.0))
            }
            _ => None,
        };
        PhaseEnergy {
            joules_per_token: Some(Ok(joules / tokens)),
            net_joules_per_token: Some(net),
            net_error_percent,
            watts: Some(Ok(joules / seconds)),
            idle_watts: idle.ok(),
            idle_difference,
            basis: Some(basis_of(window)),
        }
    }

    /// Mean power of the idle windows of one process, and how far they lie apart as a share of it.
    fn idle_watts(&self, place: &Place, basis: &EnergyBasis) -> (Result<f64, String>, Option<f64>) {
        let mut powers = Vec::new();
        for sample in &self.samples {
            if sample.phase != Phase::Idle || sample.place != *place {
                continue;
            }
            match idle_power(sample, basis) {
                Ok(power) => powers.push(power),
                Err(reason) => return (Err(format!("idle window: {reason}")), None),
            }
        }
        if powers.is_empty() {
            return (Err("no idle window in this round".to_owned()), None);
        }
        let mean = powers.iter().sum::<f64>() / powers.len() as f64;
        let highest = powers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let lowest = powers.iter().copied().fold(f64::INFINITY, f64::min);
        let difference = (powers.len() > 1 && mean > 0.0).then(|| (highest - lowest) / mean);
        (Ok(mean), difference)
    }
}

impl PhaseEnergy {
    /// The window was finished and gives no energy.
    pub(crate) fn without(reason: &str) -> PhaseEnergy {
        let missing: Reading = Some(Err(reason.to_owned()));
        PhaseEnergy {
            joules_per_token: missing.clone(),
            net_joules_per_token: missing.clone(),
            watts: missing,
            ..PhaseEnergy::default()
        }
    }
}

fn idle_power(sample: &Sample, basis: &EnergyBasis) -> Result<f64, String> {
    match &sample.energy {
        Energy::Unavailable { reason } => Err(reason.clone()),
        Energy::Measured(window) if window.window_ns == 0 => Err("it lasted 0 ns".to_owned()),
        Energy::Measured(window) if basis_of(window) != *basis => {
            Err("it was read from other counters".to_owned())
        }
        Energy::Measured(window) => Ok(window.total_joules()? / (window.window_ns as f64 * 1e-9)),
    }
}

fn basis_of(window: &WindowEnergy) -> EnergyBasis {
    let counted = window.domains.iter().filter(|d| d.counted);
    EnergyBasis {
        provenance: window.provenance,
        source: window.source.clone(),
        domains: counted.map(|d| d.name.clone()).collect(),
    }
}

/// The time of a load from the disk; no figure where the pages were in memory all the same.
fn cold_load_seconds(cold: &ColdStart) -> Result<f64, String> {
    match cold.storage_bytes {
        None => Err("the system does not tell what the disk delivered".to_owned()),
        Some(read) if read < cold.file_bytes => Err(format!(
            "the start was not cold: of the {} bytes of the model the disk delivered {read}",
            cold.file_bytes
        )),
        Some(_) => Ok(cold.duration_ns as f64 * 1e-9),
    }
}

/// The last of those lines that the newest process wrote.
fn newest<'a, T>(lines: &[&'a T], place: fn(&T) -> &Place) -> Option<&'a T> {
    // `max_by_key` gives the last of equal ones.
    lines.iter().copied().max_by_key(|line| place(line).process)
}

fn median_seconds(sample: &Sample) -> Result<f64, String> {
    let seconds: Vec<f64> = sample
        .durations_ns
        .iter()
        .map(|ns| *ns as f64 * 1e-9)
        .collect();
    match median(&seconds) {
        None => Err("the window holds no repetition".to_owned()),
        Some(0.0) => Err("the repetitions lasted 0 ns".to_owned()),
        Some(seconds) => Ok(seconds),
    }
}

/// Why a window gives nothing for one multiplication.
const NO_MULTIPLICATIONS: &str = "the window does not tell its multiplications";

/// Time of one multiplication, whatever the copy.
fn seconds_of_matrix(sample: &Sample) -> Result<f64, String> {
    match sample.matrices {
        None | Some(0) => Err(NO_MULTIPLICATIONS.to_owned()),
        Some(matrices) => Ok(median_seconds(sample)? / f64::from(matrices)),
    }
}

fn tokens_per_second(sample: &Sample) -> Result<f64, String> {
    if sample.tokens == 0 {
        return Err("the window holds no tokens".to_owned());
    }
    Ok(f64::from(sample.tokens) / median_seconds(sample)?)
}

fn bandwidth_of(sample: &Sample) -> Result<f64, String> {
    let bytes = sample.bytes.ok_or("the window does not tell its bytes")?;
    Ok(bytes as f64 / median_seconds(sample)? * 1e-9)
}

fn operations_of(sample: &Sample) -> Result<f64, String> {
    let operations = sample
        .operations
        .ok_or("the window does not tell its operations")?;
    Ok(operations as f64 / median_seconds(sample)? * 1e-9)
}

/// A multiply and an add for each weight of the linear layers; attention and head are not counted.
fn operations_per_token(loaded: &Loaded) -> f64 {
    2.0 * loaded.linear_weights as f64
}

/// Weights once, what the head looked at again, and for each sequence the keys and values of the mean position attended: the
/// prompt and half of what is decoded.
fn decode_bytes_per_step(job: &Job, loaded: &Loaded, decode: &Sample) -> f64 {
    let batch = f64::from(job.batch.max(1));
    let mean_positions = f64::from(job.prefill_tokens) + f64::from(decode.tokens) / batch / 2.0;
    loaded.weights_bytes_per_token as f64
        + rescored_per_step(job, decode)
        + loaded.kv_bytes_per_position as f64 * mean_positions * batch
}

/// Bytes that the head read for each step beyond those of every step, in the mean.
fn rescored_per_step(job: &Job, decode: &Sample) -> f64 {
    let steps = f64::from(decode.tokens) / f64::from(job.batch.max(1));
    let steps = steps * decode.durations_ns.len() as f64;
    match decode.rescored_bytes {
        Some(bytes) if steps > 0.0 => bytes as f64 / steps,
        _ => 0.0,
    }
}

fn share_percent(part: &Reading, whole: &Reading) -> Reading {
    match (part, whole) {
        (Some(Ok(part)), Some(Ok(whole))) if *whole > 0.0 => Some(Ok(part / whole * 100.0)),
        (Some(Err(reason)), _) | (_, Some(Err(reason))) => Some(Err(reason.clone())),
        _ => None,
    }
}

fn bytes(bytes: Option<u64>) -> Result<f64, String> {
    bytes
        .map(|bytes| bytes as f64)
        .ok_or_else(|| "the system does not tell it".to_owned())
}
