//! Short windows of decode before those that count, until neither speed nor power has a trend.

use super::contender::{Contender, Measured};
use super::windows::sample;
use super::{Runner, Stop, nanoseconds};
use crate::worker::Request;
use bitbench_reports::record::{Phase, Record, Sample};
use bitbench_reports::warm_up::WarmUp;

/// Tokens of a repetition: few, so that a window of a slow model is not much longer than it should be.
const TOKENS: u32 = 2;

impl Runner<'_> {
    /// Warms the machine up; its windows are stored, and whether they came to rest is derived from them.
    pub(super) fn warm_up(&mut self, contender: &mut Contender<'_>) -> Result<(), Stop> {
        let times = self.plan.warm_up;
        let job = &contender.planned.job;
        let least_ns = nanoseconds(times.window_s);
        let (request, tokens) = if job.layer.is_some() {
            (Request::Multiply { least_ns }, job.batch)
        } else {
            contender.prepare(Measured::Decode)?;
            let tokens = job.decode_tokens.min(TOKENS);
            (Request::Decode { tokens, least_ns }, tokens * job.batch)
        };
        let mut windows: Vec<Sample> = Vec::new();
        loop {
            let window = self.window(contender, &request)?;
            let sample = sample(&contender.place, Phase::WarmUp, tokens, window)?;
            windows.push(sample.clone());
            self.journal.append(&Record::Sample(Box::new(sample)))?;
            let so_far = WarmUp::of(&windows.iter().collect::<Vec<_>>());
            if so_far.is_none_or(|so_far| so_far.flat || so_far.seconds >= times.limit_s) {
                return Ok(());
            }
        }
    }
}
