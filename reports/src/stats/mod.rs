//! Statistics of small samples. Those that give an `Option` give nothing for an empty slice or for values that are not finite.
//!
//! What is compared are paired differences, usually logarithms of ratios: [`hodges_lehmann`] estimates them,
//! [`signed_rank_interval`] says how well, [`sign_flip`] whether there is anything, and [`holm`] what is left of that when many
//! are asked.

mod bootstrap;
mod change_points;
mod deviation;
mod hodges_lehmann;
mod holm;
mod order;
mod rank_sum;
mod sign_flip;
mod signed_rank;
mod trend;
mod tukey;

pub use bootstrap::{RESAMPLES, RatioOfMedians, ratio_of_medians};
pub use change_points::{ChangePoint, MOST_VALUES, SHORTEST_SEGMENT, change_points};
pub use deviation::{MAD_TO_SIGMA, mad};
pub use hodges_lehmann::hodges_lehmann;
pub use holm::holm;
pub use order::{max, median, min, quantile};
pub use rank_sum::{MOST_RANKED, rank_sum, rank_sum_distribution, shift, shift_interval};
pub use sign_flip::{DRAWN, MOST_EXHAUSTIVE, SignFlip, Tail, sign_flip};
pub use signed_rank::{
    Interval, NoInterval, fewest_for, signed_rank_distribution, signed_rank_interval,
};
pub use trend::{TREND_LENGTH, flat};
pub use tukey::{Mark, tukey};
