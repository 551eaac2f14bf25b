//! Energy that a model of arithmetic or of memory says, kept apart from what counters measured.
//!
//! A modelled figure has a type of its own without a conversion to [`crate::record::MeasuredMicrojoules`], is not part of the
//! record, and is never in a table beside measured ones, a ranking, a speed-up or a gate. It comes only when asked for, and
//! each line of it says MODEL. To add a model: one file with a `MODEL`, one line in [`MODELS`].

mod arithmetic;
mod dram_floor;
mod published;
mod table;

pub use published::{PUBLISHED, Published};
pub use table::{csv, published_text, text};

use crate::record::{NetworkShape, Precision, Records};
use crate::summary::{Summary, summarise};

/// Energy that a model says, as a range, in joules.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ModelledJoules {
    /// The least that the model allows.
    pub low: f64,
    /// The most; equal where the model has no range of its own.
    pub high: f64,
}

/// What a model is asked about.
#[derive(Debug, Clone, PartialEq)]
pub struct Subject {
    /// Name for the table: a shape, or a job of a run.
    pub name: String,
    /// Dimensions of the network.
    pub shape: NetworkShape,
    /// Whether its linear layers are ternary; half precision otherwise.
    pub ternary: bool,
    /// Bytes that decode reads for each token, where a run tells them.
    pub bytes_per_token: Option<f64>,
}

impl Subject {
    /// Each job of a run that was measured and told the dimensions of its network.
    pub fn of_run(records: &Records) -> Vec<Subject> {
        let of_job = |summary: Summary| {
            let bytes = summary.figure(|round| &round.decode_bytes_per_token);
            Some(Subject {
                shape: summary.loaded?.shape?,
                name: summary.job.id,
                ternary: summary.job.precision == Precision::Ternary,
                bytes_per_token: bytes.ok().map(|figure| figure.median),
            })
        };
        summarise(records).into_iter().filter_map(of_job).collect()
    }
}

/// A model of energy.
#[derive(Debug)]
pub struct EnergyModel {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it counts and what it leaves out.
    pub about: &'static str,
    /// What its joules are for.
    pub per: &'static str,
    /// Where it is from.
    pub source: &'static str,
    /// What it says, or why it says nothing.
    pub evaluate: fn(&Subject) -> Result<ModelledJoules, String>,
}

/// The models.
pub static MODELS: &[&EnergyModel] = &[&arithmetic::MODEL, &dram_floor::MODEL];

/// The model of this name.
pub fn find(name: &str) -> Option<&'static EnergyModel> {
    MODELS.iter().copied().find(|model| model.name == name)
}
