//! Embedded inference engine for ternary (BitNet b1.58) language models on CPUs.
//!
//! A checked file or a seeded generator becomes a [`model::Model`] of canonical [`weights`]; a kernel variant packs them
//! into its own layout; a session runs the network over the packed form.
#![deny(unsafe_code)]

pub mod activations;
mod base3;
pub mod batch;
mod buffer;
pub mod cpu;
mod forward;
pub mod grid;
pub mod heads;
pub mod kernels;
mod kv_cache;
pub mod limits;
pub mod linear;
pub mod model;
pub mod network;
pub mod ops;
pub mod oracle;
mod panels;
mod pieces;
pub mod session;
pub mod threads;
pub mod tokenizer;
pub mod weights;
