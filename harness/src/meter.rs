//! Measuring windows: the energy source, and the thread that reads it often enough to see every wrap.

use crate::energy::choice::Choice;
use crate::energy::crosscheck::{self, CrossCheck, cross_check};
use crate::energy::reading::Snapshot;
use crate::energy::survey::none_of;
use crate::energy::sysfs::SysFs;
use crate::energy::window::OpenWindow;
use crate::energy::{self, Domain, EnergySource, Opened};
use bitbench_reports::record::{Energy, EnergySourceInfo};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// A reading that took longer was preempted in its middle, and is made again.
const SLOW_READING: Duration = Duration::from_millis(1);

/// The energy meter of a run. No method fails: what cannot be measured is said in the record.
pub struct Meter {
    state: State,
    /// Number of the latest window.
    latest: u64,
    check: Option<CrossCheck>,
}

enum State {
    Open {
        shared: Arc<Shared>,
        info: EnergySourceInfo,
        shortest_window: Duration,
        poller: Option<JoinHandle<()>>,
    },
    Unavailable {
        info: EnergySourceInfo,
        reason: String,
    },
}

/// What the caller and the poller share. Whoever holds the lock reads the source: readings never overlap.
struct Shared {
    reader: Mutex<Reader>,
    changed: Condvar,
    poll_every: Duration,
}

struct Reader {
    source: Box<dyn EnergySource>,
    window: Option<OpenWindow>,
    quit: bool,
}

/// A window that was begun. Give it to [`Meter::end`].
#[derive(Debug)]
#[must_use = "a window gives its energy at Meter::end"]
pub struct Window {
    number: u64,
}

impl Meter {
    /// Opens the best source, or notes why there is none.
    pub fn open(sys: &SysFs) -> Meter {
        Meter::open_choice(sys, &Choice::Auto)
    }

    /// Opens the source that was chosen, or notes why it cannot be. Where the same registers can be read in two ways, a second
    /// goes by in which one is held against the other.
    pub fn open_choice(sys: &SysFs, choice: &Choice) -> Meter {
        let source = match (energy::open_choice(sys, choice), choice) {
            (Opened::Source(source), _) => source,
            (_, Choice::Off) => return Meter::off("not asked for (--energy off)"),
            (Opened::Unavailable(reasons), _) => return Meter::unavailable(none_of(&reasons)),
        };
        let check = crosscheck::has_partner(source.info().name).then(|| cross_check(sys));
        let mut meter = Meter::new(source);
        if let (Some(Some(check)), State::Open { info, .. }) = (check, &mut meter.state) {
            if let EnergySourceInfo::Open { caveats, .. } = info {
                caveats.push(check.to_string());
            }
            meter.check = Some(check);
        }
        meter
    }

    /// What the cross-check said, where two sources that should agree do not.
    pub fn warning(&self) -> Option<String> {
        let check = self.check.as_ref().filter(|check| check.differs());
        check.map(ToString::to_string)
    }

    /// A meter without a source, for a stated reason such as `not asked for`.
    pub fn off(reason: &str) -> Meter {
        Meter::unavailable(EnergySourceInfo::Unavailable {
            reason: reason.to_owned(),
            remedy: None,
        })
    }

    fn unavailable(info: EnergySourceInfo) -> Meter {
        let reason = match &info {
            EnergySourceInfo::Unavailable { reason, .. } => reason.clone(),
            EnergySourceInfo::Open { .. } => "no energy source".to_owned(),
        };
        Meter {
            state: State::Unavailable { info, reason },
            latest: 0,
            check: None,
        }
    }

    /// A meter of one source.
    pub fn new(source: Box<dyn EnergySource>) -> Meter {
        let domains = source.info().domains.iter();
        let poll_every = domains.map(Domain::poll_every).min();
        Meter::polling(source, poll_every.unwrap_or(Duration::MAX))
    }

