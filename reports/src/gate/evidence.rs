//! What the rounds of a cell say, and what is decided on it.

use crate::paired::LEVEL;
use crate::stats::{Interval, Tail, hodges_lehmann, max, sign_flip, signed_rank_interval};

/// Probability of calling anything a regression where nothing differs, over all looks at the confirming run.
pub const ALPHA: f64 = 0.05;

/// What rounds say of how much more the new build costs: numbers are logarithms of new over base, above 0 for worse.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evidence {
    /// The estimate of Hodges and Lehmann.
    pub estimate: f64,
    /// The exact signed-rank interval of the same; nothing for so few rounds.
    pub interval: Option<Interval>,
    /// The largest of them.
    largest: f64,
    /// Probability of a mean at least as high where nothing differs: sign-flip test, one-sided.
    pub worse_p: f64,
    /// Probability of a mean at least as low.
    pub better_p: f64,
    /// How many rounds.
    pub rounds: usize,
}

impl Evidence {
    /// Of these costs, one for each round. `seed` is that of the signs that are drawn where there are too many to try all.
    ///
    /// # Errors
    /// Where there is no round, or a cost is not finite.
    pub fn of(costs: &[f64], seed: u64) -> Result<Evidence, String> {
        let none = || "no round that both builds have".to_owned();
        let p = |tail| sign_flip(costs, tail, seed).map(|test| test.p);
        Ok(Evidence {
            estimate: hodges_lehmann(costs).ok_or_else(none)?,
            interval: signed_rank_interval(costs, LEVEL).ok(),
            largest: max(costs).ok_or_else(none)?,
            worse_p: p(Tail::Upper).ok_or_else(none)?,
            better_p: p(Tail::Lower).ok_or_else(none)?,
            rounds: costs.len(),
        })
    }

    /// The highest cost that these rounds allow for: the upper end of the interval, or where there is none the highest round.
    fn upper(&self) -> f64 {
        self.interval.map_or(self.largest, |i| i.high)
    }

    /// Whether the screening run leaves it open that the cost is above the limit: by its estimate, which half the limit would
    /// make suspicious, or by its interval.
    pub fn doubtful(&self, limit: f64) -> bool {
        self.estimate >= limit / 2.0 || self.upper() >= limit
    }

    /// What is decided. `worse_p` and `better_p` are after Holm's correction over the cells of this look, `alpha` what this look
    /// may spend.
    pub fn decide(&self, limit: f64, worse_p: f64, better_p: f64, alpha: f64) -> Decision {
        if worse_p <= alpha && self.estimate >= limit {
            Decision::Regressed
        } else if better_p <= alpha && self.estimate <= -limit {
            Decision::Improved
        } else if self.upper() < limit {
            Decision::Ok
        } else {
            Decision::Open
        }
    }

    /// Rounds that are likely to settle what is open: the width of the interval falls with their root. Nothing where the cost is
    /// so close to the limit that no number of rounds is worth waiting for.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a number of rounds, below a thousand"
    )]
    pub fn rounds_needed(&self, limit: f64) -> Option<usize> {
        let interval = self.interval?;
        let half_width = (interval.high - interval.low) / 2.0;
        let gap = (limit - self.estimate).abs();
        let needed = (self.rounds as f64 * (half_width / gap).powi(2)).ceil();
        // The same rounds again, at least.
        (needed < 1000.0).then(|| (needed as usize).max(self.rounds + 2))
    }
}

/// What is decided on a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Certainly worse, and by the limit or more.
    Regressed,
    /// Certainly not worse by as much as the limit.
    Ok,
    /// The same, and certainly better by the limit or more.
    Improved,
    /// The rounds do not tell.
    Open,
}

/// What a look at the confirming run may spend of [`ALPHA`]: all of it where there is one look, half where there may be two.
pub fn alpha_of_look(confirm_rounds: u32, most_rounds: u32) -> f64 {
    if most_rounds > confirm_rounds {
        ALPHA / 2.0
    } else {
        ALPHA
    }
}

