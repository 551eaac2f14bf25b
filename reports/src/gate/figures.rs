//! What is gated.

use crate::compare::{Figure, joules_pairs, pairs};
use crate::paired::Pair;
use crate::record::{GatePolicy, Job, Phase};
use crate::summary::Summary;

/// A figure that is gated.
#[derive(Debug)]
pub struct GateFigure {
    /// Its name.
    pub name: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// What its numbers are in that unit.
    pub(super) scale: f64,
    /// Whether more of it is better.
    pub more_is_better: bool,
    /// By how many percent the new build may cost more.
    pub(super) least_percent: fn(&GatePolicy) -> f64,
    /// Whether it is one of layers alone, and not of networks.
    pub(super) of_layers: bool,
    /// Its numbers in the rounds that both builds have, those of the new one first; nothing where there cannot be any.
    numbers: fn(&Summary, &Summary) -> MaybePairs,
    /// The window whose tokens must be the same.
    pub(super) phase: Option<Phase>,
}

/// Numbers of both builds, or why there are none; nothing where there cannot be any.
pub(super) type MaybePairs = Option<Result<Vec<Pair>, String>>;

impl PartialEq for GateFigure {
    fn eq(&self, other: &GateFigure) -> bool {
        self.name == other.name
    }
}

impl GateFigure {
    /// Its numbers in the rounds that both builds have, those of the new one first; nothing where jobs of this kind have none.
    pub(super) fn pairs(&self, new: &Summary, base: &Summary) -> MaybePairs {
        let has = self.of_layers == new.job.layer.is_some();
        has.then(|| (self.numbers)(new, base)).flatten()
    }
}

/// How many figures of a job vary from round to round.
pub fn figures_of(job: &Job) -> usize {
    let layer = job.layer.is_some();
    let figures = FIGURES.iter().filter(|figure| figure.of_layers == layer);
    figures.count()
}

/// Every figure that varies from round to round, in the order of the cells of a job.
pub static FIGURES: [GateFigure; 5] = [
    GateFigure {
        name: "decode",
        unit: "tok/s",
        scale: 1.0,
        more_is_better: true,
        least_percent: |policy| policy.decode_percent,
        of_layers: false,
        numbers: |new, base| Some(pairs(new, base, Figure::DECODE)),
        phase: Some(Phase::Decode),
    },
    GateFigure {
        name: "prefill",
        unit: "tok/s",
        scale: 1.0,
        more_is_better: true,
        least_percent: |policy| policy.prefill_percent,
        of_layers: false,
        numbers: |new, base| Some(pairs(new, base, Figure::PREFILL)),
        phase: Some(Phase::Prefill),
    },
    GateFigure {
        name: "multiply",
        unit: "GOP/s",
        scale: 1.0,
        more_is_better: true,
        least_percent: |policy| policy.multiply_percent,
        of_layers: true,
        numbers: |new, base| Some(pairs(new, base, Figure::MULTIPLY)),
        phase: Some(Phase::Multiply),
    },
    GateFigure {
        name: "peak memory",
        unit: "MB",
        scale: 1e-6,
        more_is_better: false,
        least_percent: |policy| policy.peak_memory_percent,
        // What the allocator handed out, not the resident set: the system gives pages as it likes.
        of_layers: false,
        numbers: |new, base| Some(pairs(new, base, Figure::ALLOCATED)),
        phase: None,
    },
    GateFigure {
        name: "decode energy",
        unit: "J/token",
        scale: 1.0,
        more_is_better: false,
        least_percent: |policy| policy.energy_percent,
        // Measured or nothing: what is simulated or was never read is no figure that could regress.
        of_layers: false,
        numbers: joules_pairs,
        phase: Some(Phase::Decode),
    },
];

/// The figure of this name.
pub fn figure(name: &str) -> Option<&'static GateFigure> {
    FIGURES.iter().find(|figure| figure.name == name)
}

/// Name of the figure that does not vary, and is compared as it is.
pub const WEIGHTS: &str = "weights";