    /// A meter of one source that reads it this often within a window, to see what reading costs.
    pub fn polling(source: Box<dyn EnergySource>, poll_every: Duration) -> Meter {
        let domains = &source.info().domains;
        let info = EnergySourceInfo::from(source.info());
        let shortest_window = domains.iter().map(|d| d.min_window).max();
        let shared = Arc::new(Shared {
            poll_every,
            reader: Mutex::new(Reader {
                source,
                window: None,
                quit: false,
            }),
            changed: Condvar::new(),
        });
        let for_poller = Arc::clone(&shared);
        let poller = std::thread::Builder::new()
            .name("energy-poller".to_owned())
            .spawn(move || for_poller.poll());
        Meter {
            state: State::Open {
                shared,
                info,
                shortest_window: shortest_window.unwrap_or_default(),
                // Without the thread, long windows are refused as `MaybeMultiWrap`; short ones are as good as ever.
                poller: poller.ok(),
            },
            latest: 0,
            check: None,
        }
    }

    /// What is read, or why nothing is.
    pub fn info(&self) -> EnergySourceInfo {
        match &self.state {
            State::Open { info, .. } | State::Unavailable { info, .. } => info.clone(),
        }
    }

    /// The shortest window for which every domain gives a figure; none without a source.
    pub fn shortest_window(&self) -> Option<Duration> {
        match &self.state {
            State::Open {
                shortest_window, ..
            } => Some(*shortest_window),
            State::Unavailable { .. } => None,
        }
    }

    /// Opens a window: one reading of every counter. An earlier window that was not ended is given up.
    pub fn begin(&mut self) -> Window {
        self.latest += 1;
        if let State::Open { shared, .. } = &self.state {
            let mut reader = shared.lock();
            // Followers of another program's file catch up, and say now what they missed before the window.
            reader.source.snapshot();
            let first = reader.read();
            reader.window = Some(OpenWindow::open(first));
            drop(reader);
            shared.changed.notify_one();
        }
        Window {
            number: self.latest,
        }
    }

    /// Closes a window: one more reading, and the difference. What went wrong is in the result.
    pub fn end(&mut self, window: Window) -> Energy {
        let unavailable = |reason: &str| Energy::Unavailable {
            reason: reason.to_owned(),
        };
        let shared = match &self.state {
            State::Unavailable { reason, .. } => return unavailable(reason),
            State::Open { shared, .. } => shared,
        };
        if window.number != self.latest {
            return unavailable("another window was begun before this one ended");
        }
        let mut reader = shared.lock();
        let last = reader.read();
        match reader.window.take() {
            Some(open) => open.close(last, reader.source.info()),
            None => unavailable("the window is of another meter"),
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if let State::Open { shared, poller, .. } = &mut self.state {
            shared.lock().quit = true;
            shared.changed.notify_one();
            if let Some(poller) = poller.take() {
                // A poller that panicked has said so on stderr; the meter ends either way.
                let _ = poller.join();
            }
        }
    }
}

impl Reader {
    /// Reads all counters; a reading that was preempted is made again.
    fn read(&mut self) -> Snapshot {
        let mut best = self.source.snapshot();
        for _ in 0..2 {
            if best.took() <= SLOW_READING {
                break;
            }
            let again = self.source.snapshot();
            if again.took() < best.took() {
                best = again;
            }
        }
        best
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Reader> {
        // A panic under the lock leaves at worst a window without a poll, which the next reading notices.
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the counters of the open window, if any, every [`Shared::poll_every`]; parked otherwise.
    fn poll(&self) {
        let mut reader = self.lock();
        while !reader.quit {
            if reader.window.is_none() {
                reader = self
                    .changed
                    .wait(reader)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let (guard, wait) = self
                .changed
                .wait_timeout(reader, self.poll_every)
                .unwrap_or_else(PoisonError::into_inner);
            reader = guard;
            if wait.timed_out() && !reader.quit && reader.window.is_some() {
                let snapshot = reader.read();
                let reader = &mut *reader;
                if let Some(window) = &mut reader.window {
                    window.poll(snapshot, &reader.source.info().domains);
                }
            }
        }
    }
}