/// Fewest rounds, an even number, in which so many cells can be called regressed at all at this level.
pub fn fewest_rounds(cells: usize, alpha: f64) -> u32 {
    let mut rounds = 2;
    while 0.5_f64.powi(rounds) * cells.max(1) as f64 > alpha {
        rounds += 2;
    }
    u32::try_from(rounds).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(costs: &[f64]) -> Evidence {
        Evidence::of(costs, 1).unwrap()
    }

    #[test]
    fn equal_rounds_are_ok_and_no_evidence_of_anything() {
        let nothing = evidence(&[0.0; 6]);
        assert_eq!(nothing.worse_p, 1.0);
        assert!(!nothing.doubtful(0.03));
        assert_eq!(nothing.decide(0.03, 1.0, 1.0, ALPHA), Decision::Ok);
    }

    #[test]
    fn a_slow_down_is_doubtful_first_and_then_a_regression() {
        let slow = [0.05, 0.052, 0.049, 0.055, 0.048, 0.051];
        let screened = evidence(&slow);
        assert!(screened.doubtful(0.03));
        let twelve = evidence(&[slow, slow].concat());
        assert_eq!(twelve.worse_p, 0.5_f64.powi(12));
        let decide = |worse_p| twelve.decide(0.03, worse_p, twelve.better_p, 0.025);
        assert_eq!(decide(twelve.worse_p), Decision::Regressed);
        assert_eq!(decide(0.026), Decision::Open, "not certain");
        assert_eq!(
            twelve.decide(0.06, twelve.worse_p, 1.0, 0.025),
            Decision::Ok,
            "certain, and too small to matter"
        );
        let fast: Vec<f64> = twelve_of(&slow).iter().map(|cost| -cost).collect();
        let fast = evidence(&fast);
        assert_eq!(
            fast.decide(0.03, 1.0, fast.better_p, 0.025),
            Decision::Improved
        );
    }

    fn twelve_of(six: &[f64; 6]) -> Vec<f64> {
        [*six, *six].concat()
    }

    #[test]
    fn wide_rounds_are_open_and_say_how_many_would_do() {
        let wide = evidence(&[0.08, -0.07, 0.06, -0.05, 0.07, -0.06, 0.01, -0.02]);
        assert!(wide.doubtful(0.03));
        assert_eq!(
            wide.decide(0.03, wide.worse_p, wide.better_p, ALPHA),
            Decision::Open
        );
        let needed = wide.rounds_needed(0.03).unwrap();
        assert!((20..400).contains(&needed), "{needed}");
        let at_the_limit = evidence(&[0.03, 0.031, 0.029, 0.03, 0.03, 0.03]);
        assert_eq!(at_the_limit.rounds_needed(at_the_limit.estimate), None);
    }

    #[test]
    fn few_rounds_have_no_interval_and_their_worst_counts() {
        let few = evidence(&[0.0, 0.01, 0.04, 0.0]);
        assert_eq!(few.interval, None);
        assert!(few.doubtful(0.03));
        assert!(!evidence(&[0.0, 0.01, -0.04, 0.0]).doubtful(0.03));
    }

    #[test]
    fn fewest_rounds_can_reject_and_fewer_cannot() {
        assert_eq!(
            fewest_rounds(1, 0.05),
            6,
            "1/32 of five rounds is 0.031, and rounds come in pairs"
        );
        assert_eq!(fewest_rounds(20, 0.05), 10);
        assert_eq!(fewest_rounds(80, 0.05), 12);
        for cells in [1, 7, 30] {
            let rounds = i32::try_from(fewest_rounds(cells, 0.025)).unwrap();
            assert!(0.5_f64.powi(rounds) * cells as f64 <= 0.025);
            assert!(0.5_f64.powi(rounds - 2) * cells as f64 > 0.025);
        }
    }

    #[test]
    fn no_rounds_and_broken_ones_are_errors() {
        assert!(Evidence::of(&[], 1).is_err());
        assert!(Evidence::of(&[0.0, f64::NAN], 1).is_err());
    }
}
