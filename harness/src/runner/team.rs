//! Contenders of a round that are measured together: one by itself, or several that take turns at each window.

use super::contender::{Contender, Measured};
use super::{Cut, Runner, Stop, nanoseconds};
use crate::interrupt;
use bitbench_reports::design::Turn;
use bitbench_reports::record::{Outcome, Place};

impl Runner<'_> {
    /// Measures the contenders of a round that are due, in this order. Where the plan gives them slices they are alive together,
    /// and each window is a slice of each in turn, forwards and backwards, until all have a window's worth; else one comes
    /// after the other.
    pub(super) fn row(&mut self, row: &[Turn]) -> Result<(), Cut> {
        let plan = self.plan;
        let slice_s = row.first().and_then(|turn| plan.jobs[turn.job].slice_s);
        match slice_s {
            Some(slice_s) if row.len() > 1 => self.team(row, Some(nanoseconds(slice_s))),
            _ => row
                .iter()
                .try_for_each(|turn| self.team(std::slice::from_ref(turn), None)),
        }
    }

    fn team(&mut self, row: &[Turn], slice_ns: Option<u64>) -> Result<(), Cut> {
        let plan = self.plan;
        let mut alive = Vec::new();
        for turn in row {
            if interrupt::requested() {
                return Err(Cut::Interrupted);
            }
            let planned = &plan.jobs[turn.job];
            let place = Place {
                job: planned.job.id.clone(),
                round: turn.round,
                process: self.next_process(),
            };
            self.progress.begin(&place, planned.round_s);
            match self.begin(planned, place.clone()) {
                Ok(contender) => alive.push(contender),
                Err(stop) => self.end_failed(place, stop)?,
            }
        }
        // Contenders are of one kind.
        let phases = row.first().map_or(&[][..], |turn| {
            Measured::of(&plan.jobs[turn.job], plan.requests)
        });
        for &phase in phases {
            self.each(&mut alive, |_, contender| contender.prepare(phase))?;
            match slice_ns {
                Some(slice_ns) => self.in_turns(&mut alive, phase, slice_ns)?,
                None => self.each(&mut alive, |runner, contender| {
                    let work = contender.work(phase, nanoseconds(runner.plan.window_s));
                    runner.measure(contender, &work, None).map(drop)
                })?,
            }
        }
        self.each(&mut alive, |runner, contender| runner.finish(contender))?;
        for contender in alive {
            let Contender { place, worker, .. } = contender;
            // It has nothing to do any more.
            drop(worker);
            self.end_round(place, Outcome::Measured)?;
        }
        Ok(())
    }

    /// A slice of each, and again the other way round, until each has been measured for as long as a window.
    fn in_turns(
        &mut self,
        alive: &mut Vec<Contender<'_>>,
        phase: Measured,
        slice_ns: u64,
    ) -> Result<(), Cut> {
        let window_ns = nanoseconds(self.plan.window_s);
        for slice in 0.. {
            // The least that any of them has, or everything where none is left.
            let mut least_ns = u64::MAX;
            self.each(alive, |runner, contender| {
                let work = contender.work(phase, slice_ns);
                let measured_ns = runner.measure(contender, &work, Some(slice))?;
                let spent_ns = &mut contender.spent_ns;
                *spent_ns = spent_ns.saturating_add(measured_ns);
                least_ns = least_ns.min(*spent_ns);
                Ok(())
            })?;
            let done = least_ns >= window_ns;
            // The next phase begins in the order of the row again.
            if !done || slice % 2 == 1 {
                alive.reverse();
            }
            if done {
                break;
            }
        }
        alive
            .iter_mut()
            .for_each(|contender| contender.spent_ns = 0);
        Ok(())
    }

    /// Does something with each contender; one that fails is out, and the others go on.
    fn each<'p>(
        &mut self,
        alive: &mut Vec<Contender<'p>>,
        mut step: impl FnMut(&mut Self, &mut Contender<'p>) -> Result<(), Stop>,
    ) -> Result<(), Cut> {
        for mut contender in std::mem::take(alive) {
            match step(self, &mut contender) {
                Ok(()) => alive.push(contender),
                Err(stop) => self.end_failed(contender.place, stop)?,
            }
        }
        Ok(())
    }

    fn end_failed(&mut self, place: Place, stop: Stop) -> Result<(), Cut> {
        match stop {
            Stop::Failed(reason) => Ok(self.end_round(place, Outcome::Failed { reason })?),
            Stop::Cut(cut) => Err(cut),
        }
    }
}
