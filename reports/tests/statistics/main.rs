//! The statistics: against published tables, against what must hold for any values, and by simulation.

mod changes;
mod order;
mod published;
mod simulated;
