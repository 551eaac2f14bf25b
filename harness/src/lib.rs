//! Benchmark and energy-profiling harness for 1.58-bit (BitNet b1.58) language models on CPUs.
//!
//! [`commands::run`] follows a run from the command line to the report: [`suite`] reads it, [`host`] looks at the machine,
//! [`plan`] expands one on the other, [`runner`] has [`worker`] processes do the work between two readings of the [`meter`]
//! and two looks at the [`surroundings`], and the [`journal`] keeps every sample.
#![forbid(unsafe_code)]

pub mod affinity;
pub mod chat;
pub mod commands;
pub mod counters;
pub mod energy;
pub mod gate;
pub mod host;
pub mod interrupt;
pub mod journal;
pub mod likelihood;
pub mod memory;
pub mod meter;
pub mod models;
pub mod noise;
pub mod pair;
pub mod plan;
pub mod probe;
pub mod progress;
pub mod roofline;
pub mod roots;
pub mod runner;
pub mod speeds;
pub mod suite;
pub mod surroundings;
pub mod tune;
pub mod verify;
pub mod worker;

/// Version of bitbench, with the revision it was built from.
pub const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (",
    env!("BITBENCH_REVISION"),
    ")"
);
