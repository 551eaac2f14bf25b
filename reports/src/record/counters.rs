//! Event counters of a worker (perf events) as they are stored.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What event counters said about one window.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct CounterReadings {
    /// Counts by the name of the event, such as `cycles`.
    pub counts: BTreeMap<String, Count>,
    /// Why an event was not counted, by its name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub missing: BTreeMap<String, String>,
}

/// One count of one window, as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Count {
    /// Difference of two readings.
    pub count: u64,
    /// Time in which it should have counted.
    pub enabled_ns: u64,
    /// Time in which it did: less where events took turns at the counters of the CPU.
    pub running_ns: u64,
    /// Whether the kernel's part is not in it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub user_only: bool,
}

impl CounterReadings {
    /// The count of an event, scaled up where it took turns with others.
    ///
    /// # Errors
    /// Why there is none.
    pub fn of(&self, event: &str) -> Result<f64, String> {
        let Some(count) = self.counts.get(event) else {
            let reason = self
                .missing
                .get(event)
                .map_or("not counted", |reason| reason);
            return Err(reason.to_owned());
        };
        match count.running_ns {
            0 if count.enabled_ns > 0 => Err("other events had the counters of the CPU".to_owned()),
            running if running >= count.enabled_ns => Ok(count.count as f64),
            running => Ok(count.count as f64 * count.enabled_ns as f64 / running as f64),
        }
    }

    /// Whether the kernel's part of an event is not in its count.
    pub fn user_only(&self, event: &str) -> bool {
        self.counts.get(event).is_some_and(|count| count.user_only)
    }
}
