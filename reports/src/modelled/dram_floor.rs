//! The least that memory takes to deliver what a decode step reads.

use super::{EnergyModel, ModelledJoules, Subject};

pub(super) static MODEL: EnergyModel = EnergyModel {
    name: "dram-floor",
    about: "bytes read for each token times 4.5 to 25 pJ for each bit of DRAM; no arithmetic, no caches, no background power",
    per: "a decoded token",
    source: "4.5 pJ/bit: DDR4 device, Vogelsang, MICRO 2010; 25 pJ/bit: DDR4 with interface, after Horowitz, ISSCC 2014",
    evaluate,
};

/// Energy of a bit, in joules: the device alone, and with its interface.
const LOW: f64 = 4.5e-12;
const HIGH: f64 = 25e-12;

fn evaluate(subject: &Subject) -> Result<ModelledJoules, String> {
    let bytes = subject
        .bytes_per_token
        .ok_or("the bytes of a decode step are known of a run only: name its folder with --run")?;
    let bits = bytes * 8.0;
    Ok(ModelledJoules {
        low: bits * LOW,
        high: bits * HIGH,
    })
}
