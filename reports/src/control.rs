//! The A/A control of a run: one of its jobs a second time, under another name and among the same contenders.
//!
//! Whatever makes the two differ makes any two rows differ, so what the control shows is the noise of the run.

use crate::compare::{Figure, pairs};
use crate::judge::{Judged, MINIMUM_EFFECT, Pairs, judge};
use crate::record::Job;
use crate::report::count;
use crate::summary::{Status, Summary};

/// A control and what it showed.
#[derive(Debug, Clone, PartialEq)]
pub struct Control {
    /// Its job.
    pub job: Job,
    /// Whether it was tried and gave no figures.
    pub failed: bool,
    /// Its figures over those of the job it repeats, or why there are none.
    pub judged: Result<Vec<Judged>, String>,
}

impl Control {
    /// Holds a control against the job that it repeats.
    pub fn of(control: &Summary, summaries: &[Summary], seed: u64) -> Control {
        Control {
            job: control.job.clone(),
            failed: matches!(control.status, Status::Failed { .. }),
            judged: judged(control, summaries, seed),
        }
    }

    /// Whether the same build differs from itself, in which case no difference of the run can be trusted.
    pub fn flagged(&self) -> bool {
        let judged = self.judged.iter().flatten();
        judged.into_iter().any(|judged| judged.flagged)
    }

    /// What a reader must know.
    pub fn line(&self) -> String {
        let of = format!(
            "{}, {}, {}{}",
            self.job.model.name,
            self.job.kernel_and_head(),
            count(self.job.threads as usize, "thread"),
            self.job.of_sequences()
        );
        let judged = match &self.judged {
            Ok(judged) => judged,
            Err(reason) => return format!("A/A control ({of}): none - {reason}"),
        };
        let figures: Vec<String> = judged.iter().map(|judged| judged.in_words(2)).collect();
        let figures = figures.join(", ");
        if let Some(percent) = self.job.injected_percent {
            return format!(
                "TEST, not a result: the A/A control ({of}) was slowed down by {percent} % on purpose: {figures}: {}",
                if self.flagged() {
                    "FLAGGED"
                } else {
                    "not flagged"
                }
            );
        }
        if self.flagged() {
            return format!(
                "A/A control FLAGGED ({of}): {figures}: the same build differs from itself by more than chance allows; trust no \
                 difference of this run, and run it again on a quiet machine"
            );
        }
        let undecided = judged.iter().any(|judged| !judged.decidable());
        format!(
            "A/A control ({of}): {figures}: the same build against itself; differences smaller than that are noise{}",
            if undecided {
                " (too few rounds to judge it)"
            } else {
                ""
            }
        )
    }
}

fn judged(control: &Summary, summaries: &[Summary], seed: u64) -> Result<Vec<Judged>, String> {
    if let Some(reason) = control.status.reason() {
        return Err(format!("{}: {reason}", control.status.word()));
    }
    let twin = control.job.control_of.as_deref();
    let twin = summaries
        .iter()
        .find(|other| Some(other.job.id.as_str()) == twin)
        .ok_or("the job that it repeats is not in the record")?;
    if let Some(reason) = twin.status.reason() {
        return Err(format!(
            "the job that it repeats was {}: {reason}",
            twin.status.word()
        ));
    }
    if control.job.layer.is_some() {
        let figure = Pairs {
            what: "multiplication",
            pairs: pairs(control, twin, Figure::MULTIPLY)?,
        };
        return judge(&[figure], MINIMUM_EFFECT, seed);
    }
    let figures = [
        Pairs {
            what: "decode",
            pairs: pairs(control, twin, Figure::DECODE)?,
        },
        Pairs {
            what: "prefill",
            pairs: pairs(control, twin, Figure::PREFILL)?,
        },
    ];
    judge(&figures, MINIMUM_EFFECT, seed)
}
