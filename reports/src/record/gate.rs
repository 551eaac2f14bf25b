//! Two builds of one engine, held against each other by a gate.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Which of two builds runs a job.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Build {
    /// The one that things are as they should be with.
    Base,
    /// The one that is asked about.
    New,
}

impl Build {
    /// As it is stored and printed.
    pub fn word(self) -> &'static str {
        match self {
            Build::Base => "base",
            Build::New => "new",
        }
    }
}

/// What a gate stores of itself in each of its runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GateInfo {
    /// What this run is for.
    pub stage: Stage,
    /// Both builds, the base first.
    pub builds: Vec<BuildInfo>,
    /// What a regression is.
    pub policy: GatePolicy,
    /// Differences that this host shows between a build and itself, by the figure they were seen in; absent where too few runs
    /// are stored.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub floors: BTreeMap<String, NoiseFloor>,
}

/// The runs of a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// All cells in few rounds: which of them are beyond doubt?
    Screen,
    /// The others again, in a run of their own.
    Confirm,
    /// More rounds of those that are still open.
    Extend,
}

/// A build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BuildInfo {
    /// Which.
    pub build: Build,
    /// Its version, as it says itself.
    pub version: String,
    /// Where its binary was.
    pub path: String,
    /// `blake3:` and the hash of the binary; absent where it is not at hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
}

/// A difference between a build and itself that one run in forty exceeds on this host.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NoiseFloor {
    /// That difference.
    pub percent: f64,
    /// Stored A/A controls that it comes from.
    pub controls: u64,
}

/// What a regression is: for each figure by how many percent it may cost more than before, and in how many rounds that is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GatePolicy {
    /// Time of a decoded token.
    pub decode_percent: f64,
    /// Time of a prompt.
    pub prefill_percent: f64,
    /// Time of a multiplication by a layer alone.
    pub multiply_percent: f64,
    /// The most that the allocator of a process had handed out at a time.
    pub peak_memory_percent: f64,
    /// Bytes of the packed weights, which do not vary.
    pub weights_percent: f64,
    /// Energy of a decoded token, where it was measured.
    pub energy_percent: f64,
    /// Rounds of the screening run.
    pub screen_rounds: u32,
    /// Rounds of the confirming run.
    pub confirm_rounds: u32,
    /// Rounds of it at most, with those that are added where it is still open.
    pub most_rounds: u32,
}

impl Default for GatePolicy {
    fn default() -> GatePolicy {
        GatePolicy {
            decode_percent: 3.0,
            prefill_percent: 3.0,
            multiply_percent: 3.0,
            peak_memory_percent: 3.0,
            weights_percent: 0.0,
            energy_percent: 5.0,
            screen_rounds: 6,
            confirm_rounds: 12,
            most_rounds: 16,
        }
    }
}

/// Most rounds that a policy can ask for: of so many, every combination of signs is still tried.
pub const MOST_GATE_ROUNDS: u32 = 20;

/// Fewest rounds: in fewer, no control could be seen to differ from itself at 5 %, and no ratio has an interval of 95 %.
const FEWEST_GATE_ROUNDS: u32 = 6;

impl GatePolicy {
    /// What makes no sense in it.
    ///
    /// # Errors
    /// The key and what it must be.
    pub fn check(&self) -> Result<(), String> {
        let percents = [
            ("decode_percent", self.decode_percent),
            ("prefill_percent", self.prefill_percent),
            ("multiply_percent", self.multiply_percent),
            ("peak_memory_percent", self.peak_memory_percent),
            ("energy_percent", self.energy_percent),
        ];
        for (key, percent) in percents {
            if !(0.1..=100.0).contains(&percent) {
                return Err(format!("`{key}` is {percent}; it must be 0.1 to 100"));
            }
        }
        if !(0.0..=100.0).contains(&self.weights_percent) {
            let percent = self.weights_percent;
            return Err(format!(
                "`weights_percent` is {percent}; it must be 0 to 100"
            ));
        }
        let rounds = [
            ("screen_rounds", self.screen_rounds, FEWEST_GATE_ROUNDS),
            ("confirm_rounds", self.confirm_rounds, FEWEST_GATE_ROUNDS),
            ("most_rounds", self.most_rounds, self.confirm_rounds),
        ];
        for (key, rounds, least) in rounds {
            if !(least..=MOST_GATE_ROUNDS).contains(&rounds) || rounds % 2 == 1 {
                return Err(format!(
                    "`{key}` is {rounds}; it must be an even number from {least} to {MOST_GATE_ROUNDS}"
                ));
            }
        }
        Ok(())
    }
}
