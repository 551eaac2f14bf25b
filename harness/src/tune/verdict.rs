//! Which candidate is the fastest, and whether that is more than noise.

use super::{Candidate, LayerShape};
use bitbench_reports::summary::Figure;

/// The fastest of some rivals, the one after it, and by how much.
#[derive(Debug, Clone)]
pub struct Verdict<'c> {
    /// The fastest over all linear layers of the model.
    pub winner: &'c Candidate,
    /// The second.
    pub runner_up: Option<&'c Candidate>,
    /// Time of the second over time of the first, one number a round that both have.
    pub ratio: Option<Figure>,
}

impl Verdict<'_> {
    /// Whether the second may be as fast: its time is within the spread of that of the first.
    pub fn within_noise(&self) -> bool {
        self.ratio
            .is_some_and(|r| r.median - r.mad.unwrap_or(0.0) <= 1.0)
    }
}

/// The fastest of these candidates; nothing where there is none.
pub fn verdict<'c>(candidates: &[&'c Candidate], shapes: &[LayerShape]) -> Option<Verdict<'c>> {
    let mut ranked: Vec<(f64, &Candidate)> = candidates
        .iter()
        .filter_map(|c| Some((Figure::of(&c.layer_seconds(shapes))?.median, *c)))
        .collect();
    ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
    let winner = ranked.first()?.1;
    let runner_up = ranked.get(1).map(|(_, c)| *c);
    let ratio = runner_up.and_then(|second| {
        let second = second.layer_seconds(shapes);
        let ratios = second.iter().zip(winner.layer_seconds(shapes));
        Figure::of(&ratios.map(|(b, a)| b / a).collect::<Vec<f64>>())
    });
    Some(Verdict {
        winner,
        runner_up,
        ratio,
    })
}
