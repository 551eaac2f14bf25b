//! Order statistics of small samples. Each function gives nothing for an empty slice or for values that are not finite.

mod deviation;
mod order;

pub use deviation::{MAD_TO_SIGMA, mad};
pub use order::{max, median, min, quantile};
