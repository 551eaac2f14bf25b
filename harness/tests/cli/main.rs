//! The command line, end to end: the real binary with real workers, small models and suites written by the tests.
//!
//! Every test has a folder of its own as current folder. Tests that time or kill something run alone ([`support::Bench::alone`]),
//! the others beside each other.

mod budget;
mod compare;
mod damage;
mod disk;
mod disturbance;
mod doctor;
mod energy;
mod export;
mod folder;
mod gate;
#[path = "../../../engine/tests/support/mod.rs"]
mod gguf;
mod help;
mod history;
mod hostile;
mod instructions;
mod layers;
mod limits;
mod model;
mod plain_run;
mod slices;
mod suites;
mod support;
mod text;
mod unlike;
mod usage;
mod windows;
