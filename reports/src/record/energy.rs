//! Energy as it is stored: where it was read, and what the counters said.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The energy source of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EnergySourceInfo {
    /// Counters were open.
    Open {
        /// Name of the source, such as `powercap`.
        source: String,
        /// Where its figures come from.
        provenance: Provenance,
        /// The domains that are read.
        domains: Vec<DomainInfo>,
        /// What was left out and why, and what a reader must know.
        caveats: Vec<String>,
    },
    /// No counter could be read.
    Unavailable {
        /// What was looked for and what was found.
        reason: String,
        /// The command or setting that would help, where one is known.
        remedy: Option<String>,
    },
}

/// Where an energy figure comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Provenance {
    /// A hardware energy counter of this machine.
    MeasuredCounter,
    /// A counter seen through a hypervisor, which apportions it.
    MeasuredVirtualised,
    /// Power of this machine's sensors, read again and again and integrated.
    MeasuredSampled,
    /// A meter outside of the machine.
    MeasuredExternal,
    /// The gauge of a battery.
    MeasuredBattery,
    /// Counters under another root than the machine's own (`--sysfs-root`): a test, never a result.
    Simulated,
}

/// What a domain covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DomainKind {
    /// A CPU package: cores, caches, memory controller.
    Package,
    /// Memory modules; not part of the package.
    Dram,
    /// The whole platform (psys); contains the package.
    Platform,
    /// All cores of a package; part of it.
    Cores,
    /// One core only (the powercap `core` zone of AMD).
    OneCore,
    /// The uncore part of a package, often its graphics; part of it.
    Uncore,
    /// A supply rail of the CPU or of what is around it.
    Rail,
    /// The whole board.
    Board,
    /// What an external meter is put before.
    Wall,
    /// What leaves a battery.
    Battery,
    /// Something this version does not know.
    Other,
}

/// One energy domain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DomainInfo {
    /// Stable name, such as `package-0` or `package-0/dram`.
    pub name: String,
    /// What it covers.
    pub kind: DomainKind,
    /// Whether it is part of the total (packages and dram); the others overlap them.
    pub counted: bool,
    /// Largest value before the counter starts again, in microjoules.
    pub range_uj: Option<u64>,
    /// Energy of one step of the raw counter, in joules; absent where the counter is in microjoules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joules_per_tick: Option<f64>,
    /// Path or device it is read from.
    pub origin: String,
}

/// Energy of one window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Energy {
    /// Counters were read at both ends.
    Measured(WindowEnergy),
    /// No figure, and why.
    Unavailable {
        /// Why, for a reader.
        reason: String,
    },
}

/// What the counters said about one window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WindowEnergy {
    /// Name of the source.
    pub source: String,
    /// Where the figures come from.
    pub provenance: Provenance,
    /// Time between the two readings.
    pub window_ns: u64,
    /// Readings between the first and the last, made to catch wraps.
    pub polls: u32,
    /// The domains.
    pub domains: Vec<DomainEnergy>,
}

/// Energy of one domain in one window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DomainEnergy {
    /// [`DomainInfo::name`].
    pub name: String,
    /// What it covers.
    pub kind: DomainKind,
    /// Whether it is part of the total.
    pub counted: bool,
    /// First reading, in microjoules; 0 where power was read and there is no counter.
    pub start_uj: u64,
    /// Last reading, in microjoules; absent when it could not be read.
    pub end_uj: Option<u64>,
    /// First raw reading, where the counter is not in microjoules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_ticks: Option<u64>,
    /// Last raw reading, where the counter is not in microjoules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_ticks: Option<u64>,
    /// Times the counter started again within the window.
    pub wraps: u32,
    /// The difference, wraps accounted for.
    pub energy_uj: Option<MeasuredMicrojoules>,
    /// Why there is no difference.
    pub fault: Option<String>,
}

/// Energy that a counter measured. Modelled energy has a type of its own and no conversion to this one.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub struct MeasuredMicrojoules(pub u64);

impl MeasuredMicrojoules {
    /// The energy in joules.
    #[expect(
        clippy::cast_precision_loss,
        reason = "exact up to 9e15 uJ, which is 2.5 MWh"
    )]
    pub fn joules(self) -> f64 {
        self.0 as f64 * 1e-6
    }
}

impl WindowEnergy {
    /// Sum over the counted domains, in joules.
    ///
    /// # Errors
    /// The fault of the first counted domain without a figure: a smaller sum is never given in its place.
    pub fn total_joules(&self) -> Result<f64, String> {
        let mut total = 0.0;
        let mut counted = 0;
        for domain in self.domains.iter().filter(|d| d.counted) {
            match domain.energy_uj {
                Some(energy) => total += energy.joules(),
                None => {
                    let fault = domain.fault.as_deref().unwrap_or("no reading");
                    return Err(format!("{}: {fault}", domain.name));
                }
            }
            counted += 1;
        }
        if counted == 0 {
            return Err("no domain that counts towards a total".to_owned());
        }
        Ok(total)
    }
}
