//! Benchmark and energy-profiling harness for 1.58-bit (BitNet b1.58) language models on CPUs.
#![forbid(unsafe_code)]

pub mod energy;
pub mod meter;
