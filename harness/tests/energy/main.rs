//! Energy measurement without hardware: fixture trees, scripted counters, and a live counter of known power.

mod crosscheck;
mod known;
mod ledger;
mod live;
mod meters;
mod namespace;
mod nvml;
mod perf;
mod permissions;
mod powercap;
mod scripted;
mod sources;
mod tree;
